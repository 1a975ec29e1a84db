package render

import (
	"net/netip"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// staticRoutes lead to the other nodes' podCIDRs, through the nodes themselves,
// where the pool is static and without a tunnel. The other node must be on a
// subnet of one of this node's devices: a router between them would not know
// the pods' addresses.
func (r *rendering) staticRoutes(f *desired.File, self *desired.Node, host Host) {
	subnets := onLink(self, host)
	for i := range f.Nodes {
		n := &f.Nodes[i]
		if n.Name == self.Name {
			continue
		}
		for _, c := range n.PodCIDRs {
			p, ok := pool(f, c.Prefix)
			if !ok || p.Reachability != desired.Static || p.Encapsulation != desired.NoEncapsulation {
				continue
			}
			if hop, ok := r.nodeHop(n, c, subnets); ok {
				r.want(c.Pos.String(), state.NewRoute(c.Prefix, f.Settings.RouteTable, state.ProtoPlumb, hop))
			}
		}
	}
}

// nodeHop is the way to a node: the first of its addresses, of the podCIDR's
// family, that is on a subnet of this node.
func (r *rendering) nodeHop(n *desired.Node, c desired.CIDR, subnets []subnet) (state.NextHop, bool) {
	family := false
	for _, a := range n.Addresses {
		addr := a.Prefix.Addr()
		if addr.Is4() != c.Prefix.Addr().Is4() {
			continue
		}
		family = true
		if dev, ok := deviceTo(addr, subnets); ok {
			return state.NextHop{Gateway: addr, Dev: dev}, true
		}
	}
	if !family {
		r.warn(c.Pos.String(), "no route to %s: node %s has no address of this family; add one to its addresses",
			c.Prefix, n.Name)
		return state.NextHop{}, false
	}
	r.warn(c.Pos.String(), "no route to %s: node %s (%s) is on no subnet of this node's devices; "+
		"set encapsulation (encapsulate: crossSubnet) or reachability: bgp for the pool", c.Prefix, n.Name, addresses(n))
	return state.NextHop{}, false
}

type subnet struct {
	prefix netip.Prefix
	dev    string
}

// onLink gives the subnets on which this node has neighbours. Host ends are not
// among them: behind those are pods.
func onLink(self *desired.Node, host Host) []subnet {
	var out []subnet
	if host.Elsewhere {
		for _, a := range self.Addresses {
			out = append(out, subnet{a.Prefix.Masked(), ""})
		}
		return out
	}
	for _, i := range host.Interfaces {
		if !i.Up || i.Name == "lo" || IsHostEnd(i.Name) {
			continue
		}
		for _, a := range i.Addresses {
			if !a.IsSingleIP() && !a.Addr().IsLinkLocalUnicast() {
				out = append(out, subnet{a.Masked(), i.Name})
			}
		}
	}
	return out
}

// deviceTo finds the longest subnet that holds the address; among equals the
// first device by name.
func deviceTo(a netip.Addr, subnets []subnet) (dev string, found bool) {
	bits := -1
	for _, s := range subnets {
		longer := s.prefix.Bits() > bits || s.prefix.Bits() == bits && s.dev < dev
		if s.prefix.Contains(a) && longer {
			dev, found, bits = s.dev, true, s.prefix.Bits()
		}
	}
	return dev, found
}
