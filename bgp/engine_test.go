package bgp_test

import (
	"testing"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
)

// The engine converges on the speaker as on any kind, and then has nothing left to
// do; without wishes it takes everything away again.
func TestEngine(t *testing.T) {
	alone(t, func(t *testing.T) {
		s, err := bgp.Open(bgp.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		kind := reconcile.KindOf(reconcile.Ops[state.Object](s), true,
			state.KindBGP, state.KindBGPFilter, state.KindBGPPrefix, state.KindBGPPeer)
		p := peer4(64513)
		p.Import = "f"
		want := []state.Object{
			speaker(64512), rules(t, "f", false, `prefix 10.0.0.0/8 8-24 accept`), p, state.BGPPrefix{Prefix: prefix("10.244.1.0/24")},
		}
		var wanted []render.Wanted
		for _, o := range want {
			wanted = append(wanted, render.Wanted{Object: o})
		}
		source := reconcile.Source{ID: "file"}
		for _, w := range [][]render.Wanted{wanted, wanted[:1], wanted, nil} {
			e := reconcile.NewEngine(kind)
			if err := e.SetSource(source, w); err != nil {
				t.Fatal(err)
			}
			if err := e.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, failures := e.Turn(t.Context()); len(failures) > 0 {
				t.Fatal(failures)
			}
			if plan := e.Plan(); len(plan.Steps) > 0 {
				t.Errorf("left to do: %v", plan)
			}
			n := 0
			if err := s.Read(t.Context(), func(state.Object) { n++ }); err != nil || n != len(w) {
				t.Errorf("%d objects, want %d (%v)", n, len(w), err)
			}
		}
	})
}
