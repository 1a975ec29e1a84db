package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/plumbnet/plumb/state"
)

// Engine holds what is wanted and what there is. It is not safe for concurrent
// use: a Loop, or a single caller, owns it.
type Engine struct {
	kinds   []*kindState // in the order of their ranks
	byKind  map[state.Kind]*kindState
	entries map[state.Kind]map[string]*entry
	sources map[Source]*source
	holds   map[string]func(state.Object) bool
	keep    func(state.Object) bool

	lingers    func(state.Object) bool
	lingerTime time.Duration

	dirty     []*entry // to be compared; an entry that is dirty no more may linger
	marked    int      // since the last plan
	failing   map[*entry]struct{}
	contested map[*entry]struct{}
	unknown   map[*entry]struct{} // tracked, and not looked up yet
	resume    time.Time           // when repairs that wait may be made
	reads     uint32
	now       func() time.Time
	epoch     time.Time // when the first deletion had to wait
}

type kindState struct {
	Kind
	synced bool  // read at least once since it last failed
	err    error // of the last read

	heat    heat
	deleted deletions
	rested  time.Time // before which a Loop does not read it again unless it must
}

// entry is all that is known of one key.
type entry struct {
	key     state.Key
	claims  []claim  // in the order of their sources; the first is wanted
	only    [1]claim // of claims, where there is but one, as nearly always
	have    state.Object
	seen    uint32 // the read that last saw it
	drifted bool   // it was as wanted, and other hands changed it
	dirty   bool   // to be compared at the next turn
	queued  bool   // in Engine.dirty
	failure *Failure

	unwanted time.Duration // since when its deletion waits, after Engine.epoch; 0: it does not
}

// NewEngine makes an engine of kinds, which are given in any order.
func NewEngine(kinds ...Kind) *Engine {
	e := &Engine{
		byKind:    map[state.Kind]*kindState{},
		entries:   map[state.Kind]map[string]*entry{},
		sources:   map[Source]*source{},
		holds:     map[string]func(state.Object) bool{},
		failing:   map[*entry]struct{}{},
		contested: map[*entry]struct{}{},
		unknown:   map[*entry]struct{}{},
		now:       time.Now,
	}
	for _, k := range kinds {
		ks := &kindState{Kind: k}
		e.kinds = append(e.kinds, ks)
		for _, name := range k.Kinds() {
			e.byKind[name] = ks
			e.entries[name] = map[string]*entry{}
		}
	}
	slices.SortStableFunc(e.kinds, func(a, b *kindState) int {
		return a.Kinds()[0].Rank() - b.Kinds()[0].Rank()
	})
	return e
}

// Keep names objects that are never deleted, whoever wants them no more.
func (e *Engine) Keep(match func(state.Object) bool) { e.keep = match }

// Kept says whether Keep or a Hold keeps an object from being deleted.
func (e *Engine) Kept(o state.Object) bool {
	if e.keep != nil && e.keep(o) {
		return true
	}
	for _, match := range e.holds {
		if match(o) {
			return true
		}
	}
	return false
}

// Hold keeps what matches from being deleted until Release: the source that may
// want it has not been read yet.
func (e *Engine) Hold(name string, match func(state.Object) bool) { e.holds[name] = match }

// Release ends a hold.
func (e *Engine) Release(name string) {
	if _, held := e.holds[name]; !held {
		return
	}
	delete(e.holds, name)
	for _, entries := range e.entries {
		for _, en := range entries {
			if en.want() == nil && en.have != nil {
				e.mark(en)
			}
		}
	}
}

// lookAtSilent has what no event tells of looked up before the next turn.
func (e *Engine) lookAtSilent() {
	for name, entries := range e.entries {
		tr := e.byKind[name].tracker()
		if tr == nil {
			continue
		}
		for id, en := range entries {
			if tr.Silent(id) && en.want() != nil {
				e.unknown[en] = struct{}{}
			}
		}
	}
}

