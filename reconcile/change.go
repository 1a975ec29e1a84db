package reconcile

import (
	"errors"
	"fmt"

	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
)

// Change has the source want some objects besides what it wants already, or in
// place of those with the same keys, and others no more. It costs what the changes
// cost, however much the source wants. Errors are those of SetSource.
func (e *Engine) Change(id Source, wanted []render.Wanted, dropped []state.Key) error {
	src := e.sources[id]
	if src == nil {
		if len(wanted) == 0 {
			return nil
		}
		src = &source{Source: id, entries: make(map[*entry]uint64, len(wanted))}
		e.sources[id] = src
	}
	var errs []error
	for _, w := range wanted {
		key := w.Object.Key()
		if e.entries[key.Kind] == nil {
			errs = append(errs, fmt.Errorf("%s: no such kind of object here", key))
			continue
		}
		en := e.entry(key)
		src.entries[en] = src.generation
		e.claim(en, claim{src, w.Object, w.Origin})
	}
	for _, key := range dropped {
		en := e.entries[key.Kind][key.ID]
		if _, wants := src.entries[en]; en == nil || !wants {
			continue
		}
		delete(src.entries, en)
		e.unclaim(en, src)
	}
	if len(src.entries) == 0 {
		delete(e.sources, id)
	}
	return errors.Join(errs...)
}

// Had calls yield with what there is of a kind, until it gives false.
func (e *Engine) Had(kind state.Kind) func(yield func(state.Key, state.Object) bool) {
	return func(yield func(state.Key, state.Object) bool) {
		for _, en := range e.entries[kind] {
			if en.have != nil && !yield(en.key, en.have) {
				return
			}
		}
	}
}

// Failure is why the object under a key could not be made; nil where nothing fails.
func (e *Engine) Failure(key state.Key) error {
	if en := e.entries[key.Kind][key.ID]; en != nil && en.failure != nil {
		return en.failure.Err
	}
	return nil
}
