package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	e.resume = time.Time{}
	for en := range e.failing {
		if all || !en.failure.Next.After(now) {
			e.mark(en)
		}
	}
	steps := make([]Step, 0, min(e.marked, len(e.dirty)))
	e.marked = 0
	rules := false
	still := e.dirty[:0]
	for _, en := range e.dirty {
		if !en.dirty {
			en.queued = false
			continue
		}
		if en.key.Kind == state.KindRule {
			rules = true
			en.dirty, en.queued = false, false // ruleSteps marks those that differ
			continue
		}
		still = append(still, en)
		if s, ok := e.step(en, all, now); ok {
			steps = append(steps, s)
		}
	}
	clear(e.dirty[len(still):])
	e.dirty = still
	if rules && e.byKind[state.KindRule].synced { // its read marks those that differ
		steps = append(steps, e.ruleSteps(all)...)
	}
	if all || len(steps) <= readable {
		order(steps)
	}
	return Plan{Steps: steps}
}

// readable is how many changes of a turn are sorted as people read them. More go
// to the kernel, and into the log, as they come: sorting would cost a good part
// of what making them does, and Apply keeps the order of kinds by itself.
const readable = 4096

// step compares one entry; not ok where there is nothing to do now.
func (e *Engine) step(en *entry, all bool, now time.Time) (Step, bool) {
	if !e.byKind[en.key.Kind].synced {
		return Step{}, false // not read: what is there is not known
	}
	s, differs := compare(en.want(), en.have)
	switch {
	case !differs:
		e.settle(en)
	case !all && e.waits(en, now), !all && s.Action == state.Delete && e.lingersOn(en, now): // it stays dirty
	case s.Action == state.Delete && e.Kept(en.have), !all && en.failure != nil && en.failure.Next.After(now):
		en.dirty = false
	default:
		s.Origin, s.entry = en.origin(), en
		return s, true
	}
	return Step{}, false
}

// settle notes that the entry is as wanted.
func (e *Engine) settle(en *entry) {
	en.dirty = false
	if en.failure != nil {
		delete(e.failing, en)
	}
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
		if !all && en.failure != nil && en.failure.Next.After(now) {
			return nil
		}
		if !all && e.waits(en, now) {
			e.mark(en)
			return nil
		}
		want, have = appendRule(want, en.want()), appendRule(have, en.have)
	}
	steps := diffRules(want, have)
	for i := range steps {
		if steps[i].Action == state.Delete && e.Kept(steps[i].Before) {
			return nil // until Release, which marks them
		}
	}
	for i := range steps {
		steps[i].entry = e.entry(steps[i].Object().Key())
		e.mark(steps[i].entry)
		if steps[i].Action == state.Add {
			steps[i].Origin = steps[i].entry.origin()
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
	*Step
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
//
// nftables, which is one transaction, is out of that order, since it guards tunnels: it
// comes before all others, and after them where a tunnel goes.
func (e *Engine) Apply(ctx context.Context, p Plan) ([]Done, []*Failure) {
	r := applied{done: make([]Done, 0, len(p.Steps))}
	first, deletions := e.split(p.Steps)
	guard, last := e.byKind[state.KindTable], slices.ContainsFunc(p.Steps, closesTunnel)
	if guard != nil && !last {
		e.applyKind(ctx, guard, first[guard], &r)
	}
	for _, ks := range e.kinds {
		if ks != guard {
			e.applyKind(ctx, ks, first[ks], &r)
		}
	}
	failedSlots := e.failingSlots()
	for i := len(e.kinds) - 1; i >= 0; i-- {
		ks := e.kinds[i]
		steps := deletions[ks]
		if len(failedSlots) > 0 {
			steps = slices.DeleteFunc(steps, func(s *Step) bool {
				slot, ok := slotOf(s.Before)
				if ok = ok && failedSlots[slot]; ok {
					r.failures = append(r.failures, e.fail(s.entry, ErrHeld))
				}
				return ok
			})
		}
		e.applyKind(ctx, ks, steps, &r)
	}
	if guard != nil && last {
		e.applyKind(ctx, guard, first[guard], &r)
	}
	if len(r.done) <= readable { // as the plan was printed
		slices.SortStableFunc(r.done, func(a, b Done) int { return inOrder(a.Step, b.Step) })
	}
	return r.done, r.failures
}

func closesTunnel(s Step) bool {
	l, ok := s.Before.(state.Link)
	return ok && s.Action == state.Delete && state.IsTunnel(l.Name)
}

// split gives each kind's steps: what goes in the order of kinds, and the
// deletions of kinds that are not atomic.
func (e *Engine) split(steps []Step) (first, deletions map[*kindState][]*Step) {
	first, deletions = map[*kindState][]*Step{}, map[*kindState][]*Step{}
	var ks *kindState
	var last state.Kind
	for i := range steps {
		s := &steps[i]
		if kind := s.entry.key.Kind; kind != last {
			ks, last = e.byKind[kind], kind
		}
		to := first
		if s.Action == state.Delete && !ks.atomic() {
			to = deletions
		}
		if to[ks] == nil {
			to[ks] = make([]*Step, 0, len(steps)-i)
		}
		to[ks] = append(to[ks], s)
	}
	return first, deletions
}

// scatter takes of many steps every so-manieth in turn. The kernel's trie of IPv4
// routes takes prefixes that come scattered in two thirds of the time that it
// needs for ascending ones (net/ipv4/fib_trie.c resizes its nodes less often).
func scatter(steps []*Step) []*Step {
	if len(steps) <= readable {
		return steps
	}
	stride := 7919 // a prime, so that every step has its turn
	if len(steps)%stride == 0 {
		stride = 7907
	}
	out := make([]*Step, len(steps))
	for i := range out {
		out[i] = steps[i*stride%len(steps)]
	}
	return out
}

type applied struct {
	done     []Done
	failures []*Failure
}

func (e *Engine) applyKind(ctx context.Context, ks *kindState, steps []*Step, r *applied) {
	if len(steps) == 0 {
		return
	}
	if !ks.atomic() {
		steps = scatter(steps)
	}
	rules, ruleFailed, drift := false, false, false
	for i, err := range ks.apply(ctx, steps) {
		s := steps[i]
		en := s.entry
		isRule := en.key.Kind == state.KindRule
		rules = rules || isRule
		if err != nil {
			ruleFailed = ruleFailed || isRule
			r.failures = append(r.failures, e.fail(en, err))
			continue
		}
		r.done = append(r.done, Done{s, en.drifted})
		drift = drift || en.drifted
		if isRule {
			continue
		}
		en.have = s.After
		if en.have == en.want() {
			e.settle(en)
		}
	}
	ks.deleted.note(steps, e.now())
	if drift {
		ks.heat.repaired(e.now())
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
	en.dirty = false
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
		// Where another owner's object is in the way, the place is not empty.
		if slot, ok := e.slot(en.key); ok && !en.failure.Conflict() {
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

// NextRetry is the earliest time at which a failing object, or a repair that
// waits, is due; zero where there is none.
func (e *Engine) NextRetry() time.Time {
	next := e.resume
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
