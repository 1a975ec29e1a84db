package bgp_test

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/state"
)

// Both families over a session of IPv6, by iBGP, the peer calling.
func TestRoutesOverIPv6(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		r := start(t, wire(t), bgptest.Config{ASN: 64512, RouterID: far4, Peers: []bgptest.Peer{
			{Address: near6, Local: far6, ASN: 64512, IPv4: true, IPv6: true},
		}})
		n := open(t, bgp.Options{})
		p := peer4(64512)
		p.Address, p.Passive, p.Source = addr(far6), true, addr(near6)
		n.want(speaker(64512), p, state.BGPPrefix{Prefix: prefix("10.244.1.0/24")}, state.BGPPrefix{Prefix: prefix("fd00:10:244:1::/64")})
		has(t, r, "10.244.1.0/24", true)
		has(t, r, "fd00:10:244:1::/64", true)
		if got := r.Show("10.244.1.0/24"); !strings.Contains(got, near4) {
			t.Errorf("next hop %s is missing:\n%s", near4, got)
		}
		r.Announce("fd00:10:244:2::/64")
		n.learns("fd00:10:244:2::/64", far6)
		r.Withdraw("fd00:10:244:2::/64")
		n.learns("fd00:10:244:2::/64")
		n.want(speaker(64512), p, state.BGPPrefix{Prefix: prefix("10.244.1.0/24")})
		has(t, r, "fd00:10:244:1::/64", false)
		has(t, r, "10.244.1.0/24", true)
	})
}

// The right password lets the session up, and a wrong one does not; changed, it
// is up again; taken away, the peer without one is taken too.
func TestPassword(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		file := filepath.Join(t.TempDir(), "password")
		write := func(s string) {
			if err := os.WriteFile(file, []byte(s+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		passwords, err := bgp.OpenPasswords(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		h := wire(t)
		far := far(64512)
		far.Password = "open-sesame"
		r := start(t, h, bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far}})
		n := open(t, bgp.Options{Passwords: passwords})
		p := peer4(64513)
		p.PasswordFile = file
		want := func() {
			id, _, err := passwords.Look(file)
			if err != nil {
				t.Fatal(err)
			}
			p.PasswordID = id
			n.want(speaker(64512), p)
		}
		write("wrong")
		want()
		bgptest.Eventually(t, "it is said that nobody answers", func() bool {
			return strings.Contains(n.session(far4).LastError, "is the password the same?")
		})
		if n.up(far4) || r.Up(near4) {
			t.Error("up with the wrong password")
		}
		write("open-sesame")
		want()
		bgptest.Eventually(t, "up with the right password", func() bool { return n.up(far4) }, r.Status)
		r.Stop()
		far.Password = ""
		r = start(t, h, bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far}})
		p.PasswordFile, p.PasswordID = "", ""
		p.Passive = true // it is the listening socket that has to forget the password
		n.want(speaker(64512), p)
		bgptest.Eventually(t, "up without a password", func() bool { return n.up(far4) }, r.Status)
		if n.log.has("sesame") {
			t.Error("the log has the password")
		}
	})
}

// A peer that sends with a TTL of 1 is not taken; one that sends with 255 is.
func TestTTLSecurity(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		h := wire(t)
		far := far(64512)
		r := start(t, h, bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far}})
		n := open(t, bgp.Options{OpenWait: 3 * time.Second})
		p := peer4(64513)
		p.MinTTL = 255
		n.want(speaker(64512), p)
		time.Sleep(4 * time.Second) // nothing may happen in it
		if n.up(far4) {
			t.Error("up, though the peer sends with a TTL of 1")
		}
		r.Kill()
		far.MinTTL = 255
		r = start(t, h, bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far}})
		bgptest.Eventually(t, "up with TTL security on both sides", func() bool { return n.up(far4) && r.Up(near4) }, r.Status)
	})
}

func TestMaxPrefixes(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		r := start(t, wire(t), bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
		r.Announce("10.244.2.0/24")
		r.Announce("10.244.3.0/24")
		n := open(t, bgp.Options{LimitRetry: 15 * time.Second})
		p := peer4(64513)
		p.MaxPrefixes = 2
		n.want(speaker(64512), p)
		n.learns("10.244.2.0/24", far4)
		r.Announce("10.244.4.0/24")
		n.learns("10.244.2.0/24")
		if s := n.session(far4); s.State == bgp.Established || !strings.Contains(s.LastError, "maximum number of prefixes reached") {
			t.Errorf("%+v", s)
		}
		r.Withdraw("10.244.4.0/24")
		n.learns("10.244.2.0/24", far4)
	})
}

