package reconcile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/state"
)

func TestOneTurnConvergesAndTheSecondDoesNothing(t *testing.T) {
	p := newPaper(rt("10.0.0.1/32", "old"), rt("10.0.0.2/32", "plb2"), rt("10.0.0.9/32", "gone"))
	e := NewEngine(routes(p))
	set(t, e, node, rt("10.0.0.1/32", "plb1"), rt("10.0.0.2/32", "plb2"), rt("10.0.0.3/32", "plb3"))
	read(t, e)
	const wanted = `~ route 10.0.0.1/32 dev old -> plb1 scope link proto plumb              plumb.yaml:1
+ route 10.0.0.3/32 dev plb3 scope link proto plumb                     plumb.yaml:1
- route 10.0.0.9/32 dev gone scope link proto plumb
1 to add, 1 to change, 1 to delete
`
	if got := e.Plan().Text(nil); got != wanted {
		t.Errorf("the plan:\n%s", got)
	}
	if p.changes() != 0 {
		t.Error("a plan changed something")
	}
	turn(t, e)
	if got := len(p.batches); got != 2 || p.batches[1][0].Action != state.Delete {
		t.Errorf("%d batches, the deletion is to be the second: %v", got, p.batches)
	}
	if !e.Settled() || e.Plan().Text(nil) != "" {
		t.Errorf("after the turn: %s", e.Plan().Text(nil))
	}
	n := p.changes()
	read(t, e)
	turn(t, e)
	if p.changes() != n {
		t.Error("the second turn changed something")
	}
}

func TestAFailureHoldsUpNothingElseAndComesBackLater(t *testing.T) {
	p := newPaper[state.Route]()
	bad := errors.New("no buffer space available")
	p.refuse = func(c state.Change[state.Route]) error {
		if c.After.Dev == "plb2" {
			return bad
		}
		return nil
	}
	e := NewEngine(routes(p))
	now := time.Unix(1000, 0)
	e.now = func() time.Time { return now }
	set(t, e, node, rt("10.0.0.1/32", "plb1"), rt("10.0.0.2/32", "plb2"), rt("10.0.0.3/32", "plb3"))
	read(t, e)
	done, failures := e.Turn(ctx)
	if len(done) != 2 || len(failures) != 1 || !errors.Is(failures[0].Err, bad) || failures[0].Origin != "plumb.yaml:1" {
		t.Fatalf("done %v, failures %+v", done, failures)
	}
	if got := e.NextRetry().Sub(now); got != firstRetry {
		t.Errorf("next retry in %s", got)
	}
	if e.Turn(ctx); p.changes() != 3 {
		t.Error("it was tried again before its time")
	}
	for range 12 { // the backoff doubles, to a bound
		now = e.NextRetry()
		e.Turn(ctx)
	}
	if got := e.NextRetry().Sub(now); got != lastRetry {
		t.Errorf("after 13 attempts it waits %s", got)
	}
	if f := e.Failures(); len(f) != 1 || f[0].Attempts != 13 {
		t.Errorf("failures: %+v", f)
	}
	p.refuse = nil
	now = e.NextRetry()
	if turn(t, e); !e.Settled() || len(e.Failures()) != 0 {
		t.Error("it did not recover")
	}
}

func TestANewWishForAFailingObjectIsTriedAtOnce(t *testing.T) {
	p := newPaper[state.Route]()
	p.refuse = func(c state.Change[state.Route]) error {
		if c.After.Dev == "bad" {
			return errors.New("no")
		}
		return nil
	}
	e := NewEngine(routes(p))
	set(t, e, node, rt("10.0.0.1/32", "bad"))
	read(t, e)
	e.Turn(ctx)
	set(t, e, node, rt("10.0.0.1/32", "good"))
	if turn(t, e); !e.Settled() {
		t.Error("not settled")
	}
}

func TestWhatIsInTheWayIsNotTriedBeforeItGoesAway(t *testing.T) {
	p := newPaper[state.Route]()
	key := rt("10.0.0.1/32", "x").Key()
	foreign := true
	p.refuse = func(c state.Change[state.Route]) error {
		if foreign {
			return &state.ConflictError{Key: key, With: "10.0.0.1 dev eth9 proto static"}
		}
		return nil
	}
	e := NewEngine(routes(p))
	set(t, e, node, rt("10.0.0.1/32", "plb1"))
	read(t, e)
	if _, failures := e.Turn(ctx); len(failures) != 1 || !failures[0].Conflict() {
		t.Fatalf("failures %v", failures)
	}
	foreign = false
	e.Observe([]state.Event[state.Object]{{Key: key, Gone: true}})
	if turn(t, e); !e.Settled() {
		t.Error("it was not made when the way was free")
	}
}

