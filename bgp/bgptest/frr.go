package bgptest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// frr is FRR's bgpd.
type frr struct {
	bgpd   *daemon
	h      *Host
	c      Config
	dir    string
	routes map[string][]string // communities by prefix
}

// frrFolder is where Debian has FRR's programs.
const frrFolder = "/usr/lib/frr/"

// FRR starts bgpd.
func FRR(t testing.TB, h *Host, c Config) Router {
	t.Helper()
	r := &frr{h: h, c: c, dir: t.TempDir(), routes: map[string][]string{}}
	r.start()
	return r
}

func (r *frr) Restart() { r.start() }

func (r *frr) start() {
	for name, text := range map[string]string{"bgpd.conf": r.conf(), "vtysh.conf": ""} {
		if err := os.WriteFile(r.path(name), []byte(text), 0o600); err != nil {
			r.h.t.Fatal(err)
		}
	}
	// It stays root, the only user that a user namespace has, and does without zebra,
	// which refuses to.
	args := []string{
		frrFolder + "bgpd", "-f", r.path("bgpd.conf"), "-i", r.path("bgpd.pid"), "-Z", "--vty_socket", r.dir, "-S", "--log", "stdout",
	}
	if r.c.Port != 0 {
		args = append(args, "-p", fmt.Sprint(r.c.Port))
	}
	r.bgpd = startDaemon(r.h.t, r.h, args...)
	r.bgpd.runs(func() error { _, err := r.vty("show version"); return err })
}

func (r *frr) Name() string            { return "frr" }
func (r *frr) path(name string) string { return filepath.Join(r.dir, name) }

// vty runs commands; those of configuration are lines of one session.
func (r *frr) vty(commands ...string) (string, error) {
	args := []string{"vtysh", "--vty_socket", r.dir, "--config_dir", r.dir, "-d", "bgpd"}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	out, err := r.h.Command(args...).CombinedOutput()
	return string(out), err
}

func (r *frr) must(commands ...string) string {
	out, err := r.vty(commands...)
	if err != nil || strings.Contains(out, "% ") {
		r.h.t.Errorf("vtysh %q: %v\n%s", commands, err, out)
	}
	return out
}

func (r *frr) conf() string {
	var s strings.Builder
	fmt.Fprintf(&s, "hostname f\nrouter bgp %d\n bgp router-id %s\n no bgp ebgp-requires-policy\n no bgp network import-check\n no bgp default ipv4-unicast\n",
		r.c.ASN, r.c.RouterID)
	if r.c.Restart > 0 {
		fmt.Fprintf(&s, " bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n bgp graceful-restart restart-time %d\n", r.c.Restart)
	}
	for _, p := range r.c.Peers {
		line := func(format string, args ...any) {
			fmt.Fprintf(&s, " neighbor %s %s\n", p.Address, fmt.Sprintf(format, args...))
		}
		line("remote-as %d", p.ASN)
		line("update-source %s", p.Local)
		line("timers connect 2")
		line("advertisement-interval 0")
		if p.Password != "" {
			line("password %s", p.Password)
		}
		if p.MinTTL > 0 {
			line("ttl-security hops %d", 256-p.MinTTL)
		} else if p.Multihop > 0 {
			line("ebgp-multihop %d", p.Multihop)
		}
		if p.Hold > 0 {
			line("timers %d %d", max(p.Hold/3, 1), p.Hold)
		}
		if p.Passive {
			line("passive")
		}
		if p.IPv4 && strings.Contains(p.Local, ":") {
			line("capability extended-nexthop")
		}
	}
	hop6 := "" // without zebra it does not know the device's own addresses
	for _, f := range []struct {
		name string
		on   func(Peer) bool
	}{{"ipv4", func(p Peer) bool { return p.IPv4 }}, {"ipv6", func(p Peer) bool { return p.IPv6 }}} {
		fmt.Fprintf(&s, " address-family %s unicast\n", f.name)
		for _, p := range r.c.Peers {
			if f.on(p) {
				fmt.Fprintf(&s, "  neighbor %[1]s activate\n  neighbor %[1]s soft-reconfiguration inbound\n", p.Address)
				if f.name == "ipv6" && !strings.Contains(p.Local, ":") {
					fmt.Fprintf(&s, "  neighbor %s route-map hop6 out\n", p.Address)
					hop6 = "route-map hop6 permit 10\n set ipv6 next-hop global " + r.h.address6() + "\n"
				}
				if p.Client {
					fmt.Fprintf(&s, "  neighbor %s route-reflector-client\n", p.Address)
				}
			}
		}
		for prefix, communities := range r.routes {
			if family(prefix) == f.name {
				fmt.Fprintf(&s, "  network %s%s\n", prefix, r.byMap(prefix, communities))
			}
		}
		s.WriteString(" exit-address-family\n")
	}
	s.WriteString(hop6)
	for prefix, communities := range r.routes {
		s.WriteString(strings.Join(r.routeMap(prefix, communities), "\n") + "\n")
	}
	return s.String()
}

