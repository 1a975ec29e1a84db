package reconcile

import (
	"context"
	"fmt"
	"slices"

	"github.com/plumbnet/plumb/state"
)

// Kind is an Ops whose objects' type is hidden, so that one engine holds several.
type Kind interface {
	// Kinds are the kinds of object that it reads and applies.
	Kinds() []state.Kind

	read(ctx context.Context, saw func(id []byte, same func(state.Object) bool, box func() state.Object)) error
	apply(ctx context.Context, steps []*Step) []error
	watch(ctx context.Context, changed func([]state.Event[state.Object]), again func()) error
	atomic() bool
	// tracker is nil where objects are known by a mark of ownership.
	tracker() tracker
}

type tracker interface {
	Track(ids ...string)
	Untrack(ids ...string)
	Silent(id string) bool
	lookup(ctx context.Context, ids []string, saw func(state.Object)) error
}

// KindOf makes a Kind of ops. Where atomic is set, all changes of a turn,
// deletions included, go to one call of Apply, which makes them one transaction.
func KindOf[O state.Object](ops Ops[O], atomic bool, kinds ...state.Kind) Kind {
	return &typed[O]{ops: ops, one: atomic, kinds: kinds}
}

type typed[O state.Object] struct {
	ops   Ops[O]
	one   bool
	kinds []state.Kind
	buf   []state.Change[O] // of apply, which is called again and again while much changes
}

func (t *typed[O]) Kinds() []state.Kind { return t.kinds }
func (t *typed[O]) atomic() bool        { return t.one }

// appendIDer is an object that can give its ID without allocating.
type appendIDer interface{ AppendID(b []byte) []byte }

// read hands over each object as its ID, a comparison and a way to keep it, so
// that an object which is as wanted (nearly all, nearly always) costs no
// allocation.
func (t *typed[O]) read(ctx context.Context, saw func([]byte, func(state.Object) bool, func() state.Object)) error {
	var o O
	id := make([]byte, 0, 128)
	// Made once: a closure for each object would be an allocation for each.
	same := func(w state.Object) bool {
		v, ok := w.(O)
		return ok && any(v) == any(o)
	}
	box := func() state.Object { return o }
	return t.ops.Read(ctx, func(seen O) {
		o = seen
		id = id[:0]
		if a, ok := any(&o).(appendIDer); ok {
			id = a.AppendID(id)
		} else {
			id = append(id, o.Key().ID...)
		}
		saw(id, same, box)
	})
}

// chunk is how many changes go to one Apply of a kind that is not atomic: enough
// that a call costs nothing, few enough that the list stays in the cache.
const chunk = 1024

func (t *typed[O]) apply(ctx context.Context, steps []*Step) []error {
	size := len(steps)
	if !t.one {
		size = min(size, chunk)
	}
	changes := slices.Grow(t.buf[:0], size)
	if size <= chunk {
		t.buf = changes
	}
	errs := make([]error, 0, len(steps))
	for list := range slices.Chunk(steps, size) {
		changes = changes[:0]
		for _, s := range list {
			c := state.Change[O]{Action: s.Action}
			if s.Before != nil {
				c.Before = s.Before.(O)
			}
			if s.After != nil {
				c.After = s.After.(O)
			}
			changes = append(changes, c)
		}
		results := t.ops.Apply(ctx, changes)
		if len(results) != len(list) { // a kind that breaks its contract must not be taken for success
			broken := fmt.Errorf("%d changes gave %d results", len(list), len(results))
			results = slices.Repeat([]error{broken}, len(list))
		}
		errs = append(errs, results...)
		clear(changes) // it must not keep objects alive
	}
	return errs
}

func (t *typed[O]) watch(ctx context.Context, changed func([]state.Event[state.Object]), again func()) error {
	return t.ops.Watch(ctx, func(events []state.Event[O]) {
		out := make([]state.Event[state.Object], len(events))
		for i, ev := range events {
			out[i] = state.Event[state.Object]{Key: ev.Key, Gone: ev.Gone}
			if !ev.Gone {
				out[i].Object = ev.Object
			}
		}
		changed(out)
	}, again)
}

func (t *typed[O]) tracker() tracker {
	if tr, ok := t.ops.(Tracker[O]); ok {
		return tracking[O]{tr}
	}
	return nil
}

type tracking[O state.Object] struct{ Tracker[O] }

func (t tracking[O]) lookup(ctx context.Context, ids []string, saw func(state.Object)) error {
	return t.Lookup(ctx, ids, func(o O) { saw(o) })
}
