package bgptest

import (
	"bytes"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Config is what a router is started with.
type Config struct {
	ASN      uint32
	RouterID string
	Port     int // that it listens on; 0: 179
	Peers    []Peer
	// Restart is the graceful restart time in seconds; 0: none.
	Restart int
	// Kernel has it put routes into its namespace's kernel, and keep them there.
	Kernel bool
}

// Peer is a session of a router.
type Peer struct {
	Address, Local string
	ASN            uint32
	Password       string
	MinTTL         int // TTL security; 0: none
	Multihop       int
	Hold           int  // seconds; 0: the router's default
	Passive        bool // it waits to be called
	IPv4, IPv6     bool
	Client         bool // of a reflector
}

// Router is a program that speaks BGP.
type Router interface {
	Name() string
	// Announce originates a prefix with communities; Withdraw takes it back.
	Announce(prefix string, communities ...string)
	Withdraw(prefix string)
	// Has says whether it learned the prefix; Show is what it knows of it.
	Has(prefix string) bool
	Show(prefix string) string
	// Up says whether the session with the address is established.
	Up(address string) bool
	// Status is for people: what it says of its sessions, and its log.
	Status() string
	// Refresh asks the peer for its routes again (RFC 2918).
	Refresh(address string)
	// Freeze stops the program where it is, Thaw lets it go on.
	Freeze()
	Thaw()
	// Kill ends it without a word, Stop with a notification.
	Kill()
	Stop()
	// Restart starts it again after Kill, as one that has restarted (RFC 4724), with
	// what it announced before.
	Restart()
}

// Start starts a router on the host; it ends with the test.
type Start func(t testing.TB, h *Host, c Config) Router

// Routers are all implementations, by name.
var Routers = map[string]Start{"bird": BIRD, "frr": FRR, "gobgpd": GoBGP}

// daemon is a process of a router, with what it says.
type daemon struct {
	t    testing.TB
	cmd  *exec.Cmd
	done chan struct{}

	mu  sync.Mutex
	log bytes.Buffer
}

func (d *daemon) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(b)
}

func (d *daemon) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

func startDaemon(t testing.TB, h *Host, args ...string) *daemon {
	t.Helper()
	// nsenter becomes the program, so that signals reach it.
	d := &daemon{t: t, cmd: h.Command(args...), done: make(chan struct{})}
	d.cmd.Stdout, d.cmd.Stderr = d, d
	d.cmd.WaitDelay = time.Second
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = d.cmd.Wait()
		close(d.done)
	}()
	t.Cleanup(func() { d.signal(syscall.SIGCONT); d.end(syscall.SIGKILL) })
	return d
}

// runs waits until the process answers, and fails at once where it ends.
func (d *daemon) runs(answers func() error) {
	d.t.Helper()
	Eventually(d.t, d.cmd.String()+" answers", func() bool {
		select {
		case <-d.done:
			d.t.Fatalf("%s ended:\n%s", d.cmd, d.text())
		default:
		}
		return answers() == nil
	}, d.text)
}

func (d *daemon) signal(s os.Signal) {
	select {
	case <-d.done:
	default:
		_ = d.cmd.Process.Signal(s)
	}
}

// end signals and waits until the process is gone.
func (d *daemon) end(s os.Signal) {
	d.signal(s)
	select {
	case <-d.done:
	case <-time.After(20 * time.Second):
		d.t.Errorf("%s does not end:\n%s", d.cmd, d.text())
	}
}

// split tells standard communities from large ones.
func split(communities []string) (standard, large []string) {
	for _, c := range communities {
		if strings.Count(c, ":") == 1 {
			standard = append(standard, c)
		} else {
			large = append(large, c)
		}
	}
	return standard, large
}

func is4(prefix string) bool { return netip.MustParsePrefix(prefix).Addr().Is4() }
