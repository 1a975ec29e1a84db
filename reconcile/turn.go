package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/plumbnet/plumb/state"
)

// Failure is a change that did not succeed, and when it is tried again.
type Failure struct {
	Key      state.Key
	Origin   string
	Err      error
	Since    time.Time
	Attempts int
	Next     time.Time
}

// Conflict says whether another owner's object is in the way.
func (f *Failure) Conflict() bool {
	var c *state.ConflictError
	return errors.As(f.Err, &c)
}

// Backoff of a failing object: doubled at each attempt.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// ErrHeld is why a deletion waits: what replaces the object could not be made.
var ErrHeld = errors.New("held: what replaces it could not be made")

// Plan gives what differs now, all of it: what fails and waits for its retry too.
func (e *Engine) Plan() Plan { return e.plan(true) }

func (e *Engine) plan(all bool) Plan {
	now := e.now()
	for en := range e.failing {
		if all || !en.failure.Next.After(now) {
			e.dirty[en] = struct{}{}
		}
	}
	var steps []Step
	rules := false
	for en := range e.dirty {
		if !e.byKind[en.key.Kind].synced {
			continue // not read: what is there is not known
		}
		if en.key.Kind == state.KindRule {
			rules = true
			continue
		}
		s, differs := compare(en.want(), en.have)
		if !differs {
			e.settle(en)
			continue
		}
		if s.Action == state.Delete && e.Kept(en.have) {
			delete(e.dirty, en)
			continue
		}
		if !all && en.failure != nil && en.failure.Next.After(now) {
			delete(e.dirty, en)
			continue
		}
		s.Origin = en.origin()
		steps = append(steps, s)
	}
	if rules {
		steps = append(steps, e.ruleSteps(all)...)
	}
	order(steps)
	return Plan{Steps: steps}
}

// settle notes that the entry is as wanted.
func (e *Engine) settle(en *entry) {
	delete(e.dirty, en)
	delete(e.failing, en)
	en.failure, en.drifted = nil, false
	if en.have == nil && len(en.claims) == 0 {
		e.forget(en.key.ID, en)
	}
}

// ruleSteps compares all rules: they are few, and a rule's place depends on the
// others. So they also wait together where one failed.
func (e *Engine) ruleSteps(all bool) []Step {
	var want, have []state.Rule
	now := e.now()
	for _, en := range e.entries[state.KindRule] {
		delete(e.dirty, en)
		if !all && en.failure != nil && en.failure.Next.After(now) {
			return nil
		}
		want, have = appendRule(want, en.want()), appendRule(have, en.have)
	}
	steps := diffRules(want, have)
	for i := range steps {
		e.dirty[e.entry(steps[i].Object().Key())] = struct{}{}
		if steps[i].Action == state.Add {
			steps[i].Origin = e.entry(steps[i].After.Key()).origin()
		}
	}
	if len(steps) == 0 {
		e.settleRules()
	}
	return steps
}

func (e *Engine) settleRules() {
	for _, en := range e.entries[state.KindRule] {
		en.have = en.want()
		e.settle(en)
	}
}

// Done is one change that a turn made.
type Done struct {
	Step
	Drift bool // it was as wanted before, and other hands had changed it
}

// Turn plans what is dirty and due, and applies it. It gives what it did and what
// failed; a failure has its own backoff and holds up nothing else.
func (e *Engine) Turn(ctx context.Context) ([]Done, []*Failure) {
	// A kind that cannot be looked up counts as unread: its objects wait for the
	// next full read, and ReadErrors says why.
	_ = e.lookUp(ctx)
	return e.Apply(ctx, e.plan(false))
}

