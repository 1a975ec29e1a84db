package bgptest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// gobgp is GoBGP's own daemon, of another version than the one that plumb has in it.
type gobgp struct {
	*daemon
	h      *Host
	c      Config
	conf   string
	routes map[string][]string // communities by prefix
}

// GoBGP starts gobgpd.
func GoBGP(t testing.TB, h *Host, c Config) Router {
	t.Helper()
	g := &gobgp{h: h, c: c, conf: filepath.Join(t.TempDir(), "gobgpd.toml"), routes: map[string][]string{}}
	if err := os.WriteFile(g.conf, []byte(g.toml()), 0o600); err != nil {
		t.Fatal(err)
	}
	g.start()
	return g
}

func (g *gobgp) start(more ...string) {
	args := []string{"gobgpd", "-f", g.conf, "--api-hosts", "127.0.0.1:50051", "--pprof-disable"}
	g.daemon = startDaemon(g.h.t, g.h, append(args, more...)...)
	g.runs(func() error { _, err := g.cli("neighbor"); return err })
}

// Restart announces again at once: gobgpd keeps nothing, and waits with its
// End-of-RIB.
func (g *gobgp) Restart() {
	g.start("-r")
	for prefix, communities := range g.routes {
		g.Announce(prefix, communities...)
	}
}

func (g *gobgp) Name() string { return "gobgpd" }

// cli asks gobgpd. The program that asks gives up after a second in which a busy
// machine may not have connected it.
func (g *gobgp) cli(command string) (out string, err error) {
	for end := time.Now().Add(time.Minute); ; {
		var b []byte
		b, err = g.h.Command(append([]string{"gobgp"}, strings.Fields(command)...)...).CombinedOutput()
		if out = string(b); err == nil || !strings.Contains(out, "context deadline exceeded") || time.Now().After(end) {
			return out, err
		}
	}
}

func (g *gobgp) must(command string) string {
	out, err := g.cli(command)
	if err != nil {
		g.h.t.Errorf("gobgp %s: %v\n%s", command, err, out)
	}
	return out
}

func (g *gobgp) toml() string {
	var s strings.Builder
	port := g.c.Port
	if port == 0 {
		port = 179
	}
	fmt.Fprintf(&s, "[global.config]\n  as = %d\n  router-id = %q\n  port = %d\n", g.c.ASN, g.c.RouterID, port)
	for _, p := range g.c.Peers {
		fmt.Fprintf(&s, "[[neighbors]]\n  [neighbors.config]\n    neighbor-address = %q\n    peer-as = %d\n    auth-password = %q\n", p.Address, p.ASN, p.Password)
		fmt.Fprintf(&s, "  [neighbors.transport.config]\n    local-address = %q\n    passive-mode = %v\n", p.Local, p.Passive)
		hold := p.Hold
		if hold == 0 {
			hold = 90
		}
		fmt.Fprintf(&s, "  [neighbors.timers.config]\n    hold-time = %d\n    keepalive-interval = %d\n    connect-retry = 2\n    idle-hold-time-after-reset = 1\n", hold, max(hold/3, 1))
		if p.MinTTL > 0 {
			fmt.Fprintf(&s, "  [neighbors.ttl-security.config]\n    enabled = true\n    ttl-min = %d\n", p.MinTTL)
		} else if p.Multihop > 0 {
			fmt.Fprintf(&s, "  [neighbors.ebgp-multihop.config]\n    enabled = true\n    multihop-ttl = %d\n", p.Multihop)
		}
		if p.Client {
			fmt.Fprintf(&s, "  [neighbors.route-reflector.config]\n    route-reflector-client = true\n    route-reflector-cluster-id = %q\n", g.c.RouterID)
		}
		if g.c.Restart > 0 {
			fmt.Fprintf(&s, "  [neighbors.graceful-restart.config]\n    enabled = true\n    restart-time = %d\n    deferral-time = 5\n", g.c.Restart)
		}
		for _, f := range []struct {
			on   bool
			name string
		}{{p.IPv4, "ipv4-unicast"}, {p.IPv6, "ipv6-unicast"}} {
			if !f.on {
				continue
			}
			fmt.Fprintf(&s, "  [[neighbors.afi-safis]]\n    [neighbors.afi-safis.config]\n      afi-safi-name = %q\n", f.name)
			fmt.Fprintf(&s, "    [neighbors.afi-safis.mp-graceful-restart.config]\n      enabled = %v\n", g.c.Restart > 0)
		}
	}
	return s.String()
}

func (g *gobgp) Announce(prefix string, communities ...string) {
	g.routes[prefix] = communities
	command := "global rib add -a " + family(prefix) + " " + prefix
	standard, large := split(communities)
	if standard != nil {
		command += " community " + strings.Join(standard, ",")
	}
	if large != nil {
		command += " large-community " + strings.Join(large, ",")
	}
	if !is4(prefix) {
		// Over a session of IPv4 it would give an IPv4 next hop.
		for _, p := range g.c.Peers {
			if !strings.Contains(p.Local, ":") {
				command += " nexthop " + g.h.address6()
				break
			}
		}
	}
	g.must(command)
}

// address6 is the host's IPv6 address.
func (h *Host) address6() string {
	f := strings.Fields(h.Sh("ip -6 -o addr show dev eth0 scope global"))
	for i, w := range f {
		if w == "inet6" && i+1 < len(f) {
			a, _, _ := strings.Cut(f[i+1], "/")
			return a
		}
	}
	return "::1"
}

func (g *gobgp) Withdraw(prefix string) {
	delete(g.routes, prefix)
	g.must("global rib del -a " + family(prefix) + " " + prefix)
}

func (g *gobgp) Has(prefix string) bool {
	return strings.Contains(g.Show(prefix), prefix)
}

func (g *gobgp) Show(prefix string) string {
	out, _ := g.cli("global rib -a " + family(prefix) + " " + prefix)
	return out
}

func (g *gobgp) Up(address string) bool {
	out, _ := g.cli("neighbor " + address)
	return strings.Contains(out, "BGP state = ESTABLISHED")
}

func (g *gobgp) Status() string {
	out, _ := g.cli("neighbor")
	return out + g.text()
}

func (g *gobgp) Refresh(address string) { g.must("neighbor " + address + " softresetin") }

func (g *gobgp) Freeze() { g.signal(syscall.SIGSTOP) }
func (g *gobgp) Thaw()   { g.signal(syscall.SIGCONT) }
func (g *gobgp) Kill()   { g.end(syscall.SIGKILL) }
func (g *gobgp) Stop()   { g.end(syscall.SIGTERM) }
