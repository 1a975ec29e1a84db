package reconcile

import (
	"errors"
	"fmt"

	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
)

// Changed is an object that a source wants now, or the key of one that it wants no
// more.
type Changed struct {
	render.Wanted
	Dropped state.Key // where there is no object
}

// Change has the source want some objects besides what it wants already, or in
// place of those with the same keys, and others no more, in this order. It costs what
// the changes cost, however much the source wants. Errors are those of SetSource.
func (e *Engine) Change(id Source, changes []Changed) error {
	src := e.sources[id]
	if src == nil {
		src = &source{Source: id}
		e.sources[id] = src
	}
	var errs []error
	for _, c := range changes {
		if c.Object == nil {
			e.drop(src, c.Dropped)
			continue
		}
		key := c.Object.Key()
		if e.entries[key.Kind] == nil {
			errs = append(errs, fmt.Errorf("%s: no such kind of object here", key))
			continue
		}
		e.claim(e.entry(key), src, c.Wanted)
	}
	if len(src.entries) == 0 {
		delete(e.sources, id)
	}
	return errors.Join(errs...)
}

func (e *Engine) drop(src *source, key state.Key) {
	if en := e.entries[key.Kind][key.ID]; en != nil && en.claimOf(src) != nil {
		e.unclaim(en, src)
	}
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
