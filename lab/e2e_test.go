package lab_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/plumbnet/plumb/lab"
)

// plumb is the binary that the tests drive: the real one, built once. plumb-cni is
// beside it.
var plumb string

func TestMain(m *testing.M) {
	if stream(os.Args) {
		return
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "plumb-lab-test")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		plumb = filepath.Join(dir, "plumb")
		if built := os.Getenv("PLUMB_TEST_PROGRAMS"); built != "" { // where there is no Go
			plumb = filepath.Join(built, "plumb")
			return m.Run()
		}
		build := exec.Command("go", "build", "-o", dir+"/", "github.com/plumbnet/plumb/cmd/plumb", "github.com/plumbnet/plumb/cmd/plumb-cni")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := errors.Join(build.Run(), os.Chmod(dir, 0o755)); err != nil { // also for who is not root
			fmt.Fprintln(os.Stderr, "build of plumb:", err)
			return 1
		}
		return m.Run()
	}())
}

// cluster is a user's folder of labs, and the name of one.
type cluster struct {
	t    *testing.T
	base string
	name string
	as   *syscall.Credential // nil: the user of the tests

	plumb string // another binary than that of all tests
}

// nobody is an unprivileged user.
const nobody = 65534

// asUsers runs a test as root and as an ordinary user, or as what the tests run as.
func asUsers(t *testing.T, test func(t *testing.T, c *cluster)) {
	t.Helper()
	t.Run("as-user", func(t *testing.T) {
		t.Parallel()
		var as *syscall.Credential
		if os.Geteuid() == 0 {
			as = &syscall.Credential{Uid: nobody, Gid: nobody}
		}
		test(t, newCluster(t, as))
	})
	if os.Geteuid() == 0 {
		t.Run("as-root", func(t *testing.T) {
			t.Parallel()
			test(t, newCluster(t, nil))
		})
	}
}

func newCluster(t *testing.T, as *syscall.Credential) *cluster {
	t.Helper()
	base, err := os.MkdirTemp("", "plumb-lab") //nolint:usetesting // too long for sockets, and root's alone
	if err != nil {
		t.Fatal(err)
	}
	if as != nil {
		if err := os.Chown(base, int(as.Uid), int(as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	c := &cluster{t: t, base: base, name: "e2e", as: as}
	before := hostNetwork(t)
	t.Cleanup(func() {
		if _, stderr, code := c.run("down"); code != 0 {
			t.Errorf("down at the end: %s", stderr)
		}
		c.leavesNothing()
		if after := hostNetwork(t); after != before {
			t.Errorf("the machine's network was\n%s\nand is now\n%s", before, after)
		}
		os.RemoveAll(base)
	})
	return c
}

// command is a verb of plumb lab.
func (c *cluster) command(args ...string) *exec.Cmd {
	// The flag stands behind the verb, before an exec's command.
	args = append([]string{"lab", args[0], "--name", c.name}, args[1:]...)
	cmd := exec.Command(cmp.Or(c.plumb, plumb), args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), lab.DirVariable+"="+c.base, "HOME=/")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.as}
	return cmd
}

func (c *cluster) run(args ...string) (stdout, stderr string, code int) {
	c.t.Helper()
	return c.finish(c.command(args...))
}

func (c *cluster) finish(cmd *exec.Cmd) (stdout, stderr string, code int) {
	c.t.Helper()
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatalf("%s: %v", cmd, err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// ok runs a verb that must succeed.
func (c *cluster) ok(args ...string) string {
	c.t.Helper()
	stdout, stderr, code := c.run(args...)
	if code != 0 {
		c.t.Fatalf("plumb lab %s: exit status %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

func (c *cluster) dir() lab.Dir { return lab.Dir(filepath.Join(c.base, c.name)) }

// topology writes the default topology with changes: from, to, and so on.
func (c *cluster) topology(fromTo ...string) string {
	c.t.Helper()
	text := strings.NewReplacer(fromTo...).Replace(string(lab.DefaultTopology()))
	path := filepath.Join(c.base, "topology.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { os.Remove(path) })
	return path
}

// neverConverges is a topology whose first node waits for an interface for ever.
func (c *cluster) neverConverges() string {
	return c.topology("  nodes:\n    - name: node1",
		"  endpoints:\n    - {name: absent, node: node1, interface: tap9, addresses: [10.244.1.99]}\n\n  nodes:\n    - name: node1")
}

// leavesNothing checks that no process of the lab and no run directory is left.
func (c *cluster) leavesNothing() {
	c.t.Helper()
	if left := c.eventually(func() string { return strings.Join(c.processes(), "\n") }); left != "" {
		c.t.Errorf("processes are left:\n%s", left)
	}
	if _, err := os.Stat(string(c.dir())); !errors.Is(err, fs.ErrNotExist) {
		c.t.Errorf("the run directory is left: %v", err)
	}
}

// processes are the command lines that name the folder of labs.
func (c *cluster) processes() []string {
	var found []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(c.base+"/")) {
			found = append(found, filepath.Dir(f)+" "+string(bytes.ReplaceAll(b, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// eventually waits until f gives nothing, and gives what it gives in the end.
func (c *cluster) eventually(f func() string) string { return c.within(time.Minute, f) }

func (c *cluster) within(patience time.Duration, f func() string) string {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if text := f(); text == "" || time.Now().After(deadline) {
			return text
		}
	}
}

// hostNetwork is what a lab could leave on the machine: interfaces, routes and
// named namespaces.
func hostNetwork(t *testing.T) string {
	t.Helper()
	var lines []string
	devices, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		lines = append(lines, d.Name)
	}
	names, _ := filepath.Glob("/run/netns/*")
	lines = append(lines, names...)
	slices.Sort(lines)
	routes, err := os.ReadFile("/proc/net/fib_trie")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n") + "\n" + string(routes)
}