func TestADeletionIsHeldWhileItsReplacementFails(t *testing.T) {
	old := state.NewRoute(netip.MustParsePrefix("10.0.0.0/24"), state.TableMain, state.ProtoPlumb, state.NextHop{Dev: "a"})
	moved := old
	moved.Table = 100
	p := newPaper(old)
	p.refuse = func(c state.Change[state.Route]) error {
		if c.Action == state.Add {
			return errors.New("no")
		}
		return nil
	}
	e := NewEngine(routes(p))
	now := time.Unix(0, 0)
	e.now = func() time.Time { return now }
	set(t, e, node, moved)
	read(t, e)
	_, failures := e.Turn(ctx)
	if len(failures) != 2 || !errors.Is(failures[1].Err, ErrHeld) || len(p.objects) != 1 {
		t.Fatalf("failures %v, kernel %v", failures, p.objects)
	}
	p.refuse = nil
	now = now.Add(time.Hour)
	if turn(t, e); !e.Settled() || p.objects[moved.Key()] != moved || len(p.objects) != 1 {
		t.Errorf("kernel %v", p.objects)
	}
}

func TestNothingIsDeletedForASourceThatWasNotRead(t *testing.T) {
	p := newPaper(rt("10.0.0.1/32", "plb1"), rt("10.0.0.2/32", "plb2"))
	e := NewEngine(routes(p))
	e.Hold("endpoints", func(o state.Object) bool { return true })
	read(t, e)
	if turn(t, e); len(p.objects) != 2 {
		t.Fatal("a held route was deleted")
	}
	set(t, e, Source{1, "c1"}, rt("10.0.0.1/32", "plb1"))
	e.Release("endpoints")
	if turn(t, e); len(p.objects) != 1 || p.changes() != 1 {
		t.Errorf("kernel %v after %v", p.objects, p.batches)
	}
}

// Rules are compared all at once, and are held like everything else.
func TestHeldRulesStay(t *testing.T) {
	rule := func(pos int, expr string) state.Object { return state.Rule{Chain: "c", Pos: pos, Expr: expr} }
	p := newPaper(rule(0, "accept"), rule(1, "drop"))
	e := NewEngine(KindOf(p, true, state.KindRule))
	e.Hold("no file", func(state.Object) bool { return true })
	read(t, e)
	if turn(t, e); len(p.objects) != 2 || !e.Plan().Empty() {
		t.Fatalf("held rules were deleted, or are to be: %v", e.Plan())
	}
	set(t, e, Source{ID: "node"}, rule(0, "drop"))
	e.Release("no file")
	if turn(t, e); len(p.objects) != 1 || !e.Settled() {
		t.Errorf("kernel %v after %v", p.objects, p.batches)
	}
}

func TestWhatIsKeptIsNeverDeleted(t *testing.T) {
	p := newPaper(rt("10.0.0.1/32", "plb1"))
	e := NewEngine(routes(p))
	e.Keep(func(state.Object) bool { return true })
	read(t, e)
	if !e.Plan().Empty() {
		t.Error("it is planned to go")
	}
	if turn(t, e); len(p.objects) != 1 || !e.Settled() {
		t.Error("it is gone")
	}
}

func TestTwoSourcesClaimOneAddress(t *testing.T) {
	p := newPaper[state.Route]()
	e := NewEngine(routes(p))
	a, b, file := Source{1, "a"}, Source{1, "b"}, Source{0, "file/z"}
	set(t, e, b, rt("10.0.0.1/32", "plbB"))
	read(t, e)
	turn(t, e)
	dev := func() string {
		turn(t, e)
		return p.objects[rt("10.0.0.1/32", "x").Key()].Dev
	}
	set(t, e, a, rt("10.0.0.1/32", "plbA"))
	if got := dev(); got != "plbA" {
		t.Errorf("the lower ID is to have it, not %s", got)
	}
	if s := e.Shadowed(); len(s) != 1 || s[0].Object != state.Object(rt("10.0.0.1/32", "plbB")) {
		t.Errorf("shadowed: %v", s)
	}
	set(t, e, file, rt("10.0.0.1/32", "tap0"))
	if got := dev(); got != "tap0" {
		t.Errorf("the lower rank is to have it, not %s", got)
	}
	set(t, e, file)
	set(t, e, a)
	if got := dev(); got != "plbB" {
		t.Errorf("when the others go, the last takes over, not %s", got)
	}
	if len(e.Shadowed()) != 0 {
		t.Error("it is still shadowed")
	}
	set(t, e, b)
	if turn(t, e); len(p.objects) != 0 || len(e.entries[state.KindRoute]) != 0 {
		t.Errorf("left behind: %v, %v", p.objects, e.entries)
	}
}

