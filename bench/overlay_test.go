package bench

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/neigh"
	"github.com/plumbnet/plumb/kernel/route"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// overlay is a cluster of n nodes besides this one, all behind a router.
func overlay(n int) *desired.File {
	f := &desired.File{Settings: desired.Settings{RouteTable: state.TableMain}}
	f.Pools = []desired.Pool{{
		CIDR: netip.MustParsePrefix("10.128.0.0/9"), Reachability: desired.Static,
		Encapsulation: desired.VXLAN, Encapsulate: desired.CrossSubnet, VXLAN: desired.VXLANOptions{VNI: 4096, Port: 4789},
	}}
	node := func(name, address string, i int) desired.Node {
		podCIDR := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 128 + byte(i>>10), byte(i >> 2), byte(i&3) << 6}), 26)
		return desired.Node{Name: name, Addresses: []desired.CIDR{{Prefix: netip.MustParsePrefix(address)}}, PodCIDRs: []desired.CIDR{{Prefix: podCIDR}}}
	}
	f.Nodes = append(f.Nodes, node("here", "10.99.0.1/16", 0))
	for i := range n {
		f.Nodes = append(f.Nodes, node(fmt.Sprintf("n%d", i), fmt.Sprintf("10.98.%d.%d/24", i>>8, i&255), i+1))
	}
	return f
}

var hereHost = render.Host{Interfaces: map[string]state.Interface{
	"up0": {Name: "up0", Up: true, MTU: 1500, Addresses: []netip.Prefix{netip.MustParsePrefix("10.99.0.1/16")}},
}}

// farEnds gives what leads to one other node, or to all, besides nftables' elements.
func farEnds(b *testing.B, v *render.View, nodes ...string) []render.Wanted {
	b.Helper()
	var out []render.Wanted
	for n := range v.Others() {
		if len(nodes) > 0 && !slices.Contains(nodes, n.Name) {
			continue
		}
		wanted, warnings := v.Remote(n)
		if len(warnings) > 0 {
			b.Fatal(warnings)
		}
		for _, w := range wanted {
			if w.Object.Key().Kind != state.KindElement {
				out = append(out, w)
			}
		}
	}
	return out
}

func view(b *testing.B, n int) *render.View {
	b.Helper()
	v, err := render.NewView(overlay(n), "here", hereHost)
	must(b, err)
	return v
}

// tunnelDevice makes the device anew, which takes all that is on it away.
func tunnelDevice(b *testing.B) {
	b.Helper()
	sh(b, `ip link del plumb-vxlan 2>/dev/null || true
		ip link add plumb-vxlan address 02:00:00:00:00:01 mtu 1450 type vxlan id 4096 local 10.99.0.1 dev up0 dstport 4789 nolearning
		ip link set plumb-vxlan up`)
}

func overlayEngine(b *testing.B) *reconcile.Engine {
	b.Helper()
	fdb, err := neigh.NewFDB(state.VXLANDevice)
	must(b, err)
	neighbours, err := neigh.New(state.IsTunnel)
	must(b, err)
	routes, err := route.New(state.TableMain)
	must(b, err)
	b.Cleanup(func() { _, _, _ = fdb.Close(), neighbours.Close(), routes.Close() })
	return reconcile.NewEngine(reconcile.KindOf(fdb, false, state.KindFDB),
		reconcile.KindOf(neighbours, false, state.KindNeigh), reconcile.KindOf(routes, false, state.KindRoute))
}

// BenchmarkOverlay measures a neighbour, a forwarding entry and a route for each of
// many other nodes, beside ip(8) and bridge(8).
func BenchmarkOverlay(b *testing.B) {
	for _, n := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("apply-%d", n), func(b *testing.B) {
			uplink(b)
			wanted := farEnds(b, view(b, n))
			ip, bridge := batches(b, wanted)
			compare(b, row{what: fmt.Sprintf("first apply of %d VXLAN nodes", n), peer: "ip -batch, bridge -batch", aim: "0.5"},
				func() time.Duration {
					tunnelDevice(b)
					e := overlayEngine(b)
					must(b, e.SetSource(source, wanted))
					must(b, e.Read(ctx))
					return timed(func() { turn(b, e, len(wanted)) })
				},
				func() time.Duration {
					tunnelDevice(b)
					return timed(func() { sh(b, "ip -batch %s; bridge -batch %s", ip, bridge) })
				})
		})
		b.Run(fmt.Sprintf("read-%d", n), func(b *testing.B) {
			uplink(b)
			tunnelDevice(b)
			wanted := farEnds(b, view(b, n))
			e := overlayEngine(b)
			must(b, e.SetSource(source, wanted))
			must(b, e.Read(ctx))
			turn(b, e, len(wanted))
			compare(b, row{what: fmt.Sprintf("full read and no-op diff of %d VXLAN nodes", n), peer: "ip, bridge show"},
				func() time.Duration {
					return timed(func() {
						must(b, e.Read(ctx))
						if p := e.Plan(); !p.Empty() {
							b.Fatal(p.Summary())
						}
					})
				},
				func() time.Duration {
					return timed(func() {
						sh(b, "ip route show >/dev/null; ip neigh show dev plumb-vxlan nud permanent >/dev/null; bridge fdb show dev plumb-vxlan >/dev/null")
					})
				})
		})
	}
}

// BenchmarkNodeAdded adds one node, and removes it, among few and among many.
func BenchmarkNodeAdded(b *testing.B) {
	uplink(b)
	tunnelDevice(b)
	v := view(b, 5001)
	e := overlayEngine(b)
	one := reconcile.Source{Rank: 1, ID: "one"}
	added := func() time.Duration {
		const times = 100
		return timed(func() {
			for range times {
				wanted := farEnds(b, v, "n5000")
				must(b, e.SetSource(one, wanted))
				turn(b, e, len(wanted))
				must(b, e.SetSource(one, nil))
				turn(b, e, len(wanted))
			}
		}) / times / 2
	}
	among := func(n int) func() time.Duration {
		wanted := farEnds(b, v)
		size := len(wanted) / 5001
		return func() time.Duration {
			must(b, e.SetSource(source, wanted[:n*size]))
			must(b, e.Read(ctx))
			e.Turn(ctx)
			return added()
		}
	}
	compare(b, row{what: "one VXLAN node added among 5000", peer: "among 10", aim: "1"}, among(5000), among(10))
}

func batches(b *testing.B, wanted []render.Wanted) (ip, bridge string) {
	b.Helper()
	var forIP, forBridge strings.Builder
	for line := range strings.Lines(render.IP(objects(wanted))) {
		if entry, ok := strings.CutPrefix(line, "# bridge "); ok {
			forBridge.WriteString(entry)
		} else {
			forIP.WriteString(line)
		}
	}
	return file(b, "ip", forIP.String()), file(b, "bridge", forBridge.String())
}
