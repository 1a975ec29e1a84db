package bgp_test

import (
	"testing"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
)

// Two routers of each implementation announce prefixes of both families: both are used,
// and the one that is left when the other withdraws, or goes with a word.
func TestTwoRouters(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		const nearB, farB, nearB6, farB6 = "198.51.100.1", "198.51.100.2", "2001:db8:b::1", "2001:db8:b::2"
		a := start(t, wire(t), bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
		h := bgptest.NewHost(t, "second", []string{nearB + "/24", nearB6 + "/64"}, []string{farB + "/24", farB6 + "/64"})
		b := start(t, h, bgptest.Config{ASN: 64513, RouterID: farB, Peers: []bgptest.Peer{
			{Address: nearB, Local: farB, ASN: 64512, IPv4: true, IPv6: true},
		}})
		const four, six = "10.244.2.0/24", "fd00:10:244:2::/64"
		for _, r := range []bgptest.Router{a, b} {
			r.Announce(four)
			r.Announce(six)
		}
		n := open(t, bgp.Options{})
		pa, pb := peer4(64513), peer4(64513)
		pb.Name, pb.Address, pb.NextHop4, pb.NextHop6 = "second", addr(farB), addr(nearB), addr(nearB6)
		n.want(speaker(64512), pa, pb)
		n.learns(four, far4, farB)
		n.learns(six, far6, farB6)
		a.Withdraw(four)
		b.Withdraw(six)
		n.learns(four, farB)
		n.learns(six, far6)
		a.Announce(four)
		n.learns(four, far4, farB)
		b.Stop()
		n.learns(four, far4)
		if !n.up(far4) {
			t.Error("the other session went too")
		}
	})
}
