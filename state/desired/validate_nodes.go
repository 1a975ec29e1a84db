package desired

import (
	"iter"
	"net/netip"
)

func (v *validator) checkNodes() {
	addresses := make(map[netip.Addr]placedPrefix, 2*len(v.f.Nodes))
	ids := make(map[netip.Addr]*Node, len(v.f.Nodes))
	podCIDRs := make([]placedPrefix, 0, 2*len(v.f.Nodes))
	for i := range v.f.Nodes {
		n := &v.f.Nodes[i]
		v.checkNodeName(n)
		v.checkNodeAddresses(n, addresses)
		for _, c := range n.PodCIDRs {
			if c.Prefix.IsValid() {
				podCIDRs = append(podCIDRs, placedPrefix{c.Prefix, c.Pos, n})
				v.checkPodCIDR(n, c)
			}
		}
		v.checkNodeBGP(n, ids)
	}
	overlaps(podCIDRs, v.podCIDRsOverlap)
}

func (v *validator) checkNodeName(n *Node) {
	if n.Name == "" {
		v.broken["nodes"] = true // which node it was to be, nobody knows
		return
	}
	if first, ok := v.nodes[n.Name]; ok {
		v.fail(v.place(n.Pos, "name"), "node %q is defined twice: first at %s; rename or remove one", n.Name, v.origin(first.Pos, "name"))
		return
	}
	v.nodes[n.Name] = n
}

// origin is the place of a field as other messages name it.
func (v *validator) origin(item Pos, field string) string { return v.place(item, field).String() }

func (v *validator) checkNodeAddresses(n *Node, seen map[netip.Addr]placedPrefix) {
	for _, c := range n.Addresses {
		if !c.Prefix.IsValid() {
			continue
		}
		a := c.Prefix.Addr()
		switch first, ok := seen[a]; {
		case ok && first.owner != n && first.owner.Name == n.Name: // the node is there twice, which was said
		case ok && first.owner == n:
			v.fail(c.Pos, "address %s is given twice: first at %s; remove one", a, first.pos)
		case ok:
			v.fail(c.Pos, "address %s is that of node %q too, at %s; no two nodes can have the same", a, first.owner.Name, first.pos)
		default:
			seen[a] = placedPrefix{c.Prefix, c.Pos, n}
		}
		if p, ok := v.pools.covering(netip.PrefixFrom(a, a.BitLen())); ok {
			v.warn(c.Pos, "address %s of the node lies in pool %s at %s, among the addresses of pods", a, p.CIDR, p.Pos)
		}
	}
}

func (v *validator) checkPodCIDR(n *Node, c CIDR) {
	p, ok := v.pools.covering(c.Prefix)
	if !ok && v.complete("pools") {
		v.fail(c.Pos, "podCIDR %s lies in no pool; add a pool that has it, or take it from one", c.Prefix)
	}
	// VXLAN goes over either family. In BGP the next hop is an address of the prefix's.
	either := ok && (p.Encapsulation == VXLAN && p.Reachability == Static && len(n.Addresses) > 0 || v.doubtful[p.Pos])
	if v.doubtful[n.Pos] || either {
		return
	}
	for _, a := range n.Addresses {
		if a.Prefix.Addr().Is4() == c.Prefix.Addr().Is4() {
			return
		}
	}
	v.warn(c.Pos, "podCIDR %s has no way to it: the node has no %s address; add one to its addresses", c.Prefix, family(c.Prefix.Addr()))
}

func (v *validator) podCIDRsOverlap(a, b placedPrefix) {
	switch {
	case a.owner != b.owner && a.owner.Name == b.owner.Name: // the node is there twice, which was said
	case a.prefix == b.prefix && a.owner == b.owner:
		v.fail(b.pos, "podCIDR %s is given twice: first at %s; remove one", b.prefix, a.pos)
	case a.prefix == b.prefix:
		v.fail(b.pos, "podCIDR %s is that of node %q too, at %s; give each node its own", b.prefix, a.owner.Name, a.pos)
	default:
		v.fail(b.pos, "podCIDR %s overlaps podCIDR %s of node %q at %s; make them disjoint", b.prefix, a.prefix, a.owner.Name, a.pos)
	}
}

func (v *validator) checkNodeBGP(n *Node, ids map[netip.Addr]*Node) {
	if v.f.BGP == nil {
		if rr := n.RouteReflector; rr != nil && v.complete("bgp") {
			v.fail(v.place(n.Pos, "routeReflector"), "a routeReflector needs a bgp section; add one, or remove this")
		}
		return
	}
	if v.doubtful[n.Pos] {
		return
	}
	id := n.routerID()
	if !id.IsValid() {
		v.fail(n.Pos, "BGP needs a routerID, and node %q has no IPv4 address to take; set routerID", n.Name)
		return
	}
	if first, ok := ids[id]; ok && v.has(n.Pos, "routerID") {
		v.fail(v.place(n.Pos, "routerID"), "routerID %s is that of node %q too, at %s; give each node its own", id, first.Name, first.Pos)
	} else if ok && v.has(first.Pos, "routerID") {
		v.fail(v.place(first.Pos, "routerID"), "routerID %s is that of node %q too, at %s; give each node its own", id, n.Name, n.Pos)
	} else if !ok {
		ids[id] = n
	}
}

// nodeNames are those of all nodes, in the order of the file.
func (v *validator) nodeNames() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range v.f.Nodes {
			if !yield(v.f.Nodes[i].Name) {
				return
			}
		}
	}
}
