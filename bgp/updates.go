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

// Update is a prefix with its best paths: all that are equally good, sorted by next hop,
// of which none is twice. No paths: it is withdrawn, or this node itself originates it.
type Update struct {
	Prefix netip.Prefix
	Paths  []Path // must not be changed: prefixes share it
}

// EndOfRIB says that a peer has sent all that it has (RFC 4724).
type EndOfRIB struct {
	Peer netip.Addr
	IPv6 bool
}

// Batch is what changed since the last call of Next.
type Batch struct {
	// Updates are in the order in which they happened. A prefix that changed again
	// may be there again; what came last counts.
	Updates   []Update
	EndOfRIBs []EndOfRIB
	// Settled says that the time of restart is over: every session has sent its
	// End-of-RIB, or cannot, or had its time. It stays true. A speaker that was not
	// opened as restarting is settled from the first batch on.
	Settled bool
	// Sessions says that a session's state changed; Speaker.Sessions has it.
	Sessions bool
}

// Next waits until something changes and gives all that has. One goroutine at a time
// may call it.
func (s *Speaker) Next(ctx context.Context) (Batch, error) {
	return s.updates.next(ctx)
}

// updates gathers what changed until somebody takes it.
type updates struct {
	mu        sync.Mutex
	list      []Update
	last      []Path // of the prefix before, which the next one mostly shares
	most      int    // of list, before repetitions are dropped
	endOfRIBs []EndOfRIB
	settled   bool
	sessions  bool
	news      bool // any of these
	bell      chan struct{}
}

// listed is how long the list gets at least before repetitions are looked for: a map
// of all prefixes costs as much as all else that is done here.
const listed = 1 << 16

func newUpdates(settled bool) *updates {
	u := &updates{most: listed, settled: settled, news: settled, bell: make(chan struct{}, 1)}
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
	if len(u.list) == cap(u.list) { // append would grow it by a quarter
		u.list = slices.Grow(u.list, max(len(u.list), 64))
	}
	u.list = append(u.list, Update{p, paths})
	if len(u.list) >= u.most { // nobody takes them, and prefixes may flap on and on
		u.list = lastOfEach(u.list)
		u.most = max(listed, 2*len(u.list))
	}
}

// lastOfEach drops of each prefix all but the last update.
func lastOfEach(list []Update) []Update {
	at := make(map[netip.Prefix]int, len(list))
	for i := range list {
		at[list[i].Prefix] = i
	}
	out := make([]Update, 0, len(at))
	for i, u := range list {
		if at[u.Prefix] == i {
			out = append(out, u)
		}
	}
	return out
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
	u.list, u.most = nil, listed
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
