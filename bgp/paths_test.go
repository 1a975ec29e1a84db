package bgp_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/state"
)

// Two routers announce one prefix equally well: both are used; one that withdraws, or is
// less preferred, is not. What the RIB says of it can be read.
func TestEqualPaths(t *testing.T) {
	alone(t, func(t *testing.T) {
		const nearB, farB = "198.51.100.1", "198.51.100.2"
		a := bgptest.BIRD(t, wire(t), bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
		b := bgptest.FRR(t, bgptest.NewHost(t, "second", []string{nearB + "/24"}, []string{farB + "/24"}), bgptest.Config{
			ASN: 64514, RouterID: farB, Peers: []bgptest.Peer{{Address: nearB, Local: farB, ASN: 64512, IPv4: true}},
		})
		a.Announce("10.244.2.0/24")
		b.Announce("10.244.2.0/24")
		n := open(t, bgp.Options{})
		sp, pa, pb := speaker(64512), peer4(64513), peer4(64514)
		pb.Name, pb.Address, pb.IPv6 = "second", addr(farB), false
		n.want(sp, pa, pb)
		n.learns("10.244.2.0/24", far4, farB)
		var d bgp.Destination
		if err := n.RIB(t.Context(), prefix("10.244.0.0/16"), func(got bgp.Destination) { d = got }); err != nil {
			t.Fatal(err)
		}
		if len(d.Paths) != 2 || !d.Paths[0].Best || !d.Paths[1].Best || d.Paths[1].Why != "equal to the best" {
			t.Errorf("%+v", d)
		}
		a.Withdraw("10.244.2.0/24")
		n.learns("10.244.2.0/24", farB)
		a.Announce("10.244.2.0/24")
		n.learns("10.244.2.0/24", far4, farB)
		pb.Import = "worse"
		worse := rules(t, "worse", false, "local-pref 50 accept")
		n.want(sp, pa, pb, worse)
		n.learns("10.244.2.0/24", far4)
		if got, _ := n.rib("10.244.2.0/24"); got.Why != "highest local preference" {
			t.Errorf("%+v", got)
		}
		pb.Import = ""
		n.want(sp, pa, pb)
		n.learns("10.244.2.0/24", far4, farB)
	})
}

// A reflector: clients learn each other's routes with the next hop as it was, the
// originator and the cluster; one that wants to be the next hop is.
func TestReflect(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		const nearB, farB = "198.51.100.1", "198.51.100.2"
		a := start(t, wire(t), bgptest.Config{ASN: 64512, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
		second := bgptest.NewHost(t, "second", []string{nearB + "/24"}, []string{farB + "/24"})
		second.Sh("ip route add 192.0.2.0/24 via " + nearB)
		b := start(t, second, bgptest.Config{
			ASN: 64512, RouterID: farB, Peers: []bgptest.Peer{{Address: nearB, Local: farB, ASN: 64512, IPv4: true}},
		})
		a.Announce("10.244.2.0/24", "64512:77")
		n := open(t, bgp.Options{})
		sp, pa, pb := speaker(64512), peer4(64512), peer4(64512)
		pb.Name, pb.Address, pb.IPv6 = "second", addr(farB), false
		for _, p := range []*state.BGPPeer{&pa, &pb} {
			p.ClusterID, p.Reflect = addr("192.0.2.99"), true
		}
		n.want(sp, pa, pb)
		has(t, b, "10.244.2.0/24", true)
		if got := b.Show("10.244.2.0/24"); !strings.Contains(got, far4) || !strings.Contains(got, "192.0.2.99") && b.Name() != "gobgpd" {
			t.Errorf("next hop or cluster is missing:\n%s", got)
		}
		since := n.established(farB).Since
		pb.NextHopSelf = true
		n.want(sp, pa, pb)
		bgptest.Eventually(t, "the next hop is the reflector", func() bool { return strings.Contains(b.Show("10.244.2.0/24"), nearB) }, func() string { return b.Show("10.244.2.0/24") })
		pb.Reflect = false
		n.want(sp, pa, pb)
		has(t, b, "10.244.2.0/24", false)
		pb.Reflect = true
		n.want(sp, pa, pb)
		has(t, b, "10.244.2.0/24", true)
		if n.session(farB).Since != since {
			t.Error("the session was not left alone")
		}
	})
}

// Sessions that a change does not concern are left alone: a peer is added, one is
// changed, one is taken away.
func TestOthersAreLeftAlone(t *testing.T) {
	alone(t, func(t *testing.T) {
		r := bgptest.BIRD(t, wire(t), bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
		r.Announce("10.244.2.0/24")
		n := open(t, bgp.Options{})
		sp, p := speaker(64512), peer4(64513)
		n.want(sp, p)
		n.learns("10.244.2.0/24", far4)
		since := n.established(far4).Since
		other := peer4(64999)
		other.Name, other.Address = "other", addr("192.0.2.77")
		dynamic := peer4(64998)
		dynamic.Name, dynamic.Address, dynamic.Prefix = "dynamic", netip.Addr{}, prefix("192.0.2.128/25")
		n.want(sp, p, other, dynamic)
		other.HoldTime = 30
		n.want(sp, p, other, dynamic)
		n.want(sp, p, dynamic)
		p.Name = "renamed"
		n.want(sp, p)
		if s := n.session(far4); s.Since != since || s.Name != "renamed" || n.withdrawn("10.244.2.0/24") {
			t.Errorf("%+v", s)
		}
		p.ASN = 64514
		n.want(sp, p)
		n.learns("10.244.2.0/24")
		sp.ASN = 64600
		n.want(sp, p)
		n.want()
		if s := n.Sessions(); len(s) != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// What cannot be is refused with its reason, and the rest is done.
func TestRefused(t *testing.T) {
	alone(t, func(t *testing.T) {
		n := open(t, bgp.Options{})
		p := peer4(64513)
		if err := n.try(p); err == nil || !strings.Contains(err.Error(), "no BGP speaker") {
			t.Errorf("a session without a speaker: %v", err)
		}
		n.have = state.Snapshot{}
		n.want(speaker(64512), p)
		for what, change := range map[string]func(*state.BGPPeer){
			`filter "nope" does not exist`: func(p *state.BGPPeer) { p.Import = "nope" },
			"exclude each other":           func(p *state.BGPPeer) { p.TTL, p.MinTTL = 2, 254 },
			"at least 3 s":                 func(p *state.BGPPeer) { p.HoldTime = 0 },
			"is not known":                 func(p *state.BGPPeer) { p.PasswordFile, p.PasswordID = "/nowhere", "12" },
			"no family":                    func(p *state.BGPPeer) { p.IPv4, p.IPv6 = false, false },
		} {
			bad := p
			change(&bad)
			if err := n.try(speaker(64512), bad); err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("%s: %v", what, err)
			}
		}
		for what, f := range map[string]state.BGPFilter{
			"as-path":    {Name: "f", Rules: `as-path "(" accept`},
			"reserved":   {Name: "f", Rules: `community 65535:33000 accept`},
			"unexpected": {Name: "f", Rules: `colour red accept`},
		} {
			if err := n.try(speaker(64512), p, f); err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("%s: %v", what, err)
			}
		}
		n.want(speaker(64512), p)
		f := rules(t, "f", true)
		p.Import = "f"
		n.want(speaker(64512), p, f)
	})
}

// With nobody to wait for, the restart is over soon; before anything was applied it
// is not.
func TestRestartWithoutPeers(t *testing.T) {
	alone(t, func(t *testing.T) {
		n := open(t, bgp.Options{Restarting: true})
		time.Sleep(300 * time.Millisecond)
		if n.isSettled() {
			t.Error("settled before it was told whose routes to wait for")
		}
		n.want(speaker(64512))
		bgptest.Eventually(t, "settled", n.isSettled, n.log.String)
	})
}

// Two speakers of plumb's own, one of which calls; each in its process. The other
// learns nothing of it when one restarts.
func TestTwoSpeakers(t *testing.T) {
	alone(t, func(t *testing.T) {
		h := wire(t)
		dir := t.TempDir()
		sp := speaker(64512)
		sp.RouterID, sp.Own = addr(far4), prefixes("10.244.2.0/24", "fd00:10:244:2::/64")
		there := peer4(64512)
		there.Address, there.NextHop4, there.NextHop6, there.Passive = addr(near4), addr(far4), addr(far6), true
		other := []state.Object{
			sp, there, state.BGPPrefix{Prefix: prefix("10.244.2.0/24")}, state.BGPPrefix{Prefix: prefix("fd00:10:244:2::/64")},
		}
		p := startProcessOn(t, h, dir, false, other...)
		n := startProcess(t, t.TempDir(), false, speaker(64512), peer4(64512),
			state.BGPPrefix{Prefix: prefix("10.244.1.0/24")}, state.BGPPrefix{Prefix: prefix("fd00:10:244:1::/64")})
		n.says("+ 10.244.2.0/24 " + far4)
		n.says("+ fd00:10:244:2::/64 " + far6)
		p.says("+ 10.244.1.0/24 " + near4)
		p.says("+ fd00:10:244:1::/64 " + near6)
		p.kill()
		p = startProcessOn(t, h, dir, true, other...)
		p.says("+ 10.244.1.0/24 " + near4)
		p.says("settled")
		time.Sleep(500 * time.Millisecond)
		if strings.Contains(n.out.String(), "- 10.244.2.0/24") || strings.Contains(n.out.String(), "- fd00:10:244:2::/64") {
			t.Errorf("routes were gone while the other restarted:\n%s", n.out)
		}
	})
}
