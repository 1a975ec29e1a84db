// Package bgptest runs other implementations of BGP beside a test: BIRD 2, FRR and
// gobgpd, each in a network namespace of its own, behind one interface. Like
// kernel/nstest it is for tests alone; unlike it, it may be used with any wiring.
package bgptest

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Host is a network namespace with a veth to the test's own: in it the device is
// eth0, in the test's namespace it has the host's name.
type Host struct {
	Name string
	t    testing.TB
	pid  int
}

// NewHost makes a namespace that lives as long as the test. near and far are
// addresses with lengths, of both families: near of the test's end, far of the
// host's.
func NewHost(t testing.TB, name string, near, far []string) *Host {
	t.Helper()
	holder := exec.Command("sleep", "infinity")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
	})
	h := &Host{Name: name, t: t, pid: holder.Process.Pid}
	Run(t, exec.Command("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(h.pid)))
	for _, a := range near {
		Run(t, exec.Command("ip", append([]string{"addr", "add", a, "dev", name}, nodad(a)...)...))
	}
	Run(t, exec.Command("ip", "link", "set", name, "up"))
	h.Sh("ip link set lo up")
	for _, a := range far {
		h.Sh("ip addr add " + a + " dev eth0 " + strings.Join(nodad(a), " "))
	}
	h.Sh("ip link set eth0 up")
	return h
}

// nodad: an address that is still being looked for elsewhere cannot be called from.
func nodad(address string) []string {
	if strings.Contains(address, ":") {
		return []string{"nodad"}
	}
	return nil
}

// Command is a command in the host's namespace.
func (h *Host) Command(args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"-t", fmt.Sprint(h.pid), "-n", "--"}, args...)...)
}

// Sh runs a shell command in the host's namespace and gives its trimmed output.
func (h *Host) Sh(command string) string {
	h.t.Helper()
	return Run(h.t, h.Command("sh", "-ec", command))
}

// Run runs a command and gives its trimmed output; the test fails where it does.
func Run(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return strings.TrimSpace(string(out))
}

// Eventually looks until ok is true; the test fails, with what look says, where
// that takes more than a generous time.
func Eventually(t testing.TB, what string, ok func() bool, look ...func() string) {
	t.Helper()
	if !Within(60*time.Second, ok) {
		for _, l := range look {
			t.Log(l())
		}
		t.Fatalf("not within a minute: %s", what)
	}
}

// Within looks until ok is true, or the time is over.
func Within(d time.Duration, ok func() bool) bool {
	for end := time.Now().Add(d); ; time.Sleep(20 * time.Millisecond) {
		if ok() {
			return true
		}
		if time.Now().After(end) {
			return ok()
		}
	}
}
