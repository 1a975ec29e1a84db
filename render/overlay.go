package render

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// minMTU6 is the least MTU at which the kernel has IPv6 on a device (RFC 8200).
const minMTU6 = 1280

// tunnelDevices gives this node's own end of each tunnel: the device, its addresses
// and its parameters.
func (r *rendering) tunnelDevices(p *Paths) {
	for _, dev := range slices.Sorted(maps.Keys(p.tunnels)) {
		t := p.tunnels[dev]
		if t.missing != "" {
			continue // it is pending
		}
		l := state.Link{Name: dev, Type: "ipip", MTU: uint32(max(0, t.mtu)), Up: true, Tunnel: state.Tunnel{Local: t.local}}
		encapsulation := desired.IPIP
		if dev != state.IPIPDevice {
			encapsulation = desired.VXLAN
			l.Type, l.MAC = "vxlan", TunnelMAC(p.self.Name)
			l.VNI, l.Port, l.Parent = t.vxlan.VNI, t.vxlan.Port, t.parent
		}
		r.want(t.origin, l)
		if p.known && p.file.Settings.MTU > t.mtu {
			r.warn(p.file.Settings.Pos.String(), "settings.mtu %d is more than the uplink leaves for %s; packets through it are cut to %d bytes",
				p.file.Settings.MTU, dev, t.mtu)
		}
		r.tunnelAddresses(p, dev, encapsulation, t)
	}
}

func (r *rendering) tunnelAddresses(p *Paths, dev string, e desired.Encapsulation, t tunnel) {
	for _, is4 := range []bool{true, false} {
		// A device has the addresses of both families, if it is used for both.
		if !p.carries(dev, e, is4) {
			continue
		}
		a, ok := tunnelAddress(p.file, p.self, e, is4)
		if !ok {
			r.withoutAddress(p, dev, e, is4)
			continue
		}
		r.want(t.origin, state.Address{Prefix: netip.PrefixFrom(a, a.BitLen()), Dev: dev})
		family := "net/ipv6/conf/"
		if is4 {
			family = "net/ipv4/conf/"
			// What comes in by the tunnel may have its way back elsewhere: where the other
			// end compares subnets otherwise, or while one of two nodes changes over. Loose
			// (RFC 3704) is the greater number, so it holds whatever `all` says.
			r.want(t.origin, state.Sysctl{Path: family + dev + "/rp_filter", Value: "2"})
		} else if p.known && t.mtu < minMTU6 {
			r.warn(t.origin, "the uplink leaves %d bytes for %s, and IPv6 needs %d; raise its MTU", t.mtu, dev, minMTU6)
		}
		r.want(t.origin, state.Sysctl{Path: family + dev + "/forwarding", Value: "1"})
	}
}

// withoutAddress says what it means that a tunnel has no address of a family. That of
// a podCIDR in another pool would be no better: the other nodes' way to it is that of
// its own pool, and not through this tunnel.
func (r *rendering) withoutAddress(p *Paths, dev string, e desired.Encapsulation, is4 bool) {
	others := p.some(dev, e, is4, func(n *desired.Node) bool {
		_, ok := tunnelAddress(p.file, n, e, is4)
		return ok
	})
	if _, ok := first(p.self, is4); !ok || !others {
		return // there is nothing for it to send
	}
	family := "IPv6"
	if is4 {
		family = "IPv4"
	}
	r.warn(p.self.Pos.String(), "%s has no %s address, as node %s has no such podCIDR in a pool with encapsulation: %s: "+
		"answers to what the node itself sends through it come back outside of the tunnel, if at all; give the node a podCIDR in that pool",
		dev, family, p.self.Name, e)
}

// carries says whether a device carries pods' packets of a family.
func (p *Paths) carries(dev string, e desired.Encapsulation, is4 bool) bool {
	return p.some(dev, e, is4, func(*desired.Node) bool { return true })
}

// some says whether a device carries pods' packets of a family to some node, this one
// included, of which more is true.
func (p *Paths) some(dev string, e desired.Encapsulation, is4 bool, more func(*desired.Node) bool) bool {
	for i := range p.file.Pools {
		pool := &p.file.Pools[i]
		if pool.Encapsulation != e || pool.CIDR.Addr().Is4() != is4 {
			continue
		}
		for j := range p.file.Nodes {
			n := &p.file.Nodes[j]
			if d, _, ok := device(p.self, n, pool); ok && d == dev && more(n) {
				return true
			}
		}
	}
	return false
}

// remote gives what leads to another node: a route to each of its podCIDRs whose
// pool is static, and where the way is through VXLAN, also for what BGP will tell,
// who is at the other end.
func (r *rendering) remote(p *Paths, n *desired.Node) {
	r.nodeAddresses(p.file, n)
	for _, c := range n.PodCIDRs {
		pool, ok := pool(p.file, c.Prefix)
		if !ok || pool.Reachability != desired.Static && pool.Encapsulation == desired.NoEncapsulation {
			continue
		}
		path, err := p.To(n, c.Prefix)
		if err != nil {
			if err != errNoTunnel { //nolint:errorlint // it is this very one
				r.warn(c.Pos.String(), "no route to %s: %s", c.Prefix, err)
			}
			continue
		}
		r.farEnd(n, c.Pos.String(), path, p.file.Settings.RouteTable)
		if pool.Reachability == desired.Static {
			route := state.NewRoute(c.Prefix, p.file.Settings.RouteTable, state.ProtoPlumb, path.Hop)
			route.MTU = path.MTU
			r.want(c.Pos.String(), route)
		}
	}
	r.learnedFarEnds(p, n)
}

// learnedFarEnds gives the far ends of the tunnels by which a route that BGP tells may
// lead to a node: to any prefix of a pool, in which the node need have no podCIDR.
func (r *rendering) learnedFarEnds(p *Paths, n *desired.Node) {
	if p.file.BGP == nil {
		return
	}
	for i := range p.file.Pools {
		if pool := &p.file.Pools[i]; pool.Encapsulation == desired.VXLAN {
			if path, err := p.To(n, pool.CIDR); err == nil {
				r.farEnd(n, n.Pos.String(), path, p.file.Settings.RouteTable)
			}
		}
	}
}

// farEnd gives the neighbour and the forwarding entry of a VXLAN tunnel's other end,
// each once where several podCIDRs are behind it.
func (r *rendering) farEnd(n *desired.Node, origin string, path Path, table uint32) {
	dev := path.Tunnel()
	if dev != state.VXLANDevice && dev != state.VXLANDevice6 {
		return
	}
	dst, _ := first(n, dev == state.VXLANDevice)
	mac := TunnelMAC(n.Name)
	r.wantOnce(origin, state.FDB{MAC: mac, Dev: dev, Dst: dst})
	vtep := path.Hop.Gateway
	r.wantOnce(origin, state.Neigh{Addr: vtep, Dev: dev, MAC: mac})
	if vtep.Is6() {
		// The kernel takes an IPv6 gateway for onlink only where no other route leads to
		// it (ip6_route_check_nh_onlink, net/ipv6/route.c), so not while a route by the
		// uplink covers the podCIDR: which it does when the pool's encapsulation changes.
		r.wantOnce(origin, state.NewRoute(netip.PrefixFrom(vtep, vtep.BitLen()),
			table, state.ProtoPlumb, state.NextHop{Dev: dev}))
	}
}

func (r *rendering) wantOnce(origin string, o state.Object) {
	if !slices.ContainsFunc(r.wanted, func(w Wanted) bool { return w.Object == o }) {
		r.want(origin, o)
	}
}