// A dynamic neighbour with too many prefixes is held off too, though GoBGP would
// take it again at once.
func TestMaxPrefixesOfDynamicNeighbour(t *testing.T) {
	alone(t, func(t *testing.T) {
		r := bgptest.BIRD(t, wire(t), bgptest.Config{ASN: 64512, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
		r.Announce("10.244.2.0/24")
		n := open(t, bgp.Options{LimitRetry: 20 * time.Second})
		p := peer4(64512)
		p.Address, p.Prefix, p.MaxPrefixes = netip.Addr{}, prefix("192.0.2.0/24"), 1
		n.want(speaker(64512), p)
		n.learns("10.244.2.0/24", far4)
		r.Announce("10.244.3.0/24")
		n.learns("10.244.2.0/24")
		bgptest.Eventually(t, "it is said", func() bool { return n.log.has("more prefixes than maxPrefixes allows") })
		bgptest.Eventually(t, "it is shown, with the reason and until when", func() bool {
			s := n.session(far4)
			wait := time.Until(s.Again)
			return s.State == "idle" && s.Prefix == p.Prefix && len(s.Families) == 2 && wait > 0 && wait < 20*time.Second &&
				strings.Contains(s.LastError, "maximum number of prefixes reached")
		})
		r.Withdraw("10.244.3.0/24")
		time.Sleep(3 * time.Second) // BIRD calls meanwhile
		if n.up(far4) {
			t.Error("it was taken again at once")
		}
		n.learns("10.244.2.0/24", far4)
	})
}

// A peer that is stopped in mid-air is noticed by its silence; its routes stay for
// its restart time, and are there again when it goes on.
func TestHoldTimer(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		far := far(64512)
		far.Hold = 3
		r := start(t, wire(t), bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far}})
		r.Announce("10.244.2.0/24")
		n := open(t, bgp.Options{})
		p := peer4(64513)
		p.HoldTime, p.RestartTime = 3, 0
		n.want(speaker(64512), p)
		n.learns("10.244.2.0/24", far4)
		r.Freeze()
		n.learns("10.244.2.0/24")
		bgptest.Eventually(t, "the reason is said", func() bool { return strings.Contains(n.session(far4).LastError, "hold timer expired") })
		r.Thaw()
		n.learns("10.244.2.0/24", far4)
	})
}

// This node calls itself by another ASN on one session, over more than one hop.
func TestLocalASN(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		far := far(65000)
		far.Multihop = 3
		r := start(t, wire(t), bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far}})
		r.Announce("10.244.2.0/24")
		n := open(t, bgp.Options{})
		p := peer4(64513)
		p.LocalASN, p.TTL = 65000, 3
		n.want(speaker(64512), p, state.BGPPrefix{Prefix: prefix("10.244.1.0/24")})
		n.learns("10.244.2.0/24", far4)
		has(t, r, "10.244.1.0/24", true)
		if s := r.Show("10.244.1.0/24"); !strings.Contains(s, "65000") || strings.Contains(s, "64512") {
			t.Errorf("the AS path:\n%s", s)
		}
	})
}

func TestRouteRefresh(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		r := start(t, wire(t), bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
		n := open(t, bgp.Options{})
		n.want(speaker(64512), peer4(64513), state.BGPPrefix{Prefix: prefix("10.244.1.0/24")})
		has(t, r, "10.244.1.0/24", true)
		r.Refresh(near4)
		time.Sleep(300 * time.Millisecond)
		has(t, r, "10.244.1.0/24", true)
		n.established(far4)
	})
}

// A dynamic neighbour calls, is served, and is remembered; with its prefix gone,
// so is its session.
func TestDynamicNeighbour(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		r := start(t, wire(t), bgptest.Config{ASN: 64512, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
		r.Announce("10.244.2.0/24")
		n := open(t, bgp.Options{StateDir: t.TempDir()})
		p := peer4(64512)
		p.Address, p.Prefix, p.ClusterID, p.Reflect = netip.Addr{}, prefix("192.0.2.0/24"), addr("192.0.2.9"), true
		n.want(speaker(64512), p, state.BGPPrefix{Prefix: prefix("10.244.1.0/24")})
		n.learns("10.244.2.0/24", far4)
		has(t, r, "10.244.1.0/24", true)
		if s := n.established(far4); s.Prefix != p.Prefix || s.Name != "peer" {
			t.Errorf("%+v", s)
		}
		n.want(speaker(64512))
		n.learns("10.244.2.0/24")
		bgptest.Eventually(t, "the session is gone", func() bool { return !r.Up(near4) }, r.Status)
	})
}

// A peer that listens on a port of its own is called there, from the address that is
// given; and this node can listen elsewhere.
func TestPorts(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		h := wire(t)
		h.Sh("ip route add 203.0.113.1/32 via " + near4)
		bgptest.Run(t, exec.Command("ip", "addr", "add", "203.0.113.1/32", "dev", "lo"))
		bgptest.Run(t, exec.Command("ip", "link", "set", "lo", "up"))
		far := far(64512)
		far.Address, far.Passive, far.Multihop = "203.0.113.1", true, 2
		r := start(t, h, bgptest.Config{ASN: 64513, RouterID: far4, Port: 1179, Peers: []bgptest.Peer{far}})
		n := open(t, bgp.Options{})
		sp, p := speaker(64512), peer4(64513)
		sp.ListenPort, p.Port, p.Source, p.TTL = 1790, 1179, addr("203.0.113.1"), 2
		n.want(sp, p, state.BGPPrefix{Prefix: prefix("10.244.1.0/24")})
		bgptest.Eventually(t, "up", func() bool { return n.up(far4) && r.Up("203.0.113.1") }, r.Status, n.log.String)
		has(t, r, "10.244.1.0/24", true)
		for _, a := range []string{"192.0.2.1:1790", "[2001:db8::1]:1790"} {
			c, err := net.Dial("tcp", a)
			if err != nil {
				t.Error(err)
				continue
			}
			c.Close()
		}
		if _, err := net.Dial("tcp", "192.0.2.1:179"); err == nil {
			t.Error("it listens on port 179 too")
		}
	})
}
