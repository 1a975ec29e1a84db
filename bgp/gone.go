package bgp

import (
	"context"
	"net/netip"
	"slices"
	"time"

	api "github.com/osrg/gobgp/v3/api"
)

// Whoever may call without a configuration of its own leaves something behind at every
// place that keeps account of peers by address, and of addresses an IPv6 subnet has
// more than there is memory.

// mostGone is how many neighbours that are gone stay known with why their session
// ended, and how many are held off at a time.
const mostGone = 1000

// sweepAfter is how long after a neighbour may have gone it is looked after: many do at
// a time, and the log tells of one that is gone.
const sweepAfter = time.Second

// mayBeGone has the neighbours that are gone forgotten in a moment.
func (s *Speaker) mayBeGone() {
	if s.sweeping.CompareAndSwap(false, true) {
		time.AfterFunc(sweepAfter, func() {
			s.sweeping.Store(false)
			s.sweep()
		})
	}
}

// sweep forgets those who are neither configured nor there nor held off.
func (s *Speaker) sweep() {
	here := map[netip.Addr]bool{}
	if err := s.server.ListPeer(context.Background(), &api.ListPeerRequest{}, func(p *api.Peer) {
		here[addressOf(p.GetState().GetNeighborAddress())] = true
	}); err != nil {
		return
	}
	c := s.current.Load()
	stays := func(a netip.Addr) bool {
		_, configured := c.peers[a.String()]
		return configured || here[a]
	}
	s.limitMu.Lock()
	for a, l := range s.limits {
		if s.limited[a] == nil && time.Since(l.until) > longestLimit {
			delete(s.limits, a)
		}
	}
	for a := range s.limited {
		here[a] = true
	}
	s.limitMu.Unlock()
	s.seenMu.Lock()
	for a, e := range s.seen {
		if !stays(a) && (e.ended == "" || len(s.seen) > mostGone) {
			delete(s.seen, a)
		}
	}
	s.seenMu.Unlock()
	s.countMu.Lock()
	for a := range s.counted {
		if !stays(a) {
			delete(s.counted, a)
		}
	}
	s.countMu.Unlock()
	if s.restarting() {
		return // those of before are to come
	}
	if err := s.neighbours.keep(stays); err != nil {
		s.log.Warn("dynamic neighbours that are gone are still remembered", "err", err)
	}
}

// keep drops those from the list that do not stay.
func (n *neighbours) keep(stays func(netip.Addr) bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := len(n.list)
	n.list = slices.DeleteFunc(n.list, func(a netip.Addr) bool { return !stays(a) })
	if len(n.list) == before {
		return nil
	}
	return n.save()
}
