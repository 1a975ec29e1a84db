package desired

import (
	"maps"
	"net/netip"
	"slices"
)

func (v *validator) checkPeers(filters map[string]*Filter) {
	b := v.f.BGP
	names := make(map[string]Pos)
	known := slices.Sorted(maps.Keys(filters))
	owners := v.addressOwners()
	for i := range b.Peers {
		p := &b.Peers[i]
		if first, ok := names[p.Name]; ok && p.Name != "" {
			v.fail(v.place(p.Pos, "name"), "peer %q is defined twice: first at %s; rename or remove one", p.Name, first)
		} else {
			names[p.Name] = v.place(p.Pos, "name")
		}
		v.checkPeerAddress(p, owners)
		v.checkPeerOptions(p)
		v.checkSelector(p.Pos, p.NodeSelector)
		v.checkPeerFilters(p, "import", p.Import, filters, known)
		v.checkPeerFilters(p, "export", p.Export, filters, known)
	}
	v.checkPeerClashes()
}

func (v *validator) addressOwners() map[netip.Addr]int {
	owners := make(map[netip.Addr]int, 2*len(v.f.Nodes))
	for i := range v.f.Nodes {
		for _, a := range v.f.Nodes[i].Addresses {
			owners[a.Prefix.Addr()] = i
		}
	}
	return owners
}

func (v *validator) checkPeerAddress(p *Peer, owners map[netip.Addr]int) {
	address, prefix := v.has(p.Pos, "address"), v.has(p.Pos, "prefix")
	switch {
	case address && prefix:
		v.fail(v.place(p.Pos, "prefix"), "a peer has either an address or a prefix; remove one of the two")
		return
	case !address && !prefix && !v.doubtful[p.Pos]:
		v.fail(p.Pos, "peer %q has neither address nor prefix; set one of the two", p.Name)
		return
	}
	remote := p.Address
	if prefix {
		remote = p.Prefix.Addr()
	}
	if !remote.IsValid() {
		return
	}
	if remote.Is6() && remote.IsLinkLocalUnicast() {
		v.fail(v.place(p.Pos, "address"), "peer %q has the link-local address %s, which says nothing without an interface; use another of its addresses", p.Name, remote)
	}
	if p.SourceAddress.IsValid() && p.SourceAddress.Is4() != remote.Is4() {
		v.fail(v.place(p.Pos, "sourceAddress"), "sourceAddress %s is %s, and the peer is %s; use one of the same family",
			p.SourceAddress, family(p.SourceAddress), family(remote))
	}
	if owner, ok := owners[remote]; ok && address && !v.doubtful[p.Pos] {
		v.checkPeerIsNode(p, &v.f.Nodes[owner])
	}
}

// checkPeerIsNode is for a peer that has the address of a node.
func (v *validator) checkPeerIsNode(p *Peer, n *Node) {
	switch {
	case v.doubtful[n.Pos]:
	case n.Matches(p.NodeSelector):
		v.fail(v.place(p.Pos, "address"), "peer %q has the address %s of node %q, which would peer with itself; exclude the node with a nodeSelector",
			p.Name, p.Address, n.Name)
	case v.f.BGP.Mesh && len(v.pick.match(p.NodeSelector)) > 0 && (n.RouteReflector != nil || !v.reflectors):
		v.warn(v.place(p.Pos, "address"), "peer %q is node %q, with which mesh: true peers already; remove the peer", p.Name, n.Name)
	}
}

func (v *validator) checkPeerOptions(p *Peer) {
	if v.has(p.Pos, "families") && !v.doubtful[p.Pos] {
		v.checkFamilies(p)
	}
	if v.f.BGP.ListenPort == -1 && (p.Passive || p.Prefix.IsValid()) {
		v.warn(p.Pos, "peer %q can never connect: it is the one to call, and listenPort is -1; set a listenPort", p.Name)
	}
}

func (v *validator) checkFamilies(p *Peer) {
	if len(p.Families) == 0 {
		v.fail(v.place(p.Pos, "families"), "families is empty; name ipv4 or ipv6, or leave it out for both")
	}
	for i, f := range p.Families {
		if slices.Contains(p.Families[:i], f) {
			v.fail(v.place(p.Pos, "families", i), "families has %s twice; remove one", f)
			return
		}
	}
}

func (v *validator) checkPeerFilters(p *Peer, field string, names []string, filters map[string]*Filter, known []string) {
	// Empty and absent are easily confused, and mean the opposite of each other.
	if names != nil && len(names) == 0 {
		v.fail(v.place(p.Pos, field), "%s is empty; leave it out for the default policy, or name a filter", field)
	}
	for i, name := range names {
		if name == "" || filters[name] != nil || !v.complete("bgp.filters") {
			continue
		}
		v.fail(v.place(p.Pos, field, i), "%s: filter %q does not exist%s", field, name, v.didYouMean(name, slices.Values(known)))
	}
}

func (v *validator) checkPeerClashes() {
	type remote struct {
		address netip.Addr
		prefix  netip.Prefix
	}
	peers := v.f.BGP.Peers
	clashes(v.pick, len(peers), func(i int) (remote, map[string]string, bool) {
		p := &peers[i]
		r := remote{p.Address, p.Prefix}
		return r, p.NodeSelector, r != remote{} && !v.doubtful[p.Pos]
	}, func(c clash) {
		first, second := &peers[c.first], &peers[c.second]
		if first.Name == second.Name {
			return // said already
		}
		field, what := "address", second.Address.String()
		if second.Prefix.IsValid() {
			field, what = "prefix", second.Prefix.String()
		}
		v.fail(v.place(second.Pos, field), "peers %q (%s) and %q have the same %s %s on node %q; remove one, or narrow its nodeSelector",
			first.Name, first.Pos, second.Name, field, what, v.f.Nodes[c.node].Name)
	})
}
