package render

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/state"
)

func hop(text string) state.NextHop {
	var h state.NextHop
	f := strings.Fields(text)
	for i := 0; i < len(f); i += 2 {
		if f[i] == "via" {
			h.Gateway = netip.MustParseAddr(f[i+1])
		} else {
			h.Dev = f[i+1]
		}
	}
	return h
}

func hostRoute(dst string, hops ...string) state.Route {
	list := make([]state.NextHop, 0, len(hops))
	for _, h := range hops {
		list = append(list, hop(h))
	}
	return state.NewRoute(netip.MustParsePrefix(dst), state.TableMain, 4, list...)
}

func with(r state.Route, change func(*state.Route)) state.Route {
	change(&r)
	return r
}

// theHost is what the next hops of all tests are looked up in.
func theHost() *HostRoutes {
	return NewHostRoutes([]state.Route{
		hostRoute("172.18.0.0/16", "dev eth0"),
		hostRoute("fc00:18::/64", "dev eth0"),
		hostRoute("10.0.0.0/8", "via 172.18.0.9 dev eth0"),
		hostRoute("10.1.0.0/16", "via 172.18.0.7 dev eth0", "via 172.18.0.8 dev eth0"),
		with(hostRoute("10.2.0.0/16", "via 172.18.0.50 dev eth0"), func(r *state.Route) { r.Metric = 50 }),
		with(hostRoute("10.2.0.0/16", "via 172.18.0.10 dev eth0"), func(r *state.Route) { r.Metric = 10 }),
		with(hostRoute("10.3.0.0/16"), func(r *state.Route) { r.Type = 7 }), // unreachable
		with(hostRoute("10.4.0.0/16"), func(r *state.Route) {
			r.Multipath = "nhid 12 weight 3 nexthop via 172.18.0.4 dev eth0 nexthop via 172.18.0.5 dev eth0"
		}),
		with(hostRoute("10.5.0.0/16", "via 172.18.0.5 dev eth0"), func(r *state.Route) { r.Multipath = "nhid 13" }),
		hostRoute("10.6.0.0/16", "via fc00:18::6 dev eth0"),
		hostRoute("fd00:6::/64", "via fc00:18::6 dev eth0"),
		hostRoute("100.64.0.0/10", "dev ppp0"),
		hostRoute("192.0.2.0/24", "dev lo"),
	}, worker1)
}

func TestResolve(t *testing.T) {
	h := theHost()
	for _, tc := range []struct{ what, nextHop, want string }{
		{"on a link", "172.18.0.4", "via 172.18.0.4 dev eth0"},
		{"on a link, IPv6", "fc00:18::4", "via fc00:18::4 dev eth0"},
		{"behind a gateway", "10.77.0.1", "via 172.18.0.9 dev eth0"},
		{"the longest counts", "10.1.0.1", "via 172.18.0.7 dev eth0 via 172.18.0.8 dev eth0"},
		{"of the same length, the lower metric", "10.2.0.1", "via 172.18.0.10 dev eth0"},
		{"by next hop objects", "10.4.0.1", "via 172.18.0.4 dev eth0 via 172.18.0.5 dev eth0"},
		{"by a next hop object", "10.5.0.1", "via 172.18.0.5 dev eth0"},
		{"IPv4 by an IPv6 gateway", "10.6.0.1", "via fc00:18::6 dev eth0"},
		{"IPv6 by a gateway", "fd00:6::1", "via fc00:18::6 dev eth0"},
		{"by a device without gateways", "100.64.9.9", "via 100.64.9.9 dev ppp0"},
		{"where nothing leads", "203.0.113.1", "next hop 203.0.113.1 cannot be reached: no route leads to it"},
		{"where no IPv6 route leads", "2001:db8::1", "next hop 2001:db8::1 cannot be reached: no route leads to it"},
		{"where it is forbidden", "10.3.0.1", "next hop 10.3.0.1 cannot be reached: unreachable 10.3.0.0/16"},
		{"to nobody outside", "192.0.2.7", "next hop 192.0.2.7 cannot be reached by 192.0.2.0/24 dev lo"},
		{"the node itself", "172.18.0.3", "next hop 172.18.0.3 is this node's own address"},
		{"link-local", "fe80::9", "next hop fe80::9 is link-local"},
	} {
		hops, err := h.Resolve(netip.MustParseAddr(tc.nextHop))
		var got []string
		for _, h := range hops {
			got = append(got, "via "+h.Gateway.String()+" dev "+h.Dev)
		}
		text := strings.Join(got, " ")
		if err != nil {
			text = err.Error()
		}
		if !strings.HasPrefix(text, tc.want) || err == nil && text != tc.want {
			t.Errorf("%s: got %q, want %q", tc.what, text, tc.want)
		}
	}
}

