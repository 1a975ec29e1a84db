package reconcile

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
)

// watched is a kernel on paper that other hands can change, and that tells.
type watched struct {
	mu sync.Mutex
	*paper[state.Route]
	changed func([]state.Event[state.Route])
	again   func()
	deaf    error // of Watch
	watches int
}

func (w *watched) Read(ctx context.Context, yield func(state.Route)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.paper.Read(ctx, yield)
}

func (w *watched) Apply(ctx context.Context, changes []state.Change[state.Route]) []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.paper.Apply(ctx, changes)
}

func (w *watched) Watch(_ context.Context, changed func([]state.Event[state.Route]), again func()) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed, w.again = changed, again
	w.watches++
	return w.deaf
}

func (w *watched) remove(r state.Route, tell bool) {
	w.mu.Lock()
	delete(w.objects, r.Key())
	w.mu.Unlock()
	if tell {
		w.changed([]state.Event[state.Route]{{Key: r.Key(), Gone: true}})
	}
}

func (w *watched) has(r state.Route) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.objects[r.Key()] == r
}

func (w *watched) counts() (reads, watches int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reads, w.watches
}

// running starts a loop that wants the routes, and waits until they are there.
func running(t *testing.T, w *watched, resync time.Duration, wanted ...state.Object) *Loop {
	t.Helper()
	e := NewEngine(KindOf(w, false, state.KindRoute))
	l := NewLoop(e)
	l.Resync = resync
	if err := e.SetSource(node, want(wanted...)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := l.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	for _, o := range wanted {
		soon(t, func() bool { return w.has(o.(state.Route)) })
	}
	return l
}

func soon(t *testing.T, so func() bool) {
	t.Helper()
	for range 12_000 { // a minute: the machine may be busy
		if so() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("it did not come to be")
}

func TestLoopRepairsWhatEventsTell(t *testing.T) {
	w := &watched{paper: newPaper[state.Route]()}
	r := rt("10.0.0.1/32", "plb1")
	running(t, w, time.Hour, r)
	w.remove(r, true)
	soon(t, func() bool { return w.has(r) })
	if reads, _ := w.counts(); reads != 1 {
		t.Errorf("the kernel was read %d times; once, at the start, is enough", reads)
	}
}

func TestLoopReadsAgainWhenEventsWereLost(t *testing.T) {
	w := &watched{paper: newPaper[state.Route]()}
	r := rt("10.0.0.1/32", "plb1")
	running(t, w, time.Hour, r)
	w.remove(r, false)
	w.again()
	soon(t, func() bool { return w.has(r) })
}

func TestLoopComparesInFullFromTimeToTime(t *testing.T) {
	w := &watched{paper: newPaper[state.Route]()}
	r := rt("10.0.0.1/32", "plb1")
	running(t, w, 20*time.Millisecond, r)
	w.remove(r, false)
	soon(t, func() bool { return w.has(r) })
}

func TestLoopWithoutEventsLooksForThemAgain(t *testing.T) {
	w := &watched{paper: newPaper[state.Route](), deaf: errors.New("no")}
	r := rt("10.0.0.1/32", "plb1")
	running(t, w, 20*time.Millisecond, r)
	w.remove(r, false)
	soon(t, func() bool { return w.has(r) })
	soon(t, func() bool { _, watches := w.counts(); return watches > 1 })
}

func TestLoopRetriesByItself(t *testing.T) {
	w := &watched{paper: newPaper[state.Route]()}
	tries := 0
	w.refuse = func(state.Change[state.Route]) error {
		if tries++; tries < 3 {
			return errors.New("busy")
		}
		return nil
	}
	running(t, w, time.Hour, rt("10.0.0.1/32", "plb1"))
}

func TestLoopAsksAndAnswers(t *testing.T) {
	w := &watched{paper: newPaper[state.Route]()}
	a, b := rt("10.0.0.1/32", "plb1"), rt("10.0.0.2/32", "plb2")
	l := running(t, w, time.Hour, a)
	l.Do(func(e *Engine) {
		if err := e.SetSource(Source{1, "b"}, []render.Wanted{{Object: b}}); err != nil {
			t.Error(err)
		}
	})
	soon(t, func() bool { return w.has(b) })
	var wanted int
	if err := l.Ask(t.Context(), func(e *Engine) { wanted = len(e.Want()) }); err != nil || wanted != 2 {
		t.Errorf("%d wanted, %v", wanted, err)
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	w := &watched{paper: newPaper(rt("10.0.0.9/32", "x"))}
	e := NewEngine(KindOf(w, false, state.KindRoute))
	set(t, e, node, rt("10.0.0.1/32", "plb1"))
	l := NewLoop(e)
	l.DryRun = true
	plans := make(chan Plan, 10)
	l.OnTurn = func(_ *Engine, t Turned) { plans <- t.Plan }
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = l.Run(ctx) }()
	if p := <-plans; p.Summary() != "1 to add, 0 to change, 1 to delete" {
		t.Error(p.Summary())
	}
	if !w.has(rt("10.0.0.9/32", "x")) || w.has(rt("10.0.0.1/32", "plb1")) {
		t.Error("something was changed")
	}
}
