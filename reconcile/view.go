package reconcile

import (
	"iter"
	"slices"

	"github.com/plumbnet/plumb/state"
)

// Shadow is an object that a source wants and does not get, because another
// source has its key.
type Shadow struct {
	Key    state.Key
	Object state.Object
	Origin string
	By     string // the origin that has it
}

// Shadowed gives what is shadowed now, in the order of keys.
func (e *Engine) Shadowed() []Shadow {
	var out []Shadow
	for en := range e.contested {
		for _, c := range en.claims[1:] {
			if c.object != en.want() {
				out = append(out, Shadow{en.key, c.object, c.origin, en.origin()})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Shadow) int { return state.CompareKeys(a.Key, b.Key) })
	return out
}

// Standing gives the objects of a kind that are as wanted.
func (e *Engine) Standing(kind state.Kind) iter.Seq2[state.Key, state.Object] {
	return func(yield func(state.Key, state.Object) bool) {
		for _, en := range e.entries[kind] {
			if en.have != nil && en.have == en.want() && !yield(en.key, en.have) {
				return
			}
		}
	}
}

// At gives what is wanted and what there is under a key; nil where there is nothing.
func (e *Engine) At(key state.Key) (want, have state.Object) {
	if en := e.entries[key.Kind][key.ID]; en != nil {
		return en.want(), en.have
	}
	return nil, nil
}

// Want is the wanted objects.
func (e *Engine) Want() state.Snapshot {
	return e.snapshot(func(en *entry) state.Object { return en.want() })
}

// Have is what the kernel has of plumb's.
func (e *Engine) Have() state.Snapshot {
	return e.snapshot(func(en *entry) state.Object { return en.have })
}

func (e *Engine) snapshot(pick func(*entry) state.Object) state.Snapshot {
	s := state.Snapshot{}
	for _, entries := range e.entries {
		for _, en := range entries {
			if o := pick(en); o != nil {
				s[en.key] = o
			}
		}
	}
	return s
}

// Origin says why an object is wanted.
func (e *Engine) Origin(key state.Key) string {
	if en := e.entries[key.Kind][key.ID]; en != nil {
		return en.origin()
	}
	return ""
}

// Count is the numbers of objects of one kind.
type Count struct{ Wanted, Had, Failing int }

// Counts gives the numbers by kind.
func (e *Engine) Counts() map[state.Kind]Count {
	m := map[state.Kind]Count{}
	for kind, entries := range e.entries {
		var c Count
		for _, en := range entries {
			if en.want() != nil {
				c.Wanted++
			}
			if en.have != nil {
				c.Had++
			}
			if en.failure != nil {
				c.Failing++
			}
		}
		m[kind] = c
	}
	return m
}

func sortFailures(list []*Failure) {
	slices.SortFunc(list, func(a, b *Failure) int { return state.CompareKeys(a.Key, b.Key) })
}

// Settled says that all is as wanted, as far as is known: every kind was read,
// nothing differs, nothing fails.
func (e *Engine) Settled() bool {
	for _, ks := range e.kinds {
		if !ks.synced {
			return false
		}
	}
	return len(e.failing) == 0 && !slices.ContainsFunc(e.dirty, func(en *entry) bool { return en.dirty })
}
