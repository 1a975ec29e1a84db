package reconcile

import (
	"testing"
	"time"

	"github.com/plumbnet/plumb/state"
)

func TestRepairsInARowAreSpaced(t *testing.T) {
	p := newPaper[state.Route]()
	e := NewEngine(routes(p))
	now := time.Unix(1000, 0)
	e.now = func() time.Time { return now }
	r := rt("10.0.0.1/32", "plb1")
	set(t, e, node, r)
	read(t, e)
	turn(t, e)
	made := 0
	for range 1000 { // for a second, another program undoes each repair within a millisecond
		now = now.Add(time.Millisecond)
		e.Observe([]state.Event[state.Object]{{Key: r.Key(), Gone: true}})
		made += len(turn(t, e))
	}
	if made < 10 || made > 15 || len(e.Contested()) != 1 {
		t.Errorf("%d repairs in a second, contested: %v", made, e.Contested())
	}
	if wait := e.NextRetry().Sub(now); e.Settled() || wait <= 0 || wait > betweenHot {
		t.Errorf("the next is due in %s", wait)
	}
	set(t, e, Source{1, "new"}, rt("10.0.0.2/32", "plb2"))
	if done := turn(t, e); len(done) != 1 {
		t.Errorf("what is newly wanted waits: %v", done)
	}
	now = e.NextRetry()
	if done := turn(t, e); len(done) != 1 || !e.Settled() {
		t.Errorf("when its time has come, it is not repaired: %v", done)
	}
	now = now.Add(time.Minute)
	if len(e.Contested()) != 0 {
		t.Error("it never cools")
	}
}
