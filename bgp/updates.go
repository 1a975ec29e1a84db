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
	paths     map[netip.Prefix][]Path
	endOfRIBs []EndOfRIB
	settled   bool
	sessions  bool
	news      bool // any of these
	bell      chan struct{}
}

func newUpdates(settled bool) *updates {
	u := &updates{paths: map[netip.Prefix][]Path{}, settled: settled, news: settled, bell: make(chan struct{}, 1)}
	u.ring()
	return u
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
	paths, b := u.paths, Batch{EndOfRIBs: u.endOfRIBs, Settled: u.settled, Sessions: u.sessions}
	news := u.news
	u.paths, u.endOfRIBs, u.sessions, u.news = map[netip.Prefix][]Path{}, nil, false, false
	u.mu.Unlock()
	b.Updates = make([]Update, 0, len(paths))
	for prefix, list := range paths {
		b.Updates = append(b.Updates, Update{prefix, list})
	}
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

// best sorts paths, drops those of a next hop that is there already, and keeps the
// first of them.
func best(paths []Path, most int) []Path {
	if len(paths) > 1 {
		slices.SortFunc(paths, func(a, b Path) int {
			if d := a.NextHop.Compare(b.NextHop); d != 0 {
				return d
			}
			return a.Peer.Compare(b.Peer)
		})
		paths = slices.CompactFunc(paths, func(a, b Path) bool { return a.NextHop == b.NextHop })
	}
	if most > 0 && len(paths) > most {
		paths = paths[:most]
	}
	return slices.Clip(paths)
}
