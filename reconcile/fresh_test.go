package reconcile

import (
	"testing"
	"time"

	"github.com/plumbnet/plumb/state"
)

func there(r state.Route) []state.Event[state.Object] {
	return []state.Event[state.Object]{{Key: r.Key(), Object: r}}
}

// clocked is an engine with a clock of its own.
func clocked(p *paper[state.Route]) (*Engine, *time.Time) {
	e, now := NewEngine(routes(p)), time.Unix(1000, 0)
	e.now = func() time.Time { return now }
	return e, &now
}

func TestWhatIsNewAndUnwantedLingers(t *testing.T) {
	fresh, other := rt("10.0.0.1/32", "plb1"), rt("10.0.0.2/32", "tap0")
	p := newPaper[state.Route]()
	e, now := clocked(p)
	e.Linger(time.Second, func(o state.Object) bool { return o == state.Object(fresh) })
	read(t, e)
	appear := func() {
		p.objects[fresh.Key()], p.objects[other.Key()] = fresh, other
		e.Observe(append(there(fresh), there(other)...))
	}
	appear()
	if done := turn(t, e); len(done) != 1 || done[0].Before != state.Object(other) {
		t.Fatalf("the one that does not linger is deleted at once: %v", done)
	}
	if next := e.NextRetry(); next != now.Add(time.Second) {
		t.Errorf("it is looked at again at %v", next)
	}
	if e.Settled() {
		t.Error("it is unwanted, so not all is settled")
	}
	set(t, e, node, fresh) // its source is read
	*now = now.Add(time.Minute)
	if done := turn(t, e); len(done) != 0 || !e.Settled() {
		t.Fatalf("wanted by now: %v", done)
	}

	set(t, e, node) // and no longer
	if done := turn(t, e); len(done) != 0 {
		t.Fatalf("the time begins anew: %v", done)
	}
	*now = now.Add(time.Second)
	if done := turn(t, e); len(done) != 1 || done[0].Action != state.Delete {
		t.Fatalf("after its time: %v", done)
	}
	if !e.Settled() {
		t.Error("not settled")
	}
}

func TestADryRunShowsWhatLingers(t *testing.T) {
	fresh := rt("10.0.0.1/32", "plb1")
	e := NewEngine(routes(newPaper(fresh)))
	e.Linger(time.Hour, func(state.Object) bool { return true })
	read(t, e)
	if p := e.Plan(); len(p.Steps) != 1 {
		t.Errorf("%d steps", len(p.Steps))
	}
}

func TestAnEventOlderThanTheDeletionProvesNothing(t *testing.T) {
	r := rt("10.0.0.1/32", "plb1")
	p := newPaper(r)
	e, now := clocked(p)
	read(t, e)
	turn(t, e) // deleted: nobody wants it
	e.Observe(there(r))
	set(t, e, node, r)
	if done := turn(t, e); len(done) != 1 || done[0].Action != state.Add {
		t.Fatalf("the event was believed: %v", done)
	}

	ks := e.byKind[state.KindRoute]
	if !ks.deleted.read {
		t.Error("nobody is told to read the kind")
	}
	ks.deleted.read = false
	e.Observe(there(rt("10.0.0.9/32", "plb9"))) // another key
	*now = now.Add(doubtTime)
	e.Observe(there(r))
	if ks.deleted.read {
		t.Error("in doubt without a reason")
	}
}

func TestAfterManyDeletionsEveryEventIsInDoubt(t *testing.T) {
	p := newPaper[state.Route]()
	for i := range readable + 1 {
		r := rt("10.0.0.0/32", "plb1")
		r.Metric = uint32(i)
		p.objects[r.Key()] = r
	}
	e, _ := clocked(p)
	read(t, e)
	turn(t, e)
	e.Observe(there(rt("10.0.0.9/32", "plb9")))
	if !e.byKind[state.KindRoute].deleted.read {
		t.Error("the event was believed")
	}
}

// The loop reads what is in doubt, and then knows.
func TestTheLoopReadsWhatIsInDoubt(t *testing.T) {
	w := &watched{paper: newPaper[state.Route]()}
	r := rt("10.0.0.1/32", "plb1")
	l := running(t, w, time.Hour, r)
	l.Do(func(e *Engine) {
		if err := e.SetSource(node, nil); err != nil {
			t.Error(err)
		}
	})
	soon(t, func() bool { return !w.has(r) })
	reads, _ := w.counts()
	w.mu.Lock()
	w.objects[r.Key()] = r // made again by others, who tell of it
	w.mu.Unlock()
	w.changed([]state.Event[state.Route]{{Key: r.Key(), Object: r}})
	soon(t, func() bool { return !w.has(r) })
	if again, _ := w.counts(); again == reads {
		t.Error("it was not read")
	}
}

// A source may come before the first read: rules wait for that like all else.
func TestNothingIsMadeBeforeItsKindWasRead(t *testing.T) {
	p := newPaper[state.Object]()
	e := NewEngine(KindOf(p, true, state.KindChain, state.KindRule))
	set(t, e, node, state.Chain{Name: "postrouting"}, state.Rule{Chain: "postrouting", Expr: "masquerade"})
	if done := turn(t, e); len(done) != 0 {
		t.Errorf("made: %v", done)
	}
	read(t, e)
	if done := turn(t, e); len(done) != 2 || !e.Settled() {
		t.Errorf("after the read: %v", done)
	}
}
