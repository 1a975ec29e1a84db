package agent

import (
	"fmt"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/kernel/nstest"
)

// The preferred of two paths loses its way: the route takes the other, and comes back
// with the way.
func TestThePreferredPathLosesItsWay(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		a, b := twoRouters(t)
		text := strings.Replace(withTwo, "{name: tor-a, address: 192.0.2.2, asn: 64601}", "{name: tor-a, address: 192.0.2.2, asn: 64601, import: [first]}", 1) +
			"  filters: [{name: first, rules: [{set: {localPref: 200}, action: accept}]}]\n"
		o := options(t, text)
		o.HTTP = "127.0.0.1:9178"
		start(t, o)
		a.Announce("10.244.2.0/24")
		b.Announce("10.244.2.0/24")
		hasRoute(t, true, "10.244.2.0/24 via 192.0.2.2 dev eth0")
		bgptest.Eventually(t, "both up", func() bool { return a.Up("192.0.2.1") && b.Up("198.51.100.1") })
		nstest.Sh(t, "ip link set eth0 down")
		hasRoute(t, true, "10.244.2.0/24 via 198.51.100.2 dev eth1")
		nstest.Sh(t, "ip link set eth0 up")
		hasRoute(t, true, "10.244.2.0/24 via 192.0.2.2 dev eth0")
	})
}

// maxPaths is kept to, and another takes effect at once, without a session's end. What
// cannot be reached does not count.
func TestMaxPathsChanges(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		a, b := twoRouters(t)
		o := options(t, withTwo)
		o.HTTP = "127.0.0.1:9178"
		start(t, o)
		a.Announce("10.244.2.0/24")
		b.Announce("10.244.2.0/24")
		const both = "10.244.2.0/24 nexthop via 192.0.2.2 dev eth0 weight 1 nexthop via 198.51.100.2 dev eth1 weight 1"
		hasRoute(t, true, both)
		since := func() (out string) {
			for _, s := range statusOf(t).BGP.Sessions {
				out += fmt.Sprintf("%s %s %s\n", s.Name, s.State, s.Since)
			}
			return out
		}
		before := since()
		write(t, o.File, withTwo+"  maxPaths: 1\n")
		hasRoute(t, true, "10.244.2.0/24 via 192.0.2.2 dev eth0")
		nstest.Sh(t, "ip route add blackhole 192.0.2.2")
		hasRoute(t, true, "10.244.2.0/24 via 198.51.100.2 dev eth1")
		nstest.Sh(t, "ip route del blackhole 192.0.2.2")
		hasRoute(t, true, "10.244.2.0/24 via 192.0.2.2 dev eth0")
		write(t, o.File, withTwo+"  maxPaths: 2\n")
		hasRoute(t, true, both)
		if now := since(); now != before {
			t.Errorf("sessions were touched:\n%s\n%s", before, now)
		}
	})
}
