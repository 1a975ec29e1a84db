package nstest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Namespace is another network namespace beside the test's: a pod's, or a
// neighbour's. A process that does nothing holds it until the test ends.
type Namespace struct {
	t   testing.TB
	PID int
}

// NewNamespace makes a namespace.
func NewNamespace(t testing.TB) Namespace {
	t.Helper()
	cmd := exec.Command("sleep", "infinity")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	n := Namespace{t, cmd.Process.Pid}
	n.Sh("ip link set lo up")
	return n
}

// Path is the namespace's file.
func (n Namespace) Path() string { return fmt.Sprintf("/proc/%d/ns/net", n.PID) }

// Sh is Sh in the namespace.
func (n Namespace) Sh(command string) string {
	n.t.Helper()
	return Sh(n.t, fmt.Sprintf("nsenter --net=%s sh -ec '%s'", n.Path(), command))
}

// Do runs f on a thread in the namespace: sockets that f itself opens are the
// namespace's.
func (n Namespace) Do(f func()) {
	n.t.Helper()
	// The thread goes back: one that ended here would take along, by Pdeathsig,
	// the processes that were started on it.
	runtime.LockOSThread()
	back, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		n.t.Fatal(err)
	}
	defer back.Close()
	there, err := os.Open(n.Path())
	if err != nil {
		n.t.Fatal(err)
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		n.t.Fatal(err)
	}
	f()
	if err := unix.Setns(int(back.Fd()), unix.CLONE_NEWNET); err != nil {
		n.t.Fatal(err) // with the thread locked still, so that nobody else gets it
	}
	runtime.UnlockOSThread()
}
