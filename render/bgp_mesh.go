package render

import (
	"net/netip"
	"slices"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// mesh gives the sessions with the other nodes, one with each, which carries both
// families. A peer of the file that is a node has precedence over the session that
// would be with it here.
func (r *bgpRendering) mesh() {
	if !r.file.BGP.Mesh {
		return
	}
	own := map[netip.Addr]bool{}
	for i := range r.file.BGP.Peers {
		if p := &r.file.BGP.Peers[i]; r.self.Matches(p.NodeSelector) {
			own[p.Address] = true
		}
	}
	for i := range r.file.Nodes {
		n := &r.file.Nodes[i]
		if n.Name == r.self.Name || !r.meshed(n) {
			continue
		}
		if slices.ContainsFunc(n.Addresses, func(c desired.CIDR) bool { return own[c.Prefix.Addr()] }) {
			continue
		}
		r.meshPeer(n)
	}
}

// meshed says whether the mesh has a session with a node. Within an AS with
// reflectors, one of the two is one; between ASes there always is one, for a
// reflector passes on to its AS only what it learned there.
func (r *bgpRendering) meshed(n *desired.Node) bool {
	own := asn(r.file, r.self)
	if asn(r.file, n) != own || r.self.RouteReflector != nil || n.RouteReflector != nil {
		return true
	}
	return !slices.ContainsFunc(r.file.Nodes, func(o desired.Node) bool {
		return o.RouteReflector != nil && asn(r.file, &o) == own
	})
}

func (r *bgpRendering) meshPeer(n *desired.Node) {
	at := n.Pos.String()
	self, peer, ok := meshAddresses(r.self, n)
	if !ok {
		r.warn(at, "no session with node %s: it has no address of a family that node %s has; add one", n.Name, r.self.Name)
		return
	}
	s := state.BGPPeer{
		Name: n.Name, Address: peer, ASN: asn(r.file, n), Source: self, Passive: !dials(self, peer), Reflect: r.reflects(),
	}
	r.timers(&s)
	if p := r.file.BGP.ListenPort; p > 0 && p != bgpPort {
		s.Port = uint16(p)
	}
	internal := s.ASN == asn(r.file, r.self)
	if internal && r.self.RouteReflector != nil && n.RouteReflector == nil {
		s.ClusterID = r.clusterID()
	}
	if !internal && !shareSubnet(r.self, n) {
		s.TTL = meshTTL
	}
	own4, own6 := carries(r.self)
	its4, its6 := carries(n)
	s.IPv4, s.IPv6 = own4 && its4, own6 && its6
	if s.IPv4 && peer.Is6() {
		s.NextHop4, _ = first(r.self, true)
	}
	if s.IPv6 && peer.Is4() {
		s.NextHop6, _ = first(r.self, false)
	}
	r.want(at, s)
}

// meshTTL is of packets to a node of another AS in another subnet: how many routers
// are between, the file does not say.
const meshTTL = 64

// meshAddresses gives the addresses of the session between two nodes: IPv4 where
// both have one. Both nodes come to the same.
func meshAddresses(self, n *desired.Node) (own, its netip.Addr, ok bool) {
	for _, is4 := range []bool{true, false} {
		own, has := first(self, is4)
		its, does := first(n, is4)
		if has && does {
			return own, its, true
		}
	}
	return own, its, false
}

// dials says which of two nodes calls the other: the one with the lower address. Both
// might (RFC 4271, 6.8); but with one, no connection is made to be closed again.
func dials(own, its netip.Addr) bool { return own.Less(its) }

func shareSubnet(a, b *desired.Node) bool {
	for _, x := range a.Addresses {
		for _, y := range b.Addresses {
			if x.Prefix.Contains(y.Prefix.Addr()) && y.Prefix.Contains(x.Prefix.Addr()) {
				return true
			}
		}
	}
	return false
}

// nodeWith is the other node that has an address.
func (r *bgpRendering) nodeWith(a netip.Addr) (*desired.Node, bool) {
	if !a.IsValid() {
		return nil, false
	}
	for i := range r.file.Nodes {
		n := &r.file.Nodes[i]
		if n.Name != r.self.Name && slices.ContainsFunc(n.Addresses, func(c desired.CIDR) bool { return c.Prefix.Addr() == a }) {
			return n, true
		}
	}
	return nil, false
}

// bothDial says whether another node has a session with this one for which it, too,
// may call.
func (r *bgpRendering) bothDial(other *desired.Node) bool {
	for i := range r.file.BGP.Peers {
		back := &r.file.BGP.Peers[i]
		if !other.Matches(back.NodeSelector) {
			continue
		}
		for _, c := range r.self.Addresses {
			switch {
			case back.Address == c.Prefix.Addr():
				return !back.Passive
			case back.Prefix.IsValid() && back.Prefix.Contains(c.Prefix.Addr()) && back.ASN == asn(r.file, r.self):
				return false // it waits to be called
			}
		}
	}
	return r.file.BGP.Mesh && r.meshed(other)
}

// addressTowards is this node's address on the session with a peer.
func (r *bgpRendering) addressTowards(p *desired.Peer) netip.Addr {
	if p.SourceAddress.IsValid() {
		return p.SourceAddress
	}
	a, _ := first(r.self, p.Address.Is4())
	return a
}
