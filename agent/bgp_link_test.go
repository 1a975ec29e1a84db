package agent

import (
	"strings"
	"testing"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/kernel/nstest"
)

// The other end of the link to one of two routers goes down: what both announce goes by
// the other at once, not after the hold time, and comes back with the link.
func TestALinkWithoutCarrier(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad")
		router := func(name, near, far string) (*bgptest.Host, bgptest.Router) {
			h := bgptest.NewHost(t, name, []string{near + "/24"}, []string{far + "/24"})
			return h, bgptest.BIRD(t, h, bgptest.Config{ASN: 64601, RouterID: far, Restart: 30, Peers: []bgptest.Peer{
				{Address: near, Local: far, ASN: 64512, IPv4: true},
			}})
		}
		ha, a := router("eth0", "192.0.2.1", "192.0.2.2")
		_, b := router("eth1", "198.51.100.1", "198.51.100.2")
		a.Announce("10.244.2.0/24")
		b.Announce("10.244.2.0/24")
		o := options(t, withTwo)
		o.HTTP = "127.0.0.1:9178"
		log := start(t, o)
		const both = "10.244.2.0/24 nexthop via 192.0.2.2 dev eth0 weight 1 nexthop via 198.51.100.2 dev eth1 weight 1"
		hasRoute(t, true, both)
		torA := func() bgp.Session { return statusOf(t).BGP.Sessions[0] }
		bgptest.Eventually(t, "the session is shown", func() bool { return torA().State == bgp.Established })
		ha.Sh("ip link set eth0 down")
		hasRoute(t, true, "10.244.2.0/24 via 198.51.100.2 dev eth1")
		if s := torA(); s.Name != "tor-a" || s.State == bgp.Established {
			t.Errorf("the session: %+v", s)
		}
		if text := log.String(); !strings.Contains(text, "eth0 has no carrier") {
			t.Errorf("the log does not say why:\n%s", text)
		}
		ha.Sh("ip link set eth0 up")
		hasRoute(t, true, both)
	})
}