func TestOthersHandsAreCountedAsDrift(t *testing.T) {
	p := newPaper[state.Route]()
	e := NewEngine(routes(p))
	set(t, e, node, rt("10.0.0.1/32", "plb1"))
	read(t, e)
	if done := turn(t, e); len(done) != 1 || done[0].Drift {
		t.Errorf("the first making is no drift: %v", done)
	}
	e.Observe([]state.Event[state.Object]{{Key: rt("10.0.0.1/32", "").Key(), Gone: true}})
	if done := turn(t, e); len(done) != 1 || !done[0].Drift {
		t.Errorf("a deleted route put back is drift: %v", done)
	}
	delete(p.objects, rt("10.0.0.1/32", "").Key())
	read(t, e)
	if done := turn(t, e); len(done) != 1 || !done[0].Drift {
		t.Errorf("also when a full read finds it: %v", done)
	}
	e.Observe([]state.Event[state.Object]{{Key: rt("10.0.0.1/32", "").Key(), Object: rt("10.0.0.1/32", "plb1")}})
	if done := turn(t, e); len(done) != 0 {
		t.Errorf("an event that says what is wanted anyway did something: %v", done)
	}
}

func TestAKindThatCannotBeReadIsLeftAlone(t *testing.T) {
	p := newPaper(rt("10.0.0.9/32", "x"))
	p.readErr = errors.New("operation not permitted")
	s := newPaper[state.Sysctl]()
	e := NewEngine(routes(p), KindOf(s, false, state.KindSysctl))
	set(t, e, node, rt("10.0.0.1/32", "plb1"), state.Sysctl{Path: "net/ipv4/ip_forward", Value: "1"})
	if err := e.Read(ctx); err == nil || !strings.Contains(err.Error(), "read route: operation not permitted") {
		t.Errorf("err %v", err)
	}
	e.Turn(ctx)
	if p.changes() != 0 || s.changes() != 1 || e.Settled() || e.ReadErrors()[state.KindRoute] == nil {
		t.Errorf("routes %v, sysctls %v", p.batches, s.batches)
	}
	p.readErr = nil
	read(t, e)
	if turn(t, e); len(p.objects) != 1 || !e.Settled() {
		t.Errorf("kernel %v", p.objects)
	}
}

func TestAKindThatGivesTooFewResultsIsNotTakenForSuccess(t *testing.T) {
	e := NewEngine(KindOf(lazy{newPaper[state.Route]()}, false, state.KindRoute))
	set(t, e, node, rt("10.0.0.1/32", "plb1"))
	read(t, e)
	if _, failures := e.Turn(ctx); len(failures) != 1 {
		t.Errorf("failures %v", failures)
	}
}

type lazy struct{ *paper[state.Route] }

func (lazy) Apply(context.Context, []state.Change[state.Route]) []error { return nil }

func TestAnUnknownKindIsAnError(t *testing.T) {
	e := NewEngine(routes(newPaper[state.Route]()))
	if err := e.SetSource(node, want(state.Table{})); err == nil {
		t.Error("no error")
	}
}

// TestRandomStates is the promise of the engine: whatever is wanted and whatever
// is there, one turn converges, the next does nothing, and the incremental way
// comes to the same as Diff.
func TestRandomStates(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		random := func() state.Snapshot {
			s := state.Snapshot{}
			for range rnd.IntN(30) {
				s.Put(rt(fmt.Sprintf("10.0.0.%d/32", rnd.IntN(20)), fmt.Sprintf("d%d", rnd.IntN(3))))
			}
			return s
		}
		p := newPaper[state.Route]()
		for k, o := range random() {
			p.objects[k] = o.(state.Route)
		}
		e := NewEngine(routes(p))
		read(t, e)
		for range 5 {
			wanted := random()
			if err := e.SetSource(node, want(slices.Collect(values(wanted))...)); err != nil {
				t.Fatal(err)
			}
			have := e.Have()
			if got, def := e.Plan().Text(nil), Diff(wanted, have, e.Origin).Text(nil); got != def {
				t.Fatalf("seed %d: the engine plans\n%sand Diff says\n%s", seed, got, def)
			}
			turn(t, e)
			if !reflect.DeepEqual(e.Have(), wanted) || !e.Settled() {
				t.Fatalf("seed %d: not converged", seed)
			}
			n := p.changes()
			if turn(t, e); p.changes() != n {
				t.Fatalf("seed %d: the second turn changed something", seed)
			}
		}
	}
}

func values(s state.Snapshot) func(func(state.Object) bool) {
	return func(yield func(state.Object) bool) {
		for _, o := range s {
			if !yield(o) {
				return
			}
		}
	}
}

func TestManyChangesAreScatteredAndNoneIsLost(t *testing.T) {
	for _, n := range []int{readable + 1, 7919, 2 * 7919} {
		p := newPaper[state.Route]()
		e := NewEngine(routes(p))
		var wanted []state.Object
		for i := range n {
			wanted = append(wanted, rt(fmt.Sprintf("10.%d.%d.%d/32", i>>16, i>>8&255, i&255), "d"))
		}
		set(t, e, node, wanted...)
		read(t, e)
		if turn(t, e); len(p.objects) != n || p.changes() != n || !e.Settled() {
			t.Errorf("of %d routes %d were made, in %d changes", n, len(p.objects), p.changes())
		}
	}
}
