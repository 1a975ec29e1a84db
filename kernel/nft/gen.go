package nft

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// generation asks for the ruleset's generation: it is counted up by every
// transaction that changes something in the network namespace, and is never 0.
func (s *socket) generation() (uint32, error) {
	var gen uint32
	err := s.request(unix.NFT_MSG_GETGEN, 0, unix.NFPROTO_UNSPEC, nil, func(_ byte, as []byte) error {
		in, err := parseAttrs(as)
		gen = in.u32(unix.NFTA_GEN_ID)
		return err
	})
	return gen, err
}

// nextGen is the generation after gen (nf_tables_commit: 0 is left out).
func nextGen(gen uint32) uint32 { return max(gen+1, 1) }

// tracker knows in which generation the cached state is still that of the
// kernel. It takes part in no decision but this: without a watcher, or where
// events were lost, the state is read again once the generation has moved.
type tracker struct {
	mu       sync.Mutex
	at       uint32          // the cache is good for this generation; 0: for none
	clean    map[uint32]bool // later generations in which others left the table alone
	watching bool
	moved    chan struct{} // closed when at changes
}

func newTracker() *tracker {
	return &tracker{clean: map[uint32]bool{}, moved: make(chan struct{})}
}

// set says that what was read, or is about to be, is the state in gen.
func (t *tracker) set(gen uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for g := range t.clean {
		if int32(g-gen) <= 0 {
			delete(t.clean, g)
		}
	}
	t.move(gen)
}

// own says that a transaction of plumb's, based on gen and accounted for, was
// committed as the next one.
func (t *tracker) own(gen uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at == gen {
		t.move(nextGen(gen))
	}
}

// others says that a transaction of somebody else's made gen.
func (t *tracker) others(gen uint32, touched bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.at == 0 || int32(gen-t.at) <= 0: // nothing cached, or read since
	case touched:
		t.move(0)
	default:
		t.clean[gen] = true
		t.move(t.at)
	}
}

// touch says that the table was changed in a way that no generation tells.
func (t *tracker) touch() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.move(0)
}

// lost says that events are missing: what is known of later generations may be
// incomplete. The state counts as good only where the generation has not moved.
func (t *tracker) lost() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.clean)
}

// move goes to gen and on through what is known to be clean.
func (t *tracker) move(gen uint32) {
	for gen != 0 && t.clean[nextGen(gen)] {
		gen = nextGen(gen)
		delete(t.clean, gen)
	}
	if gen == 0 {
		clear(t.clean)
	}
	t.at = gen
	close(t.moved)
	t.moved = make(chan struct{})
}

// settle is how long an event may come after its transaction is visible.
const settle = 50 * time.Millisecond

// good says whether the state is that of gen, too, which the kernel had since the
// state was read. Where a watcher runs, it waits a moment for the events that
// lead there.
func (t *tracker) good(gen uint32) bool {
	var timeout <-chan time.Time
	for {
		t.mu.Lock()
		at, watching, moved := t.at, t.watching, t.moved
		t.mu.Unlock()
		if at == 0 || int32(gen-at) <= 0 || !watching {
			return at != 0 && int32(gen-at) <= 0
		}
		if timeout == nil {
			timer := time.NewTimer(settle)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-moved:
		case <-timeout:
			return false
		}
	}
}

func (t *tracker) setWatching(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watching = on
	clear(t.clean)
}
