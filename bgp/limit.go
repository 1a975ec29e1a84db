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
	hold := s.current.Load().isDynamic(peer)
	s.limitMu.Lock()
	held := s.held[peer]
	s.held[peer] = hold
	wait := min(max(2*s.limits[peer], s.options.LimitRetry), longestLimit)
	if !held {
		s.limits[peer] = wait
	}
	s.limitMu.Unlock()
	if held {
		return
	}
	s.log.Error("BGP session ended: more prefixes than maxPrefixes allows", "peer", s.nameOf(peer), "address", peer, "retry", wait)
	if hold {
		s.holdOff(peer)
	}
	time.AfterFunc(wait, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, ok := s.current.Load().peerAt(peer); !ok && !hold {
			return // it was taken out of the configuration
		}
		if hold {
			s.limitMu.Lock()
			delete(s.held, peer)
			s.limitMu.Unlock()
			_ = s.server.DeletePeer(context.Background(), &api.DeletePeerRequest{Address: peer.String()})
			return
		}
		_ = s.server.EnablePeer(context.Background(), &api.EnablePeerRequest{Address: peer.String()})
	})
}

// holdOff puts a peer that is down in the place of a dynamic neighbour, which may
// have come again meanwhile.
func (s *Speaker) holdOff(peer netip.Addr) {
	time.Sleep(200 * time.Millisecond) // the peer is told why
	var err error
	for range 50 {
		_ = s.server.DeletePeer(context.Background(), &api.DeletePeerRequest{Address: peer.String()})
		if err = s.server.AddPeer(context.Background(), &api.AddPeerRequest{Peer: &api.Peer{
			Conf: &api.PeerConf{NeighborAddress: peer.String(), PeerAsn: noASN, AdminDown: true},
		}}); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.log.Warn("BGP: a neighbour with too many prefixes cannot be held off", "peer", peer, "err", err)
}
