package bgp

import (
	"context"
	"net/netip"
	"time"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/plumbnet/plumb/state"
)

// longestLimit is how long a session that had too many prefixes stays down at most.
const longestLimit = 15 * time.Minute

// limit is how long a session waited last, and until when.
type limit struct {
	wait  time.Duration
	until time.Time
}

// limited is a session that is down for too many prefixes.
type limited struct {
	again *time.Timer // when it may come up
	// dynamic neighbours GoBGP would take again at once, so that one is held off by a
	// peer of its address that is down. One with an address of its own GoBGP keeps down.
	dynamic bool
}

// sawLimit lets a session that had too many prefixes come up again after a while,
// each time a longer one. That it waits is known when it returns, before GoBGP does
// anything else: another limit may be on its way.
func (s *Speaker) sawLimit(peer netip.Addr) {
	l := &limited{dynamic: s.current.Load().isDynamic(peer)}
	s.limitMu.Lock()
	if s.limited[peer] != nil || l.dynamic && len(s.limited) >= mostGone {
		s.limitMu.Unlock()
		return
	}
	wait := min(max(2*s.limits[peer].wait, s.options.LimitRetry), longestLimit)
	s.limits[peer] = limit{wait, time.Now().Add(wait)}
	s.limited[peer] = l
	l.again = time.AfterFunc(wait, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.release(peer)
	})
	s.limitMu.Unlock()
	s.log.Error("BGP session ended: more prefixes than maxPrefixes allows", "peer", s.nameOf(peer), "address", peer, "retry", wait)
	if l.dynamic {
		go s.holdOff(peer, l)
	}
}

// release lets a session come up that was down for too many prefixes.
func (s *Speaker) release(peer netip.Addr) {
	switch l := s.unlimit(peer); {
	case l == nil:
	case l.dynamic:
		_ = s.deleteAddress(peer)
	default:
		_ = s.server.EnablePeer(context.Background(), &api.EnablePeerRequest{Address: peer.String()})
	}
}

// heldOff says until when a session is down for too many prefixes, if it is.
func (s *Speaker) heldOff(peer netip.Addr) (until time.Time) {
	s.limitMu.Lock()
	defer s.limitMu.Unlock()
	if s.limited[peer] != nil {
		until = s.limits[peer].until
	}
	return until
}

// unlimit forgets that a session is down, and gives what was known of it.
func (s *Speaker) unlimit(peer netip.Addr) *limited {
	s.limitMu.Lock()
	defer s.limitMu.Unlock()
	l := s.limited[peer]
	if l != nil {
		l.again.Stop()
		delete(s.limited, peer)
	}
	return l
}

// unlimitAll forgets all that are down, when the speaker itself is: its next sessions
// are others.
func (s *Speaker) unlimitAll() {
	s.limitMu.Lock()
	defer s.limitMu.Unlock()
	for _, l := range s.limited {
		l.again.Stop()
	}
	clear(s.limited)
}

// limitedOf gives those of a session that are down for too many prefixes.
func (s *Speaker) limitedOf(p state.BGPPeer) []netip.Addr {
	s.limitMu.Lock()
	defer s.limitMu.Unlock()
	var out []netip.Addr
	for a := range s.limited {
		if of, ok := s.current.Load().peerAt(a); ok && of.Key() == p.Key() {
			out = append(out, a)
		}
	}
	return out
}

// holdOff puts a peer that is down in the place of a dynamic neighbour, which may
// have come again meanwhile.
func (s *Speaker) holdOff(peer netip.Addr, l *limited) {
	time.Sleep(200 * time.Millisecond) // the peer is told why
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limitMu.Lock()
	still := s.limited[peer] == l
	s.limitMu.Unlock()
	if !still { // it was released meanwhile
		return
	}
	var err error
	for range 50 {
		_ = s.deleteAddress(peer)
		if err = s.addAddress(&api.Peer{
			Conf: &api.PeerConf{NeighborAddress: peer.String(), PeerAsn: noASN, AdminDown: true},
		}, peer); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.log.Warn("BGP: a neighbour with too many prefixes cannot be held off", "peer", peer, "err", err)
}
