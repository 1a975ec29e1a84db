package agent

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/state"
)

// turned is called on the loop's goroutine after every turn: it says and counts
// what the turn did. Where nothing changed it says nothing.
func (a *agent) turned(e *reconcile.Engine, t reconcile.Turned) {
	now := time.Now()
	a.lastTurn.Store(&now)
	a.sayDone(t.Done)
	for _, f := range t.Failures {
		a.sayFailure(f)
	}
	if a.DryRun {
		a.sayPlan(t.Plan)
	} else if a.sources.file != nil {
		a.flows.forget(a.sources.residents.turned(e, t, a.sources.file.Settings.RouteTable))
	}
	if t.Read || a.concernsBeside(t.Done) { // one that went was an event
		a.lookBeside(e)
	}
	a.sayWarnings()
	a.sayContested(e)
	if a.originals.Err() != nil && t.Read {
		_ = a.originals.Save() // the status says where it fails still
	}
	if a.sources.file != nil && e.Settled() {
		a.converged.Store(&now)
		if !a.ready.Load() && len(e.Failures()) == 0 {
			a.ready.Store(true)
		}
	}
	a.metrics.turned(t)
	a.service.turned(e)
}

// fewLearned is how many changes of learned routes a turn logs one by one.
const fewLearned = 16

// sayDone logs what a turn did, a line for each object; of many learned routes, a
// line for all.
func (a *agent) sayDone(done []reconcile.Done) {
	counts := map[state.Action]int{}
	learned := 0
	if len(done) > fewLearned {
		for _, d := range done {
			if isLearned(d.Object()) {
				counts[d.Action]++
				learned++
			}
		}
	}
	many := learned > fewLearned
	for _, d := range done {
		if many && isLearned(d.Object()) {
			continue
		}
		attrs := []any{"origin", d.Origin}
		if d.Drift {
			attrs = append(attrs, "cause", "drift")
		}
		if note := cmp.Or(d.Resets(), d.Later()); note != "" {
			attrs = append(attrs, "note", note)
		}
		a.Log.Info(d.Action.String()+" "+d.Change.String(), attrs...)
	}
	if many {
		a.Log.Info("learned routes", "added", counts[state.Add], "changed", counts[state.Modify], "deleted", counts[state.Delete])
	}
}

// concernsBeside says whether changes are of routes beside which others' stand.
func (a *agent) concernsBeside(done []reconcile.Done) bool {
	if len(a.beside) == 0 || len(done) == 0 {
		return false
	}
	keys := make(map[state.Key]bool, len(a.beside))
	for _, b := range a.beside {
		keys[b.Key] = true
	}
	return slices.ContainsFunc(done, func(d reconcile.Done) bool { return keys[d.Object().Key()] })
}

// sayFailure logs a failure once: a conflict at once, others when the second
// attempt, a tenth of a second later, fails too. A pod that is going away may have
// its device deleted first and its endpoint's record a moment after.
func (a *agent) sayFailure(f *reconcile.Failure) {
	level, what := slog.LevelDebug, "cannot be made"
	switch {
	case f.Conflict():
		what = "conflict"
		if f.Attempts == 1 {
			level = slog.LevelError
		}
	case f.Attempts == 2:
		level = slog.LevelError
	}
	a.Log.Log(context.Background(), level, what, "object", f.Key.String(), "origin", f.Origin, "err", f.Err, "attempts", f.Attempts)
}

// sayPlan logs what a dry run would do, when that is news.
func (a *agent) sayPlan(p reconcile.Plan) {
	text := p.Text(nil)
	if text == a.saidPlan {
		return
	}
	a.saidPlan = text
	for _, s := range p.Steps {
		a.Log.Info("would: "+s.Action.String()+" "+s.Change.String(), "origin", s.Origin)
	}
	a.Log.Info("dry run: " + p.Summary())
}

// sayWarnings logs what cannot be made as the file says, and what waits, when that
// is news.
func (a *agent) sayWarnings() {
	said := make(map[string]bool, len(a.saidWarnings))
	for _, w := range a.sources.allWarnings() {
		text := w.String()
		said[text] = true
		if !a.saidWarnings[text] {
			a.Log.Warn(w.Text, "where", w.Where)
		}
	}
	for _, p := range a.sources.pending() {
		text := p.String()
		said[text] = true
		if !a.saidWarnings[text] {
			a.Log.Info(p.Kind+" waits", p.Kind, p.Endpoint, "reason", p.Reason)
		}
	}
	a.saidWarnings = said
}

// sayContested logs that somebody keeps undoing what plumb does, once.
func (a *agent) sayContested(e *reconcile.Engine) {
	kinds := e.Contested()
	if len(kinds) > 0 && !a.contested {
		a.Log.Warn("other hands keep changing plumb's objects; repairs are spaced out", "kinds", kinds)
	}
	a.contested = len(kinds) > 0
}
