package reconcile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
)

// Source is a part of the desired state that changes as one. Where two sources
// want an object with the same key, the one with the lower rank has it, among
// equals the one with the lower ID; the other is shadowed, and takes over when
// the first goes.
type Source struct {
	Rank int
	ID   string
}

func (s Source) compare(o Source) int {
	return cmp.Or(cmp.Compare(s.Rank, o.Rank), cmp.Compare(s.ID, o.ID))
}

type claim struct {
	source *source
	object state.Object
	origin string

	generation uint32 // of the source, when it last wanted it
	at         uint32 // in the source's entries
}

type source struct {
	Source
	generation uint32
	entries    []*entry // that it wants, in no order
}

// claimOf gives the claim of a source that has one.
func (en *entry) claimOf(src *source) *claim {
	for i := range en.claims {
		if en.claims[i].source == src {
			return &en.claims[i]
		}
	}
	return nil
}

// remove takes an entry, on which it has a claim, from those that the source wants.
func (s *source) remove(en *entry) {
	at, end := en.claimOf(s).at, len(s.entries)-1
	last := s.entries[end]
	s.entries[at] = last
	last.claimOf(s).at = at
	s.entries[end] = nil
	s.entries = s.entries[:end]
}

// SetSource puts wanted in place of what the source wanted before. An object of
// a kind that the engine does not have is a mistake of the caller, and an error.
func (e *Engine) SetSource(id Source, wanted []render.Wanted) error {
	src := e.sources[id]
	if src == nil {
		if len(wanted) == 0 {
			return nil
		}
		src = &source{Source: id, entries: make([]*entry, 0, len(wanted))}
		e.sources[id] = src
	}
	src.generation++
	var errs []error
	for _, w := range wanted {
		key := w.Object.Key()
		if e.entries[key.Kind] == nil {
			errs = append(errs, fmt.Errorf("%s: no such kind of object here", key))
			continue
		}
		e.claim(e.entry(key), src, w)
	}
	for i := 0; i < len(src.entries); {
		if en := src.entries[i]; en.claimOf(src).generation != src.generation {
			e.unclaim(en, src) // another comes into its place
		} else {
			i++
		}
	}
	if len(src.entries) == 0 {
		delete(e.sources, id)
	}
	return errors.Join(errs...)
}

func (e *Engine) entry(key state.Key) *entry {
	en := e.entries[key.Kind][key.ID]
	if en == nil {
		en = &entry{key: key}
		en.claims = en.only[:0]
		e.entries[key.Kind][key.ID] = en
	}
	return en
}

func (e *Engine) claim(en *entry, src *source, w render.Wanted) {
	before := en.want()
	c := claim{src, w.Object, w.Origin, src.generation, uint32(len(src.entries))}
	i, found := slices.BinarySearchFunc(en.claims, src.Source, func(c claim, s Source) int {
		return c.source.compare(s)
	})
	if found {
		c.at = en.claims[i].at
		en.claims[i] = c
	} else {
		en.claims = slices.Insert(en.claims, i, c)
		src.entries = append(src.entries, en)
	}
	e.claimsChanged(en, before)
}

func (e *Engine) unclaim(en *entry, src *source) {
	before := en.want()
	src.remove(en)
	en.claims = slices.DeleteFunc(en.claims, func(c claim) bool { return c.source == src })
	e.claimsChanged(en, before)
}

func (e *Engine) claimsChanged(en *entry, before state.Object) {
	if len(en.claims) > 1 {
		e.contested[en] = struct{}{}
	} else {
		delete(e.contested, en)
	}
	want := en.want()
	if want == before {
		return
	}
	en.drifted, en.unwanted = false, 0
	e.touch(en)
	if tr := e.byKind[en.key.Kind].tracker(); tr != nil {
		switch {
		case before == nil:
			tr.Track(en.key.ID)
			e.unknown[en] = struct{}{}
		case want == nil:
			tr.Untrack(en.key.ID)
			e.forget(en.key.ID, en)
		}
	}
}
