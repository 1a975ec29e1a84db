package render

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// paths gives the paths of worker1 for one pool of its options, and the other nodes.
func paths(t *testing.T, host Host, more string) (*desired.File, *Paths) {
	t.Helper()
	f, problems := desired.Parse([]desired.Source{{Name: "p.yaml", Data: []byte(`
apiVersion: plumb/v1
pools:
  - {cidr: 10.244.0.0/16` + more + `}
nodes:
  - {name: worker1, addresses: [172.18.0.3/16, "fc00:f853:ccd:e793::3/64"], podCIDRs: [10.244.1.0/24]}
  - {name: near, addresses: [172.18.0.4/16], podCIDRs: [10.244.2.0/24]}
  - {name: far, addresses: [192.0.2.5/24], podCIDRs: [10.244.3.0/24]}
  - {name: six, addresses: ["2001:db8::6/64"], podCIDRs: [10.244.4.0/24]}
  - {name: bare, addresses: [192.0.2.9/24]}
`)}})
	if f == nil {
		t.Fatal(problems)
	}
	self, _ := f.Node("worker1")
	return f, NewPaths(f, self, host)
}

// TestPaths is the rule: how each node is reached under each encapsulation.
func TestPaths(t *testing.T) {
	for _, c := range []struct{ pool, node, want string }{
		{"", "near", "via 172.18.0.4 dev eth0"},
		{"", "far", "far (192.0.2.5) is on no subnet of this node's devices"},
		{"", "six", "six has no address of this family"},
		{", encapsulation: vxlan", "near", "via 10.244.2.0 dev plumb-vxlan onlink"},
		{", encapsulation: vxlan", "far", "via 10.244.3.0 dev plumb-vxlan onlink"},
		{", encapsulation: vxlan", "six", "via 10.244.4.0 dev plumb-vxlan-v6 onlink"},
		{", encapsulation: vxlan", "bare", "bare has no podCIDR in a pool with encapsulation: vxlan"},
		{", encapsulation: vxlan, encapsulate: crossSubnet", "near", "via 172.18.0.4 dev eth0"},
		{", encapsulation: vxlan, encapsulate: crossSubnet", "far", "via 10.244.3.0 dev plumb-vxlan onlink"},
		{", encapsulation: ipip", "near", "via 172.18.0.4 dev plumb-ipip onlink"},
		{", encapsulation: ipip", "far", "via 192.0.2.5 dev plumb-ipip onlink"},
		{", encapsulation: ipip", "six", "have no addresses of one family for the tunnel"},
		{", encapsulation: ipip, encapsulate: crossSubnet", "near", "via 172.18.0.4 dev eth0"},
		{", encapsulation: ipip, encapsulate: crossSubnet", "far", "via 192.0.2.5 dev plumb-ipip onlink"},
	} {
		f, p := paths(t, worker1, c.pool)
		n, _ := f.Node(c.node)
		path, err := p.To(n, netip.MustParsePrefix("10.244.77.0/24"))
		got := string(state.NewMultipath(true, []state.NextHop{path.Hop}))
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) || path.MTU != 0 {
			t.Errorf("%q to %s: %s (mtu %d), want %s", c.pool, c.node, got, path.MTU, c.want)
		}
	}
}

// Learned routes take the same way, where their next hop is a node.
func TestLearnedPaths(t *testing.T) {
	_, p := paths(t, worker1, ", encapsulation: vxlan, encapsulate: crossSubnet")
	for _, c := range []struct{ prefix, nextHop, want string }{
		{"10.244.3.64/26", "192.0.2.5", "nexthop via 10.244.3.0 dev plumb-vxlan onlink"},
		{"10.244.2.7/32", "172.18.0.4", "nexthop via 172.18.0.4 dev eth0"},
		{"10.244.3.0/24", "192.0.2.77", ""},   // no node
		{"203.0.113.0/24", "192.0.2.5", ""},   // in no pool
		{"10.244.1.0/24", "172.18.0.3", ""},   // this node
		{"10.244.9.0/24", "192.0.2.9", "err"}, // a node without a tunnel address
	} {
		path, ok, err := p.Learned(netip.MustParsePrefix(c.prefix), netip.MustParseAddr(c.nextHop))
		got := ""
		switch {
		case err != nil:
			got = "err"
		case ok:
			got = string(state.NewMultipath(true, []state.NextHop{path.Hop}))
		}
		if got != c.want {
			t.Errorf("%s via %s: %q, want %q (%v)", c.prefix, c.nextHop, got, c.want, err)
		}
	}
}

