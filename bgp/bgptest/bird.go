package bgptest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// bird is BIRD 2.
type bird struct {
	*daemon
	h      *Host
	c      Config
	dir    string
	routes map[string][]string // communities by prefix
}

// BIRD starts BIRD 2.
func BIRD(t testing.TB, h *Host, c Config) Router {
	t.Helper()
	b := &bird{h: h, c: c, dir: t.TempDir(), routes: map[string][]string{}}
	b.start()
	return b
}

func (b *bird) start(more ...string) {
	if _, err := os.Stat(b.path("table")); err != nil {
		b.Table(nil)
	}
	b.write()
	args := []string{"bird", "-f", "-c", b.path("conf"), "-s", b.path("ctl"), "-P", b.path("pid")}
	b.daemon = startDaemon(b.h.t, b.h, append(args, more...)...)
	b.runs(func() error { _, err := b.ctl("show status"); return err })
}

func (b *bird) Restart() { b.start("-R") }

func (b *bird) Name() string            { return "bird" }
func (b *bird) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bird) ctl(command string) (string, error) {
	out, err := b.h.Command(append([]string{"birdc", "-s", b.path("ctl")}, strings.Fields(command)...)...).CombinedOutput()
	return string(out), err
}

func (b *bird) must(command string) string {
	out, err := b.ctl(command)
	if err != nil {
		b.h.t.Errorf("birdc %s: %v\n%s", command, err, out)
	}
	return out
}

func (b *bird) write() {
	if err := os.WriteFile(b.path("conf"), []byte(b.conf()), 0o600); err != nil {
		b.h.t.Fatal(err)
	}
}

func (b *bird) conf() string {
	var s strings.Builder
	fmt.Fprintf(&s, "protocol static table4 { ipv4;\ninclude %q;\n}\n", b.path("table"))
	fmt.Fprintf(&s, "router id %s;\nlog stderr all;\nprotocol device {}\nprotocol direct { ipv4; ipv6; }\n", b.c.RouterID)
	for _, f := range []string{"4", "6"} {
		fmt.Fprintf(&s, "protocol static s%[1]s { ipv%[1]s;\n", f)
		prefixes := make([]string, 0, len(b.routes))
		for p := range b.routes {
			prefixes = append(prefixes, p)
		}
		slices.Sort(prefixes)
		for _, p := range prefixes {
			if is4(p) != (f == "4") {
				continue
			}
			fmt.Fprintf(&s, "route %s blackhole {", p)
			for _, c := range b.routes[p] {
				kind := "community"
				if strings.Count(c, ":") == 2 {
					kind = "large_community"
				}
				fmt.Fprintf(&s, " bgp_%s.add((%s));", kind, strings.ReplaceAll(c, ":", ","))
			}
			s.WriteString(" };\n")
		}
		s.WriteString("}\n")
		if b.c.Kernel {
			fmt.Fprintf(&s, "protocol kernel { ipv%s { export where source = RTS_BGP; }; graceful restart on; persist; }\n", f)
		}
	}
	if b.c.Restart > 0 {
		fmt.Fprintf(&s, "graceful restart wait %d;\n", b.c.Restart)
	}
	for i, p := range b.c.Peers {
		s.WriteString(b.peer(i, p))
	}
	return s.String()
}

func (b *bird) peer(i int, p Peer) string {
	var s strings.Builder
	fmt.Fprintf(&s, "protocol bgp p%d {\nlocal %s as %d;\nneighbor %s as %d;\nconnect retry time 2; connect delay time 1; error wait time 1,4;\n",
		i, p.Local, b.c.ASN, p.Address, p.ASN)
	if b.c.Port != 0 {
		fmt.Fprintf(&s, "local port %d;\n", b.c.Port)
	}
	if p.Password != "" {
		fmt.Fprintf(&s, "password %q;\n", p.Password)
	}
	if p.MinTTL > 0 {
		fmt.Fprintf(&s, "ttl security on; multihop %d;\n", 256-p.MinTTL)
	} else if p.Multihop > 0 {
		fmt.Fprintf(&s, "multihop %d;\n", p.Multihop)
	}
	if p.Hold > 0 {
		fmt.Fprintf(&s, "hold time %d;\n", p.Hold)
	}
	if p.Passive {
		s.WriteString("passive;\n")
	}
	if p.Client {
		s.WriteString("rr client;\n")
	}
	if b.c.Restart > 0 {
		fmt.Fprintf(&s, "graceful restart on; graceful restart time %d;\n", b.c.Restart)
	} else {
		s.WriteString("graceful restart aware;\n")
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{p.IPv4, "ipv4"}, {p.IPv6, "ipv6"}} {
		if !f.on {
			continue
		}
		hop := ""
		if f.name == "ipv6" && !strings.Contains(p.Local, ":") {
			hop = " next hop address " + b.h.address6() + ";" // it has none of itself
		}
		fmt.Fprintf(&s, "%s { import all; import table; export where source = RTS_STATIC || source = RTS_BGP; extended next hop on;%s };\n", f.name, hop)
	}
	s.WriteString("}\n")
	return s.String()
}

func (b *bird) Announce(prefix string, communities ...string) {
	b.routes[prefix] = communities
	b.write()
	b.must("configure")
}

func (b *bird) Withdraw(prefix string) {
	delete(b.routes, prefix)
	b.write()
	b.must("configure")
}

// Table announces these prefixes beside the others, in place of those of an earlier
// call.
func (b *bird) Table(prefixes []string) {
	var s strings.Builder
	for _, p := range prefixes {
		fmt.Fprintf(&s, "route %s blackhole;\n", p)
	}
	if err := os.WriteFile(b.path("table"), []byte(s.String()), 0o600); err != nil {
		b.h.t.Fatal(err)
	}
	if b.daemon != nil {
		b.must("configure")
	}
}

// Flap takes back what Announce announced, and announces it again, in no time.
func (b *bird) Flap(announce bool) {
	if announce {
		b.must("enable s4")
	} else {
		b.must("disable s4")
	}
}

func (b *bird) Has(prefix string) bool {
	out, _ := b.ctl("show route where source = RTS_BGP")
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == prefix {
			return true
		}
	}
	return false
}

func (b *bird) Show(prefix string) string {
	out, _ := b.ctl("show route all for " + prefix)
	return out
}

func (b *bird) Up(address string) bool {
	out, _ := b.ctl("show protocols all")
	up := false
	for line := range strings.Lines(out) {
		if strings.Contains(line, "Neighbor address: "+address) {
			return up
		}
		if f := strings.Fields(line); len(f) > 3 && f[1] == "BGP" {
			up = strings.Contains(line, "Established")
		}
	}
	return false
}

func (b *bird) Status() string {
	out, _ := b.ctl("show protocols all")
	return out + b.text()
}

func (b *bird) Refresh(address string) {
	for i, p := range b.c.Peers {
		if p.Address == address {
			b.must(fmt.Sprintf("reload in p%d", i))
		}
	}
}

func (b *bird) Freeze() { b.signal(syscall.SIGSTOP) }
func (b *bird) Thaw()   { b.signal(syscall.SIGCONT) }
func (b *bird) Kill()   { b.end(syscall.SIGKILL) }
func (b *bird) Stop()   { b.end(syscall.SIGTERM) }
