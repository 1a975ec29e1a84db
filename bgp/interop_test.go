package bgp_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

const (
	near4, far4 = "192.0.2.1", "192.0.2.2"
	near6, far6 = "2001:db8::1", "2001:db8::2"
)

// each runs body against each implementation, in a namespace of its own.
func each(t *testing.T, body func(t *testing.T, start bgptest.Start)) {
	t.Parallel()
	for name, start := range bgptest.Routers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nstest.Run(t, func(t *testing.T) { body(t, start) })
		})
	}
}

// alone runs body in a namespace of its own.
func alone(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	nstest.Run(t, body)
}

func wire(t testing.TB) *bgptest.Host {
	t.Helper()
	return bgptest.NewHost(t, "peer", []string{near4 + "/24", near6 + "/64"}, []string{far4 + "/24", far6 + "/64"})
}

func speaker(asn uint32) state.BGPSpeaker {
	return state.BGPSpeaker{
		ASN: asn, RouterID: addr(near4), ListenPort: 179,
		Pools: prefixes("10.244.0.0/16", "fd00:10:244::/56"), Own: prefixes("10.244.1.0/24", "fd00:10:244:1::/64"),
	}
}

func peer4(asn uint32) state.BGPPeer {
	return state.BGPPeer{
		Name: "peer", Address: addr(far4), ASN: asn, IPv4: true, IPv6: true, NextHop4: addr(near4), NextHop6: addr(near6),
		HoldTime: 90, RestartTime: 120,
	}
}

func far(asn uint32) bgptest.Peer {
	return bgptest.Peer{Address: near4, Local: far4, ASN: asn, IPv4: true, IPv6: true}
}

func has(t testing.TB, r bgptest.Router, prefix string, want bool) {
	t.Helper()
	bgptest.Eventually(t, prefix+" at the peer", func() bool { return r.Has(prefix) == want }, r.Status)
}

// Both families over a session of IPv4, both ways: routes come, and go.
func TestRoutesOverIPv4(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		r := start(t, wire(t), bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
		r.Announce("10.244.2.0/24")
		r.Announce("fd00:10:244:2::/64")
		r.Announce("10.244.1.128/25") // lies in the node's own podCIDR
		r.Announce("198.51.100.0/24") // lies in no pool
		n := open(t, bgp.Options{})
		sp, p := speaker(64512), peer4(64513)
		mine, mine6 := state.BGPPrefix{Prefix: prefix("10.244.1.0/24")}, state.BGPPrefix{Prefix: prefix("fd00:10:244:1::/64")}
		n.want(sp, p, mine, mine6)
		n.learns("10.244.2.0/24", far4)
		n.learns("fd00:10:244:2::/64", far6)
		has(t, r, "10.244.1.0/24", true)
		has(t, r, "fd00:10:244:1::/64", true)
		if got := r.Show("fd00:10:244:1::/64"); !strings.Contains(got, near6) {
			t.Errorf("next hop %s is missing:\n%s", near6, got)
		}
		for _, outside := range []string{"10.244.1.128/25", "198.51.100.0/24"} {
			if n.route(outside) != nil {
				t.Errorf("%s was accepted", outside)
			}
		}
		bgptest.Eventually(t, "all is counted", func() bool {
			f := n.established(far4).Families
			return len(f) == 2 && f[0].Received >= 3 && f[0].Accepted == 1 && f[0].Sent == 1 && f[1].Received >= 1 && f[1].Accepted == 1 && f[1].Sent == 1
		}, func() string { return fmt.Sprintf("%+v", n.session(far4)) })
		r.Withdraw("10.244.2.0/24")
		r.Withdraw("fd00:10:244:2::/64")
		n.learns("10.244.2.0/24")
		n.learns("fd00:10:244:2::/64")
		n.want(sp, p, mine6)
		has(t, r, "10.244.1.0/24", false)
		n.want(sp, p)
		has(t, r, "fd00:10:244:1::/64", false)
	})
}

// Neither side has an IPv4 address on the link: IPv4 routes go over the IPv6 session with
// next hops of IPv6 (RFC 8950), both ways.
func TestIPv4OverIPv6(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		h := bgptest.NewHost(t, "peer", []string{near6 + "/64"}, []string{far6 + "/64"})
		r := start(t, h, bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{
			{Address: near6, Local: far6, ASN: 64512, IPv4: true, IPv6: true},
		}})
		r.Announce("10.244.2.0/24")
		n := open(t, bgp.Options{})
		p := peer4(64513)
		p.Address, p.NextHop4, p.NextHop6 = addr(far6), netip.Addr{}, netip.Addr{}
		n.want(speaker(64512), p, state.BGPPrefix{Prefix: prefix("10.244.1.0/24")})
		n.learns("10.244.2.0/24", far6)
		has(t, r, "10.244.1.0/24", true)
		if got := r.Show("10.244.1.0/24"); !strings.Contains(got, near6) {
			t.Errorf("next hop %s is missing:\n%s", near6, got)
		}
		r.Withdraw("10.244.2.0/24")
		n.learns("10.244.2.0/24")
	})
}
