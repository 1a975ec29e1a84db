package runtimes

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// The addresses of the node and of a host on its subnet, and the node's podCIDRs.
var (
	node4 = netip.MustParseAddr("172.18.0.3")
	node6 = netip.MustParseAddr("fc00:f853:ccd:e793::3")
	pods4 = netip.MustParsePrefix("10.244.1.0/24")
	pods6 = netip.MustParsePrefix("fd00:10:244:1::/64")
)

const stateFile = `apiVersion: plumb/v1
pools:
  - {cidr: 10.244.0.0/16, natOutgoing: true}
  - {cidr: "fd00:10:244::/56", natOutgoing: true}
nodes:
  - name: worker1
    addresses: [172.18.0.3/16, "fc00:f853:ccd:e793::3/64"]
    podCIDRs: [10.244.1.0/24, "fd00:10:244:1::/64"]
  - name: worker2
    addresses: [172.18.0.4/16, "fc00:f853:ccd:e793::4/64"]
    podCIDRs: [10.244.2.0/24, "fd00:10:244:2::/64"]
`

// The ports where echo listens, on the node and in every container: for datagrams,
// and for who asks it.
const echoPort, askPort = 7007, 7008

// echo is the command line of echo.
func echo(program string) []string {
	return []string{program, strconv.Itoa(echoPort), strconv.Itoa(askPort)}
}

// node is the namespace of a test as a node of a cluster: an uplink to another
// host, a state file, the CNI plugin and its conflist, a host process that answers.
type node struct {
	t                        *testing.T
	dir                      string // of all files below
	stateDir, binDir, netDir string
}

// neighbour is the namespace of the host on the uplink's other end.
const neighbour = "neighbour"

func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{t: t, dir: filepath.Join(os.Getenv(folder), t.Name())}
	n.stateDir, n.binDir, n.netDir = n.path("state"), n.path("cni"), n.path("net.d")
	t.Cleanup(n.showLogs) // the last cleanup: after all processes' ends
	n.write("plumb.yaml", stateFile)
	n.sh(`
		ip netns add `+neighbour+`
		ip link add eth0 type veth peer name eth0 netns `+neighbour+`
		ip link set eth0 up
		ip address add 172.18.0.3/16 dev eth0
		ip address add fc00:f853:ccd:e793::3/64 dev eth0 nodad
		ip route add default via 172.18.0.1
		ip -n %[1]s link set eth0 up
		ip -n %[1]s address add 172.18.0.1/16 dev eth0
		ip -n %[1]s address add fc00:f853:ccd:e793::1/64 dev eth0 nodad`, neighbour)
	for _, peer := range []string{"loopback", "portmap", "bandwidth"} {
		n.sh("install -D %s %s/%s", program(peer), n.binDir, peer)
	}
	command := echo(program("echo"))
	n.start("echo", exec.Command(command[0], command[1:]...))
	return n
}

// installCNI installs the plugin and its conflist as on any node.
func (n *node) installCNI() {
	n.t.Helper()
	n.plumb("install-cni", "--bin-dir", n.binDir, "--conf-dir", n.netDir)
	// portmap's default is iptables, which not every machine and kernel has, and
	// which plumb does not need.
	n.sh(`sed -i 's/"type": "portmap"/&, "backend": "nftables"/' %s/*.conflist; grep -q nftables %[1]s/*.conflist`, n.netDir)
}

func (n *node) path(name string) string { return filepath.Join(n.dir, name) }

func (n *node) write(name, text string) string {
	n.t.Helper()
	path := n.path(name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		n.t.Fatal(err)
	}
	return path
}

// sh runs a command of the shell on the node.
func (n *node) sh(format string, args ...any) string {
	n.t.Helper()
	return nstest.Sh(n.t, fmt.Sprintf(format, args...))
}

// plumbCommand is a command of plumb's on this node.
func (n *node) plumbCommand(args ...string) *exec.Cmd {
	cmd := exec.Command(program("plumb"), args...)
	cmd.Args = append(cmd.Args, "--file", n.path("plumb.yaml"), "--state-dir", n.stateDir, "--node", "worker1", "--socket", n.path("plumb.sock"))
	return cmd
}

// plumb runs a verb that must succeed.
func (n *node) plumb(args ...string) string {
	n.t.Helper()
	out, err := n.plumbCommand(args...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("plumb %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// process is a program that runs beside the test, with a log.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// start starts a program that writes to the log of this name, and is killed at
// the test's end.
func (n *node) start(name string, cmd *exec.Cmd) *process {
	n.t.Helper()
	log, err := os.OpenFile(n.path(name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		cmd.Wait() // how it ended is no matter
		close(p.done)
	}()
	n.t.Cleanup(func() { p.end(syscall.SIGKILL) })
	return p
}

// runtime starts a command in a namespace of processes: whatever a container
// runtime starts, it ends with it.
func (n *node) runtime(name, commandLine string) *process {
	n.t.Helper()
	// The shell, process 1, waits for the orphans as init does.
	cmd := exec.Command("sh", "-ec", "mount -t proc proc /proc; "+commandLine+" & wait $!")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	return n.start(name, cmd)
}

// end sends a signal and waits for the end.
func (p *process) end(s syscall.Signal) {
	p.cmd.Process.Signal(s) // it may have ended
	<-p.done
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// showLogs shows the end of every log, where the test has failed.
func (n *node) showLogs() {
	if !n.t.Failed() {
		return
	}
	const lines = 50
	logs, _ := filepath.Glob(n.path("*.log"))
	for _, path := range logs {
		b, err := os.ReadFile(path)
		all := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
		end := bytes.Join(all[max(0, len(all)-lines):], []byte("\n"))
		n.t.Logf("the end of %s: (%v)\n%s", filepath.Base(path), err, end)
	}
}

// patience is how long a test waits for what comes by itself, mostly at once.
const patience = 30 * time.Second

// await waits until there is no error.
func (n *node) await(what string, f func() error) {
	n.t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	n.t.Fatalf("%s: not within %s: %v", what, patience, err)
}

// command gives the output with the error.
func command(name string, args ...string) error {
	return finish(exec.Command(name, args...))
}

func finish(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}
