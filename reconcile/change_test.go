package reconcile

import (
	"testing"

	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
)

func TestASourceChangesInParts(t *testing.T) {
	p := newPaper[state.Route]()
	e := NewEngine(routes(p))
	src := Source{Rank: 5, ID: "many"}
	change := func(wanted []render.Wanted, dropped ...state.Key) {
		t.Helper()
		var changes []Changed
		for _, w := range wanted {
			changes = append(changes, Changed{Wanted: w})
		}
		for _, key := range dropped {
			changes = append(changes, Changed{Dropped: key})
		}
		if err := e.Change(src, changes); err != nil {
			t.Fatal(err)
		}
		turn(t, e)
	}
	has := func(what string, routes ...state.Route) {
		t.Helper()
		if len(p.objects) != len(routes) {
			t.Errorf("%s: %v", what, p.objects)
		}
		for _, r := range routes {
			if p.objects[r.Key()] != r {
				t.Errorf("%s: no %s", what, state.String(r))
			}
		}
	}
	a, b, c := rt("10.0.0.1/32", "a"), rt("10.0.0.2/32", "b"), rt("10.0.0.3/32", "c")
	read(t, e)
	change(nil, a.Key())
	has("nothing of nothing")
	change(want(a, b))
	has("two", a, b)
	moved := rt("10.0.0.1/32", "x")
	change(want(moved, c), b.Key())
	has("one changed, one came, one went", moved, c)
	if last := p.batches[len(p.batches)-1]; len(last) != 1 {
		t.Errorf("the deletion went with %v", last)
	}
	change(nil, b.Key())
	has("one that went before", moved, c)
	if err := e.Change(src, []Changed{
		{Dropped: c.Key()}, {Wanted: want(c)[0]}, {Wanted: want(b)[0]}, {Dropped: b.Key()},
	}); err != nil {
		t.Fatal(err)
	}
	turn(t, e)
	has("in the order of changes", moved, c)

	// Another source comes first, and gives the key back.
	first := Source{Rank: 1, ID: "first"}
	other := rt("10.0.0.3/32", "other")
	set(t, e, first, other)
	turn(t, e)
	has("of another source", moved, other)
	if list := e.Shadowed(); len(list) != 1 || list[0].Object != state.Object(c) {
		t.Errorf("shadowed: %v", list)
	}
	change(nil, c.Key())
	has("given up in the shadow", moved, other)
	set(t, e, first)
	turn(t, e)
	has("nobody wants it", moved)

	// The whole of the source goes at once.
	set(t, e, src)
	turn(t, e)
	has("nothing")
}

func TestHadAndFailure(t *testing.T) {
	a := rt("10.0.0.1/32", "a")
	p := newPaper(a)
	e := NewEngine(routes(p))
	read(t, e)
	n := 0
	for key, o := range e.Had(state.KindRoute) {
		if n++; key != a.Key() || o != state.Object(a) {
			t.Errorf("%s %v", key, o)
		}
	}
	if n != 1 || e.Failure(a.Key()) != nil || e.Failure(rt("10.0.0.2/32", "b").Key()) != nil {
		t.Errorf("%d, %v", n, e.Failure(a.Key()))
	}
}

func TestAPlanSaysWhatResetsASession(t *testing.T) {
	step := func(before, after state.Object) Step {
		return Step{Change: state.Change[state.Object]{Action: state.Modify, Before: before, After: after}}
	}
	peer := state.BGPPeer{Name: "tor", ASN: 64512, HoldTime: 90}
	port := peer
	port.Port = 1179
	held := peer
	held.HoldTime, held.MaxPrefixes = 30, 10
	both := held
	both.Port = 1179
	renamed := peer
	renamed.Name = "other"
	for _, tc := range []struct {
		step  Step
		want  string
		later string
	}{
		{step(peer, port), "resets the session: port", ""},
		{step(peer, held), "", "with the next session: hold-time"},
		{step(peer, both), "resets the session: port", ""}, // so it counts at once
		{step(peer, renamed), "", ""},
		{step(state.BGPSpeaker{ASN: 1}, state.BGPSpeaker{ASN: 2}), "resets every session: asn", ""},
		{Step{Change: state.Change[state.Object]{Action: state.Add, After: peer}}, "", ""},
		{step(rt("10.0.0.1/32", "a"), rt("10.0.0.1/32", "b")), "", ""},
	} {
		if got := tc.step.Resets(); got != tc.want {
			t.Errorf("%s: %q, not %q", tc.step.Change, got, tc.want)
		}
		if got := tc.step.Later(); got != tc.later {
			t.Errorf("%s: %q, not %q", tc.step.Change, got, tc.later)
		}
	}
}