func TestMTU(t *testing.T) {
	host := func(eth0, eth1 int) Host {
		return Host{Interfaces: interfaces(
			state.Interface{Name: "eth0", Up: true, MTU: eth0, Addresses: prefixes("172.18.0.3/16", "fc00:f853:ccd:e793::3/64")},
			state.Interface{Name: "eth1", Up: true, MTU: eth1, Addresses: prefixes("192.0.2.1/24")},
		)}
	}
	for _, c := range []struct {
		name, pool, settings string
		eth0, eth1           int
		pod                  int
		near, far            uint32 // the routes' mtu
		device               uint32
	}{
		{name: "plain", eth0: 1500, eth1: 1500, pod: 1500},
		{name: "jumbo", eth0: 9000, eth1: 9000, pod: 9000},
		{name: "a narrower second uplink", eth0: 9000, eth1: 1500, pod: 9000, far: 1500},
		{name: "vxlan over both families", pool: ", encapsulation: vxlan", eth0: 1500, eth1: 1500, pod: 1430, device: 1450},
		{name: "ipip", pool: ", encapsulation: ipip", eth0: 1500, eth1: 1500, pod: 1480, device: 1480},
		{name: "ipip, jumbo", pool: ", encapsulation: ipip", eth0: 9000, eth1: 1500, pod: 8980, device: 8980},
		{name: "set", pool: ", encapsulation: ipip", settings: "settings: {mtu: 1400}", eth0: 1500, eth1: 1500, pod: 1400, device: 1400},
		{name: "set too wide", pool: ", encapsulation: ipip", settings: "settings: {mtu: 1500}", eth0: 1500, eth1: 1500, pod: 1500, near: 1480, far: 1480, device: 1480},
		{name: "set too wide, across subnets", pool: ", encapsulation: ipip, encapsulate: crossSubnet", settings: "settings: {mtu: 1500}", eth0: 1500, eth1: 1500, pod: 1500, device: 1480},
		{name: "unknown", pool: ", encapsulation: ipip", pod: 1480, device: 1480},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := host(c.eth0, c.eth1)
			f, p := paths(t, h, c.pool)
			if c.settings != "" {
				fmt.Sscanf(c.settings, "settings: {mtu: %d}", &f.Settings.MTU)
				self, _ := f.Node("worker1")
				p = NewPaths(f, self, h)
			}
			if got := PodMTU(f, "worker1", h); got != c.pod {
				t.Errorf("pods get %d, want %d", got, c.pod)
			}
			for name, want := range map[string]uint32{"near": c.near, "far": c.far} {
				n, _ := f.Node(name)
				path, err := p.To(n, n.PodCIDRs[0].Prefix)
				if err != nil || path.MTU != want {
					t.Errorf("route to %s has mtu %d, want %d (%v)", name, path.MTU, want, err)
				}
			}
			var r rendering
			r.tunnelDevices(p)
			for _, w := range r.wanted {
				if l, ok := w.Object.(state.Link); ok && l.Name != state.VXLANDevice6 && l.MTU != c.device {
					t.Errorf("%s has mtu %d, want %d", l.Name, l.MTU, c.device)
				}
			}
		})
	}
	f, _ := paths(t, Host{Elsewhere: true}, ", encapsulation: ipip")
	if got := PodMTU(f, "worker1", Host{Elsewhere: true}); got != 1480 {
		t.Errorf("elsewhere pods get %d", got)
	}
	if got := PodMTU(f, "nobody", host(9000, 9000)); got != 1500 {
		t.Errorf("pods of no node get %d", got)
	}
}

