package reconcile

import (
	"context"
	"testing"

	"github.com/plumbnet/plumb/state"
)

// A turn may come before the first read: what is there is not known then, so nothing
// is made, rules as little as all else.
func TestNothingIsMadeBeforeTheFirstRead(t *testing.T) {
	p := newPaper[state.Object]()
	e := NewEngine(KindOf(p, true, state.KindTable, state.KindChain, state.KindRule))
	set(t, e, Source{ID: "node"}, state.Table{}, state.Chain{Name: "c"}, state.Rule{Chain: "c", Expr: "accept"})
	if done, failures := e.Turn(context.Background()); len(done)+len(failures) != 0 || p.changes() != 0 {
		t.Errorf("before the read: %v, %v", done, failures)
	}
	if err := e.Read(context.Background()); err != nil {
		t.Fatal(err)
	}
	if done, failures := e.Turn(context.Background()); len(done) != 3 || len(failures) != 0 {
		t.Errorf("after it: %v, %v", done, failures)
	}
}
