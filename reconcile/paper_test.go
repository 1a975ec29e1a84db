package reconcile

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
)

// paper is a kernel on paper: what an engine does to it can be looked at. Real
// kernels are met in the packages below kernel/ and in agent/.
type paper[O state.Object] struct {
	objects map[state.Key]O
	refuse  func(state.Change[O]) error
	readErr error
	batches [][]state.Change[O]
	reads   int
}

func newPaper[O state.Object](objects ...O) *paper[O] {
	p := &paper[O]{objects: map[state.Key]O{}}
	for _, o := range objects {
		p.objects[o.Key()] = o
	}
	return p
}

func (p *paper[O]) Read(_ context.Context, yield func(O)) error {
	p.reads++
	for _, o := range p.objects {
		yield(o)
	}
	return p.readErr
}

func (p *paper[O]) Apply(_ context.Context, changes []state.Change[O]) []error {
	p.batches = append(p.batches, slices.Clone(changes))
	errs := make([]error, len(changes))
	for i, c := range changes {
		if p.refuse != nil {
			if errs[i] = p.refuse(c); errs[i] != nil {
				continue
			}
		}
		if c.Action == state.Delete {
			delete(p.objects, c.Before.Key())
		} else {
			p.objects[c.After.Key()] = c.After
		}
	}
	return errs
}

func (p *paper[O]) Watch(context.Context, func([]state.Event[O]), func()) error { return nil }

func (p *paper[O]) changes() (n int) {
	for _, b := range p.batches {
		n += len(b)
	}
	return n
}

func rt(dst, dev string) state.Route {
	return state.NewRoute(netip.MustParsePrefix(dst), state.TableMain, state.ProtoPlumb, state.NextHop{Dev: dev})
}

func want(objects ...state.Object) []render.Wanted {
	var out []render.Wanted
	for _, o := range objects {
		out = append(out, render.Wanted{Object: o, Origin: "plumb.yaml:1"})
	}
	return out
}

func set(t *testing.T, e *Engine, src Source, objects ...state.Object) {
	t.Helper()
	if err := e.SetSource(src, want(objects...)); err != nil {
		t.Fatal(err)
	}
}

var (
	ctx  = context.Background()
	node = Source{Rank: 2, ID: "node"}
)

func routes(p *paper[state.Route]) Kind { return KindOf(p, false, state.KindRoute) }

func turn(t *testing.T, e *Engine) []Done {
	t.Helper()
	done, failures := e.Turn(ctx)
	for _, f := range failures {
		t.Fatalf("%s: %v", f.Key, f.Err)
	}
	return done
}

func read(t *testing.T, e *Engine) {
	t.Helper()
	if err := e.Read(ctx); err != nil {
		t.Fatal(err)
	}
}
