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

// A link that is lost ends the sessions of external peers on it, and their routes go; it
// does not concern internal peers, those behind a router, and those on other links.
func TestLinkLost(t *testing.T) {
	for name, c := range map[string]struct {
		asn     uint32
		ttl     uint8
		address string
		ends    bool
	}{
		"external":        {64513, 0, near4 + "/24", true},
		"on another link": {64513, 0, "198.51.100.1/24", false},
		"further away":    {64513, 2, near4 + "/24", false},
		"internal":        {64512, 0, near4 + "/24", false},
	} {
		t.Run(name, func(t *testing.T) {
			alone(t, func(t *testing.T) {
				far := far(64512)
				far.Multihop = int(c.ttl)
				r := bgptest.BIRD(t, wire(t), bgptest.Config{ASN: c.asn, RouterID: far4, Restart: 60, Peers: []bgptest.Peer{far}})
				r.Announce("10.244.2.0/24")
				n := open(t, bgp.Options{})
				p := peer4(c.asn)
				p.TTL = c.ttl
				n.want(speaker(64512), p, state.BGPPrefix{Prefix: prefix("10.244.1.0/24")})
				n.learns("10.244.2.0/24", far4)
				n.established(far4)
				n.LinkLost("eth7", []netip.Prefix{prefix(c.address), prefix("2001:db8::1/64")})
				if !c.ends {
					time.Sleep(time.Second) // nothing may happen in it
					if n.withdrawn("10.244.2.0/24") || !n.up(far4) {
						t.Error("the session ended")
					}
					return
				}
				bgptest.Eventually(t, "the routes go", func() bool { return n.withdrawn("10.244.2.0/24") })
				bgptest.Eventually(t, "it is back", func() bool { return n.up(far4) && n.route("10.244.2.0/24") != nil }, r.Status)
				if s := n.session(far4); !strings.Contains(s.LastError, "eth7 has no carrier") {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}
