package bgp_test

import (
	"net/netip"
	"testing"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/kernel/nstest"
)

// reach says of next hops whether they lead somewhere.
type reach map[string]bool

func (r reach) Class(netip.Prefix) int                    { return 0 }
func (r reach) Reaches(_ netip.Prefix, a netip.Addr) bool { return r[a.String()] }

// A path that leads nowhere is worse than any other, and the only one is still told.
func TestNextHopsThatLeadNowhere(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		n := open(t, bgp.Options{})
		pa := rawPeer("a", peerA, 64513)
		pa.Import = "in"
		n.want(speaker(64512), pa, rawPeer("b", peerB, 64514), rules(t, "in", false, "local-pref 200 accept"))
		a, b := callAs(t, peerA, 64513), callAs(t, peerB, 64514)
		a.announce(7, []uint16{64513})
		n.learns("10.244.7.0/24", peerA)
		b.announce(8, []uint16{64514})
		n.learns("10.244.8.0/24", peerB)
		b.announce(7, []uint16{64514})
		leads := func(to ...string) {
			t.Helper()
			r := reach{}
			for _, a := range to {
				r[a] = true
			}
			if err := n.SetNextHops(r); err != nil {
				t.Fatal(err)
			}
		}
		leads(peerB)
		n.learns("10.244.7.0/24", peerB)
		if p := destinationPaths(t, n); len(p) != 3 || p[0].Why != "its next hop leads somewhere" || !p[1].Lost || p[1].Why != "its next hop leads nowhere" {
			t.Errorf("%+v", p)
		}
		leads()
		n.learns("10.244.7.0/24", peerA) // as if both led somewhere
		n.learns("10.244.8.0/24", peerB)
		leads(peerB)
		n.learns("10.244.7.0/24", peerB)
		a.withdraw(7)
		a.announce(7, []uint16{64513}) // comes to a speaker that knows
		a.announce(9, []uint16{64513})
		n.learns("10.244.9.0/24", peerA)
		n.learns("10.244.7.0/24", peerB)
		leads(peerA, peerB)
		n.learns("10.244.7.0/24", peerA)
	})
}
