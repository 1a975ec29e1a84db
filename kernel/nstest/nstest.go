// Package nstest runs tests in network namespaces of their own. A test that
// calls Run is executed again, alone, in a child process whose every thread is
// in a fresh network and mount namespace; without root, in a user namespace too.
// Nothing that it does to routes, links, sysctls or nftables is seen outside,
// and everything vanishes with the process.
package nstest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const inside = "PLUMB_NSTEST"

// timeout bounds a test in its namespace. A machine that is slow by nature, such as an
// emulated one, gives it more by the variable.
func timeout() string {
	if t := os.Getenv("PLUMB_NSTEST_TIMEOUT"); t != "" {
		return t
	}
	return "120s"
}

// Run executes body in a namespace of its own, with the loopback device up. The
// test fails where no namespace can be had.
func Run(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	if os.Getenv(inside) == t.Name() {
		Sh(t, "ip link set lo up")
		body(t)
		return
	}
	var names []string
	for _, part := range strings.Split(t.Name(), "/") {
		names = append(names, "^"+regexp.QuoteMeta(part)+"$")
	}
	cmd := exec.Command(os.Args[0], "-test.run="+strings.Join(names, "/"), "-test.v", "-test.timeout="+timeout())
	if testing.Short() {
		cmd.Args = append(cmd.Args, "-test.short")
	}
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	cmd.SysProcAttr = Isolated()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 5 * time.Second // for what it left in the background
	err := cmd.Start()
	if err == nil {
		ns, nserr := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
		err = errors.Join(nserr, cmd.Wait())
		killAllIn(ns)
	}
	if err != nil || !bytes.Contains(out.Bytes(), []byte("--- PASS: "+t.Name())) {
		t.Fatalf("in its namespace: %v\n%s", err, out.Bytes())
	}
	if testing.Verbose() {
		t.Logf("in its namespace:\n%s", out.Bytes())
	}
}

// Rounds is how often a test tries what it draws at random, or how much of something
// it makes: n, and a tenth of it with -short, for machines that are slow by nature.
func Rounds(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// RunBenchmark is Run for benchmarks: body is executed in a namespace of its own,
// once, and its lines of results are copied out.
func RunBenchmark(b *testing.B, body func(b *testing.B)) {
	b.Helper()
	if os.Getenv(inside) == b.Name() {
		body(b)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^"+regexp.QuoteMeta(b.Name())+"$",
		"-test.benchtime=1x", "-test.timeout=600s")
	cmd.Env = append(os.Environ(), inside+"="+b.Name())
	cmd.SysProcAttr = Isolated()
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("in its namespace: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "Benchmark") || strings.HasPrefix(line, "    ") {
			b.Log(strings.TrimSpace(line))
		}
	}
}

// killAllIn ends what the test left running in its namespace.
func killAllIn(ns string) {
	if own, err := os.Readlink("/proc/self/ns/net"); err != nil || ns == "" || ns == own {
		return
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		if its, err := os.Readlink(p + "/ns/net"); err != nil || its != ns {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(p)); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// Isolated are the attributes of a process in fresh network and mount namespaces.
func Isolated() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return a
}

// Sh runs a shell command and gives its trimmed output; the test fails where the
// command does.
func Sh(t testing.TB, command string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", command).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return strings.TrimSpace(string(out))
}
