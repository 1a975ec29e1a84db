package reconcile

import (
	"context"
	"reflect"
	"testing"

	"github.com/plumbnet/plumb/state"
)

// tracked is a kernel on paper whose objects have no owner.
type tracked struct {
	*paper[state.Sysctl]
	ids     map[string]bool
	lookups []string
}

func (k *tracked) Track(ids ...string) {
	for _, id := range ids {
		k.ids[id] = true
	}
}

func (k *tracked) Untrack(ids ...string) {
	for _, id := range ids {
		delete(k.ids, id)
	}
}

func (k *tracked) Silent(id string) bool { return id == "b" }

func (k *tracked) Read(ctx context.Context, yield func(state.Sysctl)) error {
	var ids []string
	for id := range k.ids {
		ids = append(ids, id)
	}
	return k.Lookup(ctx, ids, yield)
}

func (k *tracked) Lookup(_ context.Context, ids []string, yield func(state.Sysctl)) error {
	k.lookups = append(k.lookups, ids...)
	for _, id := range ids {
		if s, ok := k.objects[state.Sysctl{Path: id}.Key()]; ok {
			yield(s)
		}
	}
	return nil
}

func TestTrackedObjectsAreLookedUpAndForgotten(t *testing.T) {
	one, two := state.Sysctl{Path: "a", Value: "1"}, state.Sysctl{Path: "b", Value: "1"}
	k := &tracked{paper: newPaper(one, two), ids: map[string]bool{}}
	e := NewEngine(KindOf(k, false, state.KindSysctl))
	read(t, e)
	set(t, e, node, one)
	if done := turn(t, e); len(done) != 0 || !reflect.DeepEqual(k.lookups, []string{"a"}) {
		t.Errorf("it is there already, as one look-up says: %v, %v", done, k.lookups)
	}
	set(t, e, node, two)
	if done := turn(t, e); len(done) != 0 || !e.Settled() {
		t.Errorf("what is not wanted any more was changed: %v", done)
	}
	if len(k.ids) != 1 || !k.ids["b"] || len(e.entries[state.KindSysctl]) != 1 {
		t.Errorf("still tracked: %v", k.ids)
	}
}

func TestWhatIsSilentIsLookedAt(t *testing.T) {
	one, two := state.Sysctl{Path: "a", Value: "1"}, state.Sysctl{Path: "b", Value: "1"}
	k := &tracked{paper: newPaper(one, two), ids: map[string]bool{}}
	e := NewEngine(KindOf(k, false, state.KindSysctl))
	set(t, e, node, one, two)
	read(t, e)
	turn(t, e)
	k.lookups = nil
	k.objects[two.Key()] = state.Sysctl{Path: "b", Value: "0"}
	e.lookAtSilent()
	if done := turn(t, e); len(done) != 1 || !done[0].Drift || !reflect.DeepEqual(k.lookups, []string{"b"}) {
		t.Errorf("done %v, looked at %v", done, k.lookups)
	}
}