// A node whose address is on the loopback sends by any device: its tunnels name none.
func TestAnAddressOnTheLoopback(t *testing.T) {
	h := Host{Interfaces: interfaces(
		state.Interface{Name: "lo", Up: true, MTU: 65536, Addresses: prefixes("172.18.0.3/32")},
		state.Interface{Name: "eth0", Up: true, MTU: 9000, Addresses: prefixes("192.0.2.1/31")},
		state.Interface{Name: "eth1", Up: true, MTU: 8000, Addresses: prefixes("192.0.2.3/31")},
		state.Interface{Name: "eth2", Up: false, MTU: 1000, Addresses: prefixes("192.0.2.5/31")},
	)}
	f, p := paths(t, h, ", encapsulation: ipip")
	var r rendering
	r.tunnelDevices(p)
	l, ok := r.wanted[0].Object.(state.Link)
	if !ok || l.Parent != "" || l.MTU != 7980 || PodMTU(f, "worker1", h) != 7980 {
		t.Errorf("%v, pods %d", r.wanted, PodMTU(f, "worker1", h))
	}
}

func TestTunnelMAC(t *testing.T) {
	seen := map[string]bool{}
	for i := range 10_000 {
		mac := TunnelMAC(fmt.Sprintf("worker%d", i))
		if len(mac) != 17 || !strings.ContainsAny(mac[1:2], "26ae") { // a unicast address of local administration
			t.Fatalf("worker%d has %s", i, mac)
		}
		if seen[mac] {
			t.Fatalf("two nodes have %s", mac)
		}
		seen[mac] = true
	}
	// All nodes of a cluster must agree, whichever version each runs.
	if got := TunnelMAC("worker1"); got != "b2:cf:69:27:f6:8c" {
		t.Errorf("worker1 has another address than in earlier versions: %s", got)
	}
}

// A node whose address no device has gets no tunnel, which waits for it.
func TestATunnelWithoutItsAddress(t *testing.T) {
	f, _ := paths(t, worker1, ", encapsulation: vxlan")
	f.Nodes[0].Addresses[0].Prefix = netip.MustParsePrefix("172.18.0.99/16")
	v, err := NewView(f, "worker1", worker1)
	if err != nil {
		t.Fatal(err)
	}
	waiting := v.Paths.Waiting()
	if len(waiting) != 1 || waiting[0].Dev != "plumb-vxlan" || !strings.HasPrefix(waiting[0].Why, "no device has 172.18.0.99") {
		t.Errorf("waiting: %v", waiting)
	}
	wanted, warnings := v.Node()
	if len(warnings) > 0 {
		t.Error(warnings)
	}
	for _, w := range wanted {
		if l, ok := w.Object.(state.Link); ok && l.Name == state.VXLANDevice {
			t.Errorf("wanted: %s", state.String(l))
		}
	}
}

func TestWithout(t *testing.T) {
	for _, c := range []struct{ first, last, port, wantFirst, wantLast uint16 }{
		{1024, 65535, 4789, 4790, 65535},
		{1024, 65535, 60000, 1024, 59999},
		{32768, 60999, 4789, 32768, 60999},
		{4789, 4800, 4789, 4790, 4800},
		{4700, 4789, 4789, 4700, 4788},
		{4789, 4789, 4789, 4789, 4789},
	} {
		if got := without(desired.PortRange{First: c.first, Last: c.last}, c.port); got != (desired.PortRange{First: c.wantFirst, Last: c.wantLast}) {
			t.Errorf("%d-%d without %d: %v", c.first, c.last, c.port, got)
		}
	}
}
