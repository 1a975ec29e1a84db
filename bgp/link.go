package bgp

import (
	"context"
	"net/netip"
	"slices"

	api "github.com/osrg/gobgp/v3/api"
)

// LinkLost ends the sessions with external peers that are directly on a device without
// a carrier, which has these addresses: there may be another router that the hold time
// would keep packets from. BIRD (check link) and FRR (bgp fast-external-failover) do it
// by default, too. Peers that are further away, and internal ones, may be reached by
// another way.
func (s *Speaker) LinkLost(dev string, addresses []netip.Prefix) {
	c := s.current.Load()
	if c.speaker == nil {
		return
	}
	on := func(a netip.Addr) bool {
		return slices.ContainsFunc(addresses, func(p netip.Prefix) bool { return !p.Addr().IsLinkLocalUnicast() && p.Contains(a) })
	}
	var ends []string
	_ = s.server.ListPeer(context.Background(), &api.ListPeerRequest{}, func(p *api.Peer) {
		address := addressOf(p.GetState().GetNeighborAddress())
		of, ok := c.peerAt(address)
		direct := of.TTL <= 1 && (of.MinTTL == 0 || of.MinTTL == 255)
		if ok && direct && c.external(of) && on(address) && p.GetState().GetSessionState() == api.PeerState_ESTABLISHED {
			ends = append(ends, address.String())
		}
	})
	for _, address := range ends {
		// With a notification, even if it cannot go out: the routes are not kept then. Where
		// only this side has seen it, it arrives when the link is back. One that has gone
		// meanwhile is no error.
		_ = s.server.ResetPeer(context.Background(), &api.ResetPeerRequest{Address: address, Communication: dev + " has no carrier"})
	}
}
