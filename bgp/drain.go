package bgp

import (
	"context"
	"errors"
	"time"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/plumbnet/plumb/state"
)

// stop ends all sessions of c with a notification, with the lock held.
func (s *Speaker) stop(c *config) error {
	if s.stopListening == nil {
		return nil // it was drained
	}
	s.stopListening()
	s.stopListening = nil
	// GoBGP's stop leaves what is offered to dynamic neighbours.
	for _, p := range c.peers {
		if !p.Prefix.IsValid() {
			continue
		}
		if err := s.deletePeer(p); err != nil {
			return err
		}
	}
	err := s.server.StopBgp(context.Background(), &api.StopBgpRequest{})
	if err := s.record.remove(); err != nil {
		s.log.Warn("BGP: the next start will be taken for a restart", "err", err)
	}
	s.installed, s.policed, s.generation = nil, newConfig(), 0
	clear(s.originated)
	clear(s.remembered)
	clear(s.keyed)
	s.unlimitAll()
	if s.gate != nil {
		_ = s.gate.conn.Close()
		s.gate = nil
	}
	s.seenMu.Lock()
	for peer, e := range s.seen {
		if e.ended == "" {
			delete(s.seen, peer)
			continue
		}
		*e = seen{err: e.ended, errAt: e.endAt, ended: e.ended, endAt: e.endAt}
	}
	s.countDown()
	s.seenMu.Unlock()
	return err
}

// Drain withdraws every route that was announced, gives the peers the time to turn
// to other ways, and ends the sessions with the message (RFC 8203). Nothing but the
// removal of the objects may be applied afterwards.
func (s *Speaker) Drain(ctx context.Context, message string, wait time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.current.Load()
	if c.speaker == nil {
		return nil
	}
	var errs []error // they keep no session from being ended
	for prefix := range s.originated {
		errs = append(errs, s.withdraw(prefix))
	}
	errs = append(errs, s.announceNothing(c))
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
	_ = s.server.ListPeer(context.Background(), &api.ListPeerRequest{}, func(p *api.Peer) {
		if a := p.GetState().GetNeighborAddress(); a != gateAddress.String() {
			_ = s.server.DisablePeer(context.Background(), &api.DisablePeerRequest{Address: a, Communication: message})
		}
	})
	s.await(time.Now().Add(2*time.Second), func(p *api.Peer) bool {
		return p.GetState().GetSessionState() != api.PeerState_ESTABLISHED
	})
	return errors.Join(append(errs, s.stop(c))...)
}

// announceNothing withdraws what was learned from those to whom it was passed on: as by
// a change of the file that has all sessions export nothing. What is received stays.
func (s *Speaker) announceNothing(c *config) error {
	const nothing = "/" // is no name of a filter of the file
	t := &transaction{Speaker: s, before: c, now: c.clone(), index: map[state.Key]int{}}
	t.now.filters[nothing] = filter{BGPFilter: state.BGPFilter{Name: nothing}}
	clear(t.now.prefixes)
	for id, p := range t.now.peers {
		p.Export = nothing
		t.now.peers[id] = p
	}
	return t.changePolicy()
}