func TestLearnedRoutes(t *testing.T) {
	f := load(t, "testdata/bgp/mesh.yaml")
	f.BGP.MaxPaths = 3
	l := NewLearned(f, theHost(), nil)
	for _, tc := range []struct{ what, prefix, nextHops, want, missing string }{
		{"one way", "10.244.2.0/24", "172.18.0.4", "route 10.244.2.0/24 via 172.18.0.4 dev eth0 proto plumb-bgp", ""},
		{
			"several, sorted", "10.244.2.0/24", "172.18.0.5 172.18.0.4",
			"route 10.244.2.0/24 nexthop via 172.18.0.4 dev eth0 nexthop via 172.18.0.5 dev eth0 proto plumb-bgp", "",
		},
		{
			"those of several next hops, at most so many", "10.244.2.0/24", "10.4.0.1 10.1.0.1",
			"route 10.244.2.0/24 nexthop via 172.18.0.4 dev eth0 nexthop via 172.18.0.5 dev eth0 nexthop via 172.18.0.7 dev eth0 proto plumb-bgp", "",
		},
		{"the same gateway twice", "10.244.2.0/24", "10.77.0.1 172.18.0.9", "route 10.244.2.0/24 via 172.18.0.9 dev eth0 proto plumb-bgp", ""},
		{"IPv6", "fd00:10:244:2::/64", "fc00:18::4", "route fd00:10:244:2::/64 via fc00:18::4 dev eth0 proto plumb-bgp", ""},
		{"IPv4 over IPv6", "10.244.2.0/24", "fc00:18::4", "route 10.244.2.0/24 via inet6 fc00:18::4 dev eth0 proto plumb-bgp", ""},
		{"IPv6 over IPv4", "fd00:10:244:2::/64", "172.18.0.4", "", "next hop 172.18.0.4 is IPv4, and cannot be that of IPv6 routes"},
		{
			"one of two is out of reach", "10.244.2.0/24", "172.18.0.4 203.0.113.1",
			"route 10.244.2.0/24 via 172.18.0.4 dev eth0 proto plumb-bgp", "next hop 203.0.113.1 cannot be reached",
		},
		{"both are", "10.244.2.0/24", "203.0.113.1 203.0.113.2", "", "next hop 203.0.113.1 cannot be reached: no route leads to it; next hop 203.0.113.2"},
	} {
		var hops []netip.Addr
		for _, a := range strings.Fields(tc.nextHops) {
			hops = append(hops, netip.MustParseAddr(a))
		}
		p := netip.MustParsePrefix(tc.prefix)
		w := l.Way(p, hops)
		got := ""
		if w.Reached {
			got = state.String(w.Route(p))
		}
		if got != tc.want || !strings.HasPrefix(w.Missing, tc.missing) || tc.missing == "" && w.Missing != "" {
			t.Errorf("%s: got %q, missing %q", tc.what, got, w.Missing)
		}
	}
}

// A rule about tunnels comes before the host's routes, for the prefixes that it is for.
func TestTheRuleOfTunnelsComesFirst(t *testing.T) {
	f := load(t, "testdata/bgp/mesh.yaml")
	far := netip.MustParseAddr("172.18.0.4")
	l := NewLearned(f, theHost(), func(p netip.Prefix, a netip.Addr) (state.NextHop, uint32, bool, error) {
		inPool := f.Pools[0].CIDR.Contains(p.Addr())
		return state.NextHop{Gateway: netip.MustParseAddr("10.244.2.0"), Dev: "plumb-vxlan", OnLink: true}, 1450, inPool && a == far, nil
	})
	for prefix, want := range map[string]string{
		"10.244.2.0/24": "route 10.244.2.0/24 via 10.244.2.0 dev plumb-vxlan onlink proto plumb-bgp mtu 1450",
		"10.9.0.0/24":   "route 10.9.0.0/24 via 172.18.0.4 dev eth0 proto plumb-bgp",
	} {
		p := netip.MustParsePrefix(prefix)
		if got := state.String(l.Way(p, []netip.Addr{far}).Route(p)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if a, b := l.Class(netip.MustParsePrefix("10.244.2.0/24")), l.Class(netip.MustParsePrefix("10.9.0.0/24")); a == b {
		t.Error("prefixes with different ways are of one class")
	}
}

func TestTakenPrefixes(t *testing.T) {
	f := load(t, "testdata/bgp/mesh.yaml")
	l := NewLearned(f, theHost(), nil)
	if with, taken := l.Taken(netip.MustParsePrefix("10.2.0.0/16")); !taken || with != "10.2.0.0/16 via 172.18.0.10 dev eth0 proto static metric 10" {
		t.Errorf("%q %v", with, taken)
	}
	for _, free := range []string{"10.2.0.0/17", "10.0.0.0/7", "10.244.2.0/24"} {
		if with, taken := l.Taken(netip.MustParsePrefix(free)); taken {
			t.Errorf("%s is said to be taken by %s", free, with)
		}
	}
	f.Settings.RouteTable = 100
	if _, taken := NewLearned(f, theHost(), nil).Taken(netip.MustParsePrefix("10.2.0.0/16")); taken {
		t.Error("a route of the main table takes the prefix in another")
	}
}
