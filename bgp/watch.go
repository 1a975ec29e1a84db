package bgp

import (
	"context"
	"net/netip"
	"slices"

	api "github.com/osrg/gobgp/v3/api"
	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
	"github.com/osrg/gobgp/v3/pkg/server"
)

// watchServer has GoBGP call back with what changes. What it calls only notes: best
// paths come on the goroutine that handles all messages of all peers.
func (s *Speaker) watchServer(ctx context.Context) error {
	if err := s.server.WatchBestPaths(ctx, server.BestPathHandler{Changes: s.sawPaths, EndOfRIB: s.sawEndOfRIB}); err != nil {
		return err
	}
	return s.server.WatchEvent(ctx, &api.WatchEventRequest{Peer: &api.WatchEventRequest_Peer{}}, func(r *api.WatchEventResponse) {
		if p := r.GetPeer(); p != nil && p.GetType() == api.WatchEventResponse_PeerEvent_STATE {
			s.sawState(p.GetPeer())
		}
	})
}

// sawPaths notes best paths.
func (s *Speaker) sawPaths(changes []server.BestPathChange) {
	s.version.Add(1)
	s.updates.change(func() {
		u := s.updates
		var list []Path
		for _, c := range changes {
			list = list[:0]
			for _, p := range c.Paths {
				if p.Peer.IsValid() && p.NextHop.IsValid() {
					list = append(list, Path{p.NextHop, p.Peer})
				}
			}
			u.put(c.Prefix, best(list))
		}
	})
}

func (s *Speaker) sawEndOfRIB(peer netip.Addr, family packet.RouteFamily) {
	if peer == gateAddress {
		return
	}
	s.version.Add(1)
	s.updates.change(func() {
		s.updates.endOfRIBs = append(s.updates.endOfRIBs, EndOfRIB{peer, family == packet.RF_IPv6_UC})
	})
}

// best sorts paths, and drops those of a next hop that is there already.
func best(paths []Path) []Path {
	if len(paths) > 1 {
		slices.SortFunc(paths, func(a, b Path) int {
			if d := a.NextHop.Compare(b.NextHop); d != 0 {
				return d
			}
			return a.Peer.Compare(b.Peer)
		})
		paths = slices.CompactFunc(paths, func(a, b Path) bool { return a.NextHop == b.NextHop })
	}
	return paths
}
