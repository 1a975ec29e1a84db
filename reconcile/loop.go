package reconcile

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/plumbnet/plumb/state"
)

// Loop drives an engine for ever: it watches the kernel, takes what sources say,
// and turns.
type Loop struct {
	Log    *slog.Logger
	DryRun bool // plan and report, and change nothing
	// Resync is the time between full reads, besides those that events ask for.
	Resync time.Duration
	// OnTurn is called on the loop's goroutine after every turn.
	OnTurn func(*Engine, Turned)

	engine *Engine
	mu     sync.Mutex
	queue  []func(*Engine)
	again  map[*kindState]bool
	wake   chan struct{}
}

// Turned is what one turn did.
type Turned struct {
	Done     []Done
	Failures []*Failure // new or repeated in this turn
	Plan     Plan       // what a dry run would do
	Read     bool       // a full read came before it
	Took     time.Duration
}

// NewLoop makes a loop that owns the engine from now on.
func NewLoop(e *Engine) *Loop {
	return &Loop{
		Log: slog.New(slog.DiscardHandler), Resync: time.Minute, engine: e,
		again: map[*kindState]bool{}, wake: make(chan struct{}, 1),
	}
}

// Do has f run on the loop's goroutine, before a turn. It does not wait.
func (l *Loop) Do(f func(*Engine)) {
	l.mu.Lock()
	l.queue = append(l.queue, f)
	l.mu.Unlock()
	l.poke()
}

// Ask is Do, and waits until f has run, or ctx ends.
func (l *Loop) Ask(ctx context.Context, f func(*Engine)) error {
	done := make(chan struct{})
	l.Do(func(e *Engine) { f(e); close(done) })
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Loop) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Coalescing: a turn waits for a moment of quiet, so that a burst is one batch,
// but not for long.
const (
	quiet   = 2 * time.Millisecond
	maxWait = 20 * time.Millisecond
)

// silentEvery is how often objects are looked at whose changes no event tells.
const silentEvery = 800 * time.Millisecond

// readRetry is how long a kind that could not be read is left alone.
const readRetry = 2 * time.Second

// Run subscribes, reads everything, and turns until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	var unwatched []*kindState
	for _, ks := range l.engine.kinds {
		// Subscribed before the first read: what happens in between is seen.
		if err := l.watch(ctx, ks); err != nil {
			unwatched = append(unwatched, ks)
			l.Log.Warn("no events; changes by others are found by the full comparison alone",
				"kind", ks.Kinds()[0], "err", err)
		}
	}
	resync := time.NewTimer(0) // the first read is due at once
	defer resync.Stop()
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	silent := time.NewTicker(silentEvery)
	defer silent.Stop()
	for {
		read := false
		select {
		case <-ctx.Done():
			return nil
		case <-resync.C:
			read = true
		case <-retry.C:
		case <-silent.C:
			l.engine.lookAtSilent()
			if len(l.engine.unknown) == 0 {
				continue
			}
		case <-l.wake:
			l.settle(ctx)
		}
		start := time.Now()
		l.takeQueue()
		if read {
			unwatched = l.rewatch(ctx, unwatched)
		}
		l.reread(ctx, read)
		t := l.turn(ctx)
		if ctx.Err() != nil {
			return nil // what failed did because of that
		}
		t.Read, t.Took = read, time.Since(start)
		if l.OnTurn != nil {
			l.OnTurn(l.engine, t)
		}
		if read {
			resync.Reset(l.nextRead())
		}
		retry.Reset(l.untilRetry())
	}
}

func (l *Loop) watch(ctx context.Context, ks *kindState) error {
	return ks.watch(ctx,
		func(events []state.Event[state.Object]) {
			l.Do(func(e *Engine) { e.Observe(events) })
		},
		func() { l.readAgain(ks) })
}

func (l *Loop) rewatch(ctx context.Context, unwatched []*kindState) []*kindState {
	var still []*kindState
	for _, ks := range unwatched {
		if l.watch(ctx, ks) != nil {
			still = append(still, ks)
		}
	}
	return still
}

// settle waits until nothing has come for a moment.
func (l *Loop) settle(ctx context.Context) {
	deadline := time.Now().Add(maxWait)
	for time.Now().Before(deadline) {
		select {
		case <-l.wake:
		case <-ctx.Done():
			return
		case <-time.After(quiet):
			return
		}
	}
}

func (l *Loop) takeQueue() {
	l.mu.Lock()
	queue := l.queue
	l.queue = nil
	l.mu.Unlock()
	for _, f := range queue {
		f(l.engine)
	}
}

// A kind that asks for one full read after the other gets a fifth of the time for
// it, and one within half a second all the same.
const (
	restAfterRead = 4
	longestRest   = 500 * time.Millisecond
)

// reread reads all kinds, or those alone whose events were lost or said too little.
func (l *Loop) reread(ctx context.Context, all bool) {
	l.mu.Lock()
	again := l.again
	l.again = map[*kindState]bool{}
	l.mu.Unlock()
	for _, ks := range l.engine.kinds {
		if !all && !again[ks] && !ks.deleted.read {
			continue
		}
		ks.deleted.read = false
		if rest := time.Until(ks.rested); !all && rest > 0 {
			time.AfterFunc(rest, func() { l.readAgain(ks) })
			continue
		}
		known, start := ks.err != nil, time.Now()
		if err := l.engine.readKind(ctx, ks); err != nil && !known {
			l.Log.Error("cannot read the kernel; what is there is left as it is", "kind", ks.Kinds()[0], "err", err)
		}
		ks.rested = time.Now().Add(min(longestRest, restAfterRead*time.Since(start)))
	}
}

// ReadAgain has a kind read in full before the next turn.
func (l *Loop) ReadAgain(kind state.Kind) { l.readAgain(l.engine.byKind[kind]) }

func (l *Loop) readAgain(ks *kindState) {
	l.mu.Lock()
	l.again[ks] = true
	l.mu.Unlock()
	l.poke()
}

func (l *Loop) turn(ctx context.Context) Turned {
	if l.DryRun {
		_ = l.engine.lookUp(ctx) // as in Turn
		return Turned{Plan: l.engine.Plan()}
	}
	var t Turned
	t.Done, t.Failures = l.engine.Turn(ctx)
	return t
}

func (l *Loop) nextRead() time.Duration {
	for _, ks := range l.engine.kinds {
		if !ks.synced {
			return min(readRetry, l.Resync)
		}
	}
	return l.Resync
}

// untilRetry is the time to the next retry of a failing object, or to look again
// where none is.
func (l *Loop) untilRetry() time.Duration {
	next := l.engine.NextRetry()
	if next.IsZero() {
		return time.Hour
	}
	return max(time.Until(next), quiet)
}
