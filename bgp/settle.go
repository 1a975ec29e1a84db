package bgp

import (
	"context"
	"net/netip"
	"time"

	api "github.com/osrg/gobgp/v3/api"
)

// grace is how long after a session came up a peer without graceful restart is
// given to send its routes: it may send no End-of-RIB.
const grace = 5 * time.Second

// linger is how long after a session came up its End-of-RIB is not believed: FRR
// holds its routes back for a second, to send them together (coalesce-time), and
// sends the End-of-RIB before them.
const linger = 2 * time.Second

// restarting says whether peers are told that this node has restarted.
func (s *Speaker) restarting() bool { return s.options.Restarting && !s.isSettled() }

func (s *Speaker) isSettled() bool {
	s.updates.mu.Lock()
	defer s.updates.mu.Unlock()
	return s.updates.settled
}

// settle waits until every session has sent what it has, or the restart time is
// over, and ends the restart: the gate is lifted, and Batch.Settled comes.
func (s *Speaker) settle(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var deadline, idle time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c := s.current.Load()
		if s.version.Load() == 0 {
			continue // nothing was applied yet: it is not known whose routes to wait for
		}
		if len(c.peers) == 0 {
			// There is nobody to wait for, unless somebody is to come in a moment.
			if idle.IsZero() {
				idle = time.Now()
			}
			if time.Since(idle) > linger {
				s.endRestart()
				return
			}
			continue
		}
		if deadline.IsZero() {
			deadline = time.Now().Add(c.restartTime())
		}
		missing := s.missing()
		if len(missing) > 0 && time.Now().Before(deadline) {
			continue
		}
		if len(missing) > 0 {
			s.log.Warn("BGP: the restart time is over, and some peers have not sent their routes", "peers", missing)
		}
		s.endRestart()
		return
	}
}

// endRestart holds the lock of Apply, so that no session is added half-way.
func (s *Speaker) endRestart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gate != nil {
		if err := s.gate.lift(); err != nil {
			s.log.Warn("BGP: the end of the restart could not be said", "err", err)
		}
		s.closeGate(s.gate)
		s.gate = nil
	}
	s.forget()
	s.updates.change(func() { s.updates.settled = true })
	s.log.Info("BGP: the restart is over")
}

// forget deletes the remembered neighbours that did not come back: they can come
// as dynamic ones.
func (s *Speaker) forget() {
	_ = s.server.ListPeer(context.Background(), &api.ListPeerRequest{}, func(p *api.Peer) {
		address, err := netip.ParseAddr(p.GetState().GetNeighborAddress())
		if _, ok := s.remembered[address]; err != nil || !ok || p.GetState().GetSessionState() == api.PeerState_ESTABLISHED {
			return
		}
		if err := s.neighbours.note(address, false); err != nil {
			s.log.Warn("a dynamic neighbour that is gone is still remembered", "peer", address, "err", err)
		}
		if err := s.deleteAddress(address); err != nil {
			s.log.Warn("BGP: a neighbour that is gone", "peer", address, "err", err)
		}
	})
}

// missing names the sessions whose routes are not all there yet.
func (s *Speaker) missing() []string {
	var out []string
	_ = s.server.ListPeer(context.Background(), &api.ListPeerRequest{}, func(p *api.Peer) {
		address, err := netip.ParseAddr(p.GetState().GetNeighborAddress())
		if err == nil && address != gateAddress && !s.synced(address, p) {
			out = append(out, s.nameOf(address))
		}
	})
	return out
}

func (s *Speaker) synced(address netip.Addr, p *api.Peer) bool {
	if p.GetState().GetSessionState() != api.PeerState_ESTABLISHED {
		return false
	}
	s.seenMu.Lock()
	since := s.lookAt(address).since
	s.seenMu.Unlock()
	if since.IsZero() || time.Since(since) < linger {
		return false
	}
	late := time.Since(since) > grace
	for _, f := range p.GetAfiSafis() {
		st := f.GetMpGracefulRestart().GetState()
		if !st.GetEndOfRibReceived() && (st.GetReceived() || !late) {
			return false
		}
	}
	return true
}

// restartTime is the longest of the sessions'.
func (c *config) restartTime() time.Duration {
	longest := uint16(1)
	for _, p := range c.peers {
		longest = max(longest, p.RestartTime)
	}
	return time.Duration(longest) * time.Second
}
