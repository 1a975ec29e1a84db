package bgp

import (
	"context"
	"net/netip"
	"time"

	api "github.com/osrg/gobgp/v3/api"
)

// longestLimit is how long a session that had too many prefixes stays down at most.
const longestLimit = 15 * time.Minute

// sawLimit lets a session that had too many prefixes come up again after a while,
// each time a longer one. GoBGP keeps a session with an address down; a dynamic
// neighbour it would take again at once, so that one is held by its address.
func (s *Speaker) sawLimit(peer netip.Addr) {
	s.limitMu.Lock()
	wait := min(max(2*s.limits[peer], s.options.LimitRetry), longestLimit)
	s.limits[peer] = wait
	s.limitMu.Unlock()
	s.log.Error("BGP session ended: more prefixes than maxPrefixes allows", "peer", s.nameOf(peer), "address", peer, "retry", wait)
	hold := s.current.Load().isDynamic(peer)
	if hold {
		s.await(time.Now().Add(5*time.Second), func(p *api.Peer) bool { return p.GetState().GetNeighborAddress() != peer.String() })
		if err := s.server.AddPeer(context.Background(), &api.AddPeerRequest{Peer: &api.Peer{
			Conf: &api.PeerConf{NeighborAddress: peer.String(), PeerAsn: noASN, AdminDown: true},
		}}); err != nil {
			s.log.Warn("BGP: a neighbour with too many prefixes cannot be held off", "peer", peer, "err", err)
			return
		}
	}
	time.AfterFunc(wait, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, ok := s.current.Load().peerAt(peer); !ok && !hold {
			return // it was taken out of the configuration
		}
		if hold {
			_ = s.server.DeletePeer(context.Background(), &api.DeletePeerRequest{Address: peer.String()})
			return
		}
		_ = s.server.EnablePeer(context.Background(), &api.EnablePeerRequest{Address: peer.String()})
	})
}