// routeMap gives the lines of the map that sets a prefix's communities.
func (r *frr) routeMap(prefix string, communities []string) []string {
	if len(communities) == 0 {
		return nil
	}
	lines := []string{"route-map " + mapName(prefix) + " permit 10"}
	standard, large := split(communities)
	if standard != nil {
		lines = append(lines, "set community "+strings.Join(standard, " "))
	}
	if large != nil {
		lines = append(lines, "set large-community "+strings.Join(large, " "))
	}
	return lines
}

func mapName(prefix string) string {
	return "m" + strings.NewReplacer(".", "-", "/", "-", ":", "-").Replace(prefix)
}

func (r *frr) byMap(prefix string, communities []string) string {
	if len(communities) == 0 {
		return ""
	}
	return " route-map " + mapName(prefix)
}

func family(prefix string) string {
	if is4(prefix) {
		return "ipv4"
	}
	return "ipv6"
}

func (r *frr) network(no, prefix, rest string) []string {
	return []string{
		"configure terminal", fmt.Sprintf("router bgp %d", r.c.ASN), "address-family " + family(prefix) + " unicast",
		strings.TrimSpace(no + " network " + prefix + rest),
	}
}

func (r *frr) Announce(prefix string, communities ...string) {
	r.routes[prefix] = communities
	if lines := r.routeMap(prefix, communities); lines != nil {
		r.must(append([]string{"configure terminal"}, lines...)...)
	}
	r.must(r.network("", prefix, r.byMap(prefix, communities))...)
}

func (r *frr) Withdraw(prefix string) {
	delete(r.routes, prefix)
	r.must(r.network("no", prefix, "")...)
}

func (r *frr) Has(prefix string) bool {
	out, err := r.vty("show bgp " + family(prefix) + " unicast " + prefix)
	return err == nil && strings.Contains(out, "BGP routing table entry for "+prefix) && strings.Contains(out, " from ")
}

func (r *frr) Show(prefix string) string {
	out, _ := r.vty("show bgp " + family(prefix) + " unicast " + prefix)
	return out
}

func (r *frr) Up(address string) bool {
	out, _ := r.vty("show bgp neighbors " + address)
	return strings.Contains(out, "BGP state = Established")
}

func (r *frr) Status() string {
	out, _ := r.vty("show bgp neighbors")
	return out + r.bgpd.text()
}

func (r *frr) Refresh(address string) {
	// Without what it keeps itself it has to ask.
	for _, f := range []string{"ipv4", "ipv6"} {
		r.must("configure terminal", fmt.Sprintf("router bgp %d", r.c.ASN), "address-family "+f+" unicast",
			"no neighbor "+address+" soft-reconfiguration inbound")
	}
	r.must("clear bgp ipv4 unicast " + address + " soft in")
}

func (r *frr) Freeze() { r.bgpd.signal(syscall.SIGSTOP) }
func (r *frr) Thaw()   { r.bgpd.signal(syscall.SIGCONT) }
func (r *frr) Kill()   { r.bgpd.end(syscall.SIGKILL) }
func (r *frr) Stop()   { r.bgpd.end(syscall.SIGTERM) }
