package bgp

import (
	"context"
	"net/netip"
	"slices"
	"sync"
)

// Path is one way to a prefix.
type Path struct {
	NextHop netip.Addr
	Peer    netip.Addr // who announced it
}

// Update is a prefix with its best paths: all that are equally good, up to the
// speaker's MaxPaths, sorted by next hop, of which none is twice. No paths: it is
// withdrawn, or this node itself originates it.
type Update struct {
	Prefix netip.Prefix
	Paths  []Path
}

// EndOfRIB says that a peer has sent all that it has (RFC 4724).
type EndOfRIB struct {
	Peer netip.Addr
	IPv6 bool
}

// Batch is what changed since the last call of Next.
type Batch struct {
	Updates   []Update // in no particular order, each prefix once
	EndOfRIBs []EndOfRIB
	// Settled says that the time of restart is over: every session has sent its
	// End-of-RIB, or cannot, or had its time. It stays true. A speaker that was not
	// opened as restarting is settled from the first batch on.
	Settled bool
	// Sessions says that a session's state changed; Speaker.Sessions has it.
	Sessions bool
}

// Next waits until something changes and gives it, coalesced. One goroutine at a
// time may call it.
func (s *Speaker) Next(ctx context.Context) (Batch, error) {
	return s.updates.next(ctx)
}

// updates gathers what changed until somebody takes it.
type updates struct {
	mu        sync.Mutex
	list      []Update
	at        map[netip.Prefix]int // in list
	last      []Path               // of the prefix before, which the next one mostly shares
	endOfRIBs []EndOfRIB
	settled   bool
	sessions  bool
	news      bool // any of these
	bell      chan struct{}
}

func newUpdates(settled bool) *updates {
	u := &updates{at: map[netip.Prefix]int{}, settled: settled, news: settled, bell: make(chan struct{}, 1)}
	u.ring()
	return u
}

// put notes the best paths of a prefix, with the lock held. It does not keep paths:
// prefixes that came together share one list of them.
func (u *updates) put(p netip.Prefix, paths []Path) {
	switch {
	case len(paths) == 0:
		paths = nil
	case slices.Equal(paths, u.last):
		paths = u.last
	default:
		paths = slices.Clone(paths)
		u.last = paths
	}
	i, ok := u.at[p]
	if ok {
		u.list[i].Paths = paths
		return
	}
	u.at[p] = len(u.list)
	u.list = append(u.list, Update{p, paths})
}

func (u *updates) next(ctx context.Context) (Batch, error) {
	for {
		select {
		case <-u.bell:
		case <-ctx.Done():
			return Batch{}, ctx.Err()
		}
		if b, ok := u.take(); ok {
			return b, nil
		}
	}
}

func (u *updates) take() (Batch, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	b := Batch{Updates: u.list, EndOfRIBs: u.endOfRIBs, Settled: u.settled, Sessions: u.sessions}
	news := u.news
	u.endOfRIBs, u.sessions, u.news = nil, false, false
	u.list = nil
	if len(u.at) > 1<<10 { // a map that was once large is slow to clear for ever
		u.at = map[netip.Prefix]int{}
	}
	clear(u.at)
	return b, news
}

func (u *updates) ring() {
	select {
	case u.bell <- struct{}{}:
	default:
	}
}

// change calls f, which notes news, and wakes who waits.
func (u *updates) change(f func()) {
	u.mu.Lock()
	f()
	u.news = true
	u.mu.Unlock()
	u.ring()
}
