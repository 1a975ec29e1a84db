package render

import (
	"net/netip"
	"slices"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// reflects says whether the node reflects routes: it is a route reflector of the
// mesh, or some external peer is its client.
func (r *bgpRendering) reflects() bool {
	return r.self.RouteReflector != nil || slices.ContainsFunc(r.file.BGP.Peers, func(p desired.Peer) bool {
		return p.RouteReflectorClient && r.self.Matches(p.NodeSelector)
	})
}

// clusterID is the node's, for its clients.
func (r *bgpRendering) clusterID() netip.Addr {
	if rr := r.self.RouteReflector; rr != nil && rr.ClusterID.IsValid() {
		return rr.ClusterID
	}
	return routerID(r.self)
}

// externalPeers gives the sessions of bgp.peers.
func (r *bgpRendering) externalPeers() {
	for i := range r.file.BGP.Peers {
		p := &r.file.BGP.Peers[i]
		if !r.self.Matches(p.NodeSelector) {
			continue
		}
		at := p.Pos.String()
		if p.Address.IsValid() && slices.ContainsFunc(r.self.Addresses, func(c desired.CIDR) bool { return c.Prefix.Addr() == p.Address }) {
			r.warn(at, "no session with peer %s: %s is this node's own address; exclude the node with a nodeSelector", p.Name, p.Address)
			continue
		}
		s := state.BGPPeer{
			Name: p.Name, Address: p.Address, Prefix: p.Prefix.Masked(), ASN: p.ASN,
			Source: p.SourceAddress, Passive: p.Passive && !p.Prefix.IsValid(), NextHopSelf: p.NextHopSelf,
			PasswordFile: p.PasswordFile, MaxPrefixes: uint32(p.MaxPrefixes), Reflect: r.reflects(),
			Import: r.use(p.Import), Export: r.use(p.Export),
		}
		r.timers(&s)
		if p.LocalASN != asn(r.file, r.self) {
			s.LocalASN = p.LocalASN
		}
		if p.Port != bgpPort {
			s.Port = p.Port
		}
		s.TTL, s.MinTTL = ttl(p.TTLSecurity, p.Multihop)
		if p.RouteReflectorClient {
			s.ClusterID = r.clusterID()
		}
		if other, ok := r.nodeWith(p.Address); ok {
			s.Passive = s.Passive || r.bothDial(other) && !dials(r.addressTowards(p), p.Address)
		}
		r.families(&s, p.Families, at)
		if r.password(&s, at) {
			r.want(at, s)
		} else {
			r.unmade = append(r.unmade, s)
		}
	}
}

// WithoutPassword gives the sessions that are not made, since what is in their password
// files is not known.
func WithoutPassword(f *desired.File, node string, passwords map[string]Password) []state.BGPPeer {
	n, ok := f.Node(node)
	if !ok || f.BGP == nil {
		return nil
	}
	r := &bgpRendering{file: f, self: n, passwords: passwords}
	r.externalPeers()
	return r.unmade
}

const bgpPort = 179

// ttl gives the TTL of packets to the peer, or, with TTL security, the least that
// packets from it must have: of 255 at the sender each hop takes one (RFC 5082). A
// neighbour on the same link may not take any, and 255 is what it must have.
func ttl(security bool, multihop int) (ttl, minTTL uint8) {
	switch {
	case security:
		return 0, uint8(256 - max(1, multihop))
	case multihop > 1:
		return uint8(multihop), 0
	}
	return 0, 0
}

func (r *bgpRendering) timers(s *state.BGPPeer) {
	s.HoldTime = uint16(r.file.BGP.HoldTime.Seconds())
	s.RestartTime = uint16(r.file.BGP.GracefulRestart.RestartTime.Seconds())
}

// password fills in the ID of the session's password. Without the password the
// session is not made: it would not come up, or come up unprotected.
func (r *bgpRendering) password(s *state.BGPPeer, at string) bool {
	if s.PasswordFile == "" || r.passwords == nil {
		return true
	}
	p := r.passwords[s.PasswordFile]
	s.PasswordID = p.ID
	if p.Warning != "" {
		text := "peer %s: %s"
		if p.ID == "" {
			text = "no session with peer %s: %s"
		}
		r.warn(at, text, s.Name, p.Warning)
	}
	return p.ID != ""
}

// families says which families the session has: those that are named, or those that
// the node has addresses for. Where the session is of the other family, the node's
// address as a next hop is given, which the session itself does not tell.
func (r *bgpRendering) families(s *state.BGPPeer, named []string, at string) {
	s.IPv4, s.IPv6 = carries(r.self)
	if named != nil {
		s.IPv4, s.IPv6 = slices.Contains(named, "ipv4"), slices.Contains(named, "ipv6")
	}
	over4 := s.Address.Is4() || s.Prefix.Addr().Is4()
	if s.IPv4 && !over4 {
		// Without an address of its own, IPv6's serves (RFC 8950).
		s.NextHop4, _ = first(r.self, true)
	}
	if s.IPv6 && over4 {
		var ok bool
		if s.NextHop6, ok = first(r.self, false); !ok {
			r.warn(at, "peer %s: node %s has no IPv6 address to be the next hop of its IPv6 routes; add one to its addresses",
				s.Name, r.self.Name)
		}
	}
}

// carries says for which families a node can be a next hop.
func carries(n *desired.Node) (v4, v6 bool) {
	_, v4 = first(n, true)
	_, v6 = first(n, false)
	if !v4 && v6 {
		v4, _ = families(n) // IPv4 over IPv6 next hops (RFC 8950)
	}
	return v4, v6
}