// Apply carries out a plan of this engine: kind by kind in their order what is
// added and changed, then in the reverse order what is deleted.
func (e *Engine) Apply(ctx context.Context, p Plan) ([]Done, []*Failure) {
	var r applied
	for _, ks := range e.kinds {
		e.applyKind(ctx, ks, p.of(ks, func(s Step) bool { return ks.atomic() || s.Action != state.Delete }), &r)
	}
	failedSlots := e.failingSlots()
	for i := len(e.kinds) - 1; i >= 0; i-- {
		ks := e.kinds[i]
		if ks.atomic() {
			continue
		}
		var free []Step
		for _, s := range p.of(ks, func(s Step) bool { return s.Action == state.Delete }) {
			if slot, ok := slotOf(s.Before); ok && failedSlots[slot] {
				r.failures = append(r.failures, e.fail(e.entry(s.Before.Key()), ErrHeld))
				continue
			}
			free = append(free, s)
		}
		e.applyKind(ctx, ks, free, &r)
	}
	return r.done, r.failures
}

type applied struct {
	done     []Done
	failures []*Failure
}

func (p Plan) of(ks *kindState, match func(Step) bool) []Step {
	var out []Step
	for _, s := range p.Steps {
		kind := s.Object().Key().Kind
		for _, k := range ks.Kinds() {
			if k == kind && match(s) {
				out = append(out, s)
			}
		}
	}
	return out
}

func (e *Engine) applyKind(ctx context.Context, ks *kindState, steps []Step, r *applied) {
	if len(steps) == 0 {
		return
	}
	rules, ruleFailed := false, false
	for i, err := range ks.apply(ctx, steps) {
		s := steps[i]
		en := e.entry(s.Object().Key())
		isRule := en.key.Kind == state.KindRule
		rules = rules || isRule
		if err != nil {
			ruleFailed = ruleFailed || isRule
			r.failures = append(r.failures, e.fail(en, err))
			continue
		}
		r.done = append(r.done, Done{s, en.drifted})
		if isRule {
			continue
		}
		en.have = s.After
		if en.have == en.want() {
			e.settle(en)
		}
	}
	if rules && !ruleFailed {
		e.settleRules()
	}
	if ruleFailed {
		// Which rules stand is not known from the results alone.
		if err := e.readKind(ctx, ks); err != nil {
			r.failures = append(r.failures, &Failure{Key: state.Key{Kind: ks.Kinds()[0]}, Err: err, Since: e.now()})
		}
	}
}

// fail notes the failure, and when to try again.
func (e *Engine) fail(en *entry, err error) *Failure {
	now := e.now()
	f := en.failure
	if f == nil {
		f = &Failure{Key: en.key, Since: now}
		en.failure = f
	}
	f.Origin = en.origin()
	f.Err = err
	f.Attempts++
	f.Next = now.Add(min(lastRetry, firstRetry<<min(f.Attempts-1, 16)))
	delete(e.dirty, en)
	e.failing[en] = struct{}{}
	return f
}

// slot is what two objects with different keys compete for: a route that moves
// to another table or metric serves the same destination.
func slotOf(o state.Object) (string, bool) {
	if r, ok := o.(state.Route); ok {
		return r.Dst.String(), true
	}
	return "", false
}

func (e *Engine) slot(key state.Key) (string, bool) {
	en := e.entries[key.Kind][key.ID]
	if en == nil || en.want() == nil {
		return "", false
	}
	return slotOf(en.want())
}

func (e *Engine) failingSlots() map[string]bool {
	m := map[string]bool{}
	for en := range e.failing {
		if slot, ok := e.slot(en.key); ok {
			m[slot] = true
		}
	}
	return m
}

// Failures gives what fails now, and why.
func (e *Engine) Failures() []*Failure {
	var out []*Failure
	for en := range e.failing {
		out = append(out, en.failure)
	}
	sortFailures(out)
	return out
}

// NextRetry is the earliest time at which a failing object is due; zero where
// none fails.
func (e *Engine) NextRetry() time.Time {
	var next time.Time
	for en := range e.failing {
		if next.IsZero() || en.failure.Next.Before(next) {
			next = en.failure.Next
		}
	}
	return next
}

// ReadErrors gives why a kind cannot be read, by the first of its kinds.
func (e *Engine) ReadErrors() map[state.Kind]error {
	m := map[state.Kind]error{}
	for _, ks := range e.kinds {
		if ks.err != nil {
			m[ks.Kinds()[0]] = fmt.Errorf("read %s: %w", ks.Kinds()[0], ks.err)
		}
	}
	return m
}
