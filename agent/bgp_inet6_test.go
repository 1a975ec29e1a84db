package agent

import (
	"testing"

	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/kernel/nstest"
)

// A link without IPv4 addresses: what a router announces of IPv4 over its IPv6 session
// goes into the kernel by its IPv6 address, and packets go that way.
func TestIPv4RoutesByIPv6NextHops(t *testing.T) {
	for name, start := range bgptest.Routers {
		t.Run(name, func(t *testing.T) {
			nstest.Run(t, func(t *testing.T) {
				nstest.Sh(t, "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad")
				nstest.Sh(t, "ip link set lo up; ip addr add 10.244.1.5/32 dev lo")
				h := bgptest.NewHost(t, "eth0", []string{"fd00:a::1/64"}, []string{"fd00:a::2/64"})
				h.Sh("ip addr add 10.244.2.1/32 dev lo; ip route add 10.244.1.0/24 via inet6 fd00:a::1")
				r := start(t, h, bgptest.Config{ASN: 64601, RouterID: "192.0.2.2", Peers: []bgptest.Peer{
					{Address: "fd00:a::1", Local: "fd00:a::2", ASN: 64512, IPv4: true, IPv6: true},
				}})
				r.Announce("10.244.2.0/24")
				start6(t)
				hasRoute(t, true, "10.244.2.0/24 via inet6 fd00:a::2 dev eth0")
				bgptest.Eventually(t, "the router has the podCIDR", func() bool { return r.Has("10.244.1.0/24") }, r.Status)
				nstest.Sh(t, "ping -c 1 -W 5 -I 10.244.1.5 10.244.2.1")
				r.Withdraw("10.244.2.0/24")
				hasRoute(t, false, "10.244.2.0/24")
			})
		})
	}
}

// start6 runs an agent whose node has addresses of IPv6 alone.
func start6(t *testing.T) {
	t.Helper()
	start(t, options(t, `apiVersion: plumb/v1
pools: [{cidr: 10.244.0.0/16}]
nodes: [{name: n0, addresses: ["fd00:a::1/64"], routerID: 192.0.2.1, podCIDRs: [10.244.1.0/24]}]
bgp: {asn: 64512, peers: [{name: tor, address: "fd00:a::2", asn: 64601}]}
`))
}