// lookUp reads what was tracked since the last full read.
func (e *Engine) lookUp(ctx context.Context) error {
	if len(e.unknown) == 0 {
		return nil
	}
	ids := map[*kindState][]string{}
	for en := range e.unknown {
		ks := e.byKind[en.key.Kind]
		ids[ks] = append(ids[ks], en.key.ID)
	}
	clear(e.unknown)
	var errs []error
	for ks, list := range ids {
		if !ks.synced {
			continue // the full read finds them
		}
		if ks.err = ks.tracker().lookup(ctx, list, func(o state.Object) {
			e.setHave(e.entry(o.Key()), o)
		}); ks.err != nil {
			ks.synced = false
			errs = append(errs, fmt.Errorf("read %s: %w", ks.Kinds()[0], ks.err))
		}
	}
	return errors.Join(errs...)
}

// mark has the entry compared at the next turn. A list, not a set: a map that was
// once large is slow to go through for ever.
func (e *Engine) mark(en *entry) {
	en.dirty = true
	e.marked++
	if !en.queued {
		en.queued = true
		e.dirty = append(e.dirty, en)
	}
}

// touch has the entry compared at the next turn, at once also where it failed.
func (e *Engine) touch(en *entry) {
	e.mark(en)
	if en.failure != nil {
		en.failure.Next = time.Time{}
	}
}

func (en *entry) want() state.Object {
	if len(en.claims) == 0 {
		return nil
	}
	return en.claims[0].object
}

func (en *entry) origin() string {
	if len(en.claims) == 0 {
		return ""
	}
	return en.claims[0].origin
}

// Read reads every kind in full. A kind that cannot be read does not stop the
// others; until it can, its objects are left as they are.
func (e *Engine) Read(ctx context.Context) error {
	var errs []error
	for _, ks := range e.kinds {
		errs = append(errs, e.readKind(ctx, ks))
	}
	return errors.Join(errs...)
}

func (e *Engine) readKind(ctx context.Context, ks *kindState) error {
	e.reads++
	entries := e.entries[ks.Kinds()[0]]
	several := len(ks.Kinds()) > 1
	ks.err = ks.read(ctx, func(id []byte, same func(state.Object) bool, box func() state.Object) {
		var object state.Object
		if several { // the ID alone does not say which kind it is
			object = box()
			if entries = e.entries[object.Key().Kind]; entries == nil {
				return
			}
		}
		en := entries[string(id)]
		if en == nil {
			en = &entry{key: box().Key()}
			entries[en.key.ID] = en
		}
		en.seen = e.reads
		if want := en.want(); want != nil && same(want) {
			en.have = want // shared: what is as wanted costs no memory of its own
			return
		}
		e.setHave(en, box())
	})
	if ks.err != nil {
		ks.synced = false
		return fmt.Errorf("read %s: %w", ks.Kinds()[0], ks.err)
	}
	for _, name := range ks.Kinds() {
		for id, en := range e.entries[name] {
			if en.seen != e.reads && en.have != nil {
				e.setHave(en, nil)
			}
			if en.have == nil && len(en.claims) == 0 {
				e.forget(id, en)
			} else if en.have != en.want() {
				e.mark(en)
			}
		}
	}
	ks.synced = true
	return nil
}

// setHave takes what the kernel has now, when others told of it.
func (e *Engine) setHave(en *entry, have state.Object) {
	if en.have == have {
		return
	}
	if want := en.want(); want != nil && en.have == want {
		en.drifted = true
	}
	en.have = have
	if have == nil {
		en.unwanted = 0
	}
	e.touch(en)
}

func (e *Engine) forget(id string, en *entry) {
	delete(e.entries[en.key.Kind], id)
	en.dirty = false
	delete(e.failing, en)
	delete(e.unknown, en)
}

// Observe takes what a watcher saw. A Loop reads kinds of which it is in doubt.
func (e *Engine) Observe(events []state.Event[state.Object]) {
	for _, ev := range events {
		entries := e.entries[ev.Key.Kind]
		en := entries[ev.Key.ID]
		switch {
		case en == nil && (ev.Gone || entries == nil):
		case ev.Gone:
			// Gone without having been ours: what was in the way is gone.
			e.setHave(en, nil)
			e.touch(en)
		case e.byKind[ev.Key.Kind].deleted.doubts(ev.Key, e.now()):
		default:
			if en == nil {
				en = e.entry(ev.Key)
			}
			e.setHave(en, ev.Object)
		}
	}
}
