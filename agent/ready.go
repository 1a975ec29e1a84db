package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/plumbnet/plumb/reconcile"
)

// readiness is empty once the agent has converged on a valid file and BGP is up, else
// why not: the first thing that is in the way, and how many more are.
func (a *agent) readiness(ctx context.Context) string {
	if !a.ready.Load() {
		why := "" // only ours to read when the loop has answered
		if a.loop.Ask(ctx, func(e *reconcile.Engine) { why = a.lacking(e) }) != nil {
			return "not converged yet: the loop does not turn"
		}
		return "not converged yet: " + why
	}
	if ok, why := a.bgpReady(ctx); !ok {
		return why
	}
	return ""
}

func (a *agent) lacking(e *reconcile.Engine) string {
	if a.sources.file == nil {
		return "no valid state file: " + firstOf(a.file.Load().Errors)
	}
	errs := e.ReadErrors()
	var lines []string
	for _, kind := range slices.Sorted(maps.Keys(errs)) {
		lines = append(lines, fmt.Sprintf("%s cannot be read: %v", kind, errs[kind]))
	}
	for _, f := range e.Failures() {
		what := "cannot be made"
		if f.Conflict() {
			what = "is in conflict"
		}
		lines = append(lines, fmt.Sprintf("%s (%s) %s: %v", f.Key, f.Origin, what, f.Err))
	}
	if len(lines) > 0 {
		return firstOf(lines)
	}
	pending := 0
	for _, c := range e.Counts() {
		pending += c.Pending
	}
	if a.DryRun {
		return fmt.Sprintf("a dry run changes none of %d objects", pending)
	}
	return fmt.Sprintf("%d objects are about to be changed", pending)
}

func firstOf(lines []string) string {
	switch len(lines) {
	case 0:
		return "it was not read yet"
	case 1:
		return lines[0]
	}
	return fmt.Sprintf("%s; and %d more, see plumb status", lines[0], len(lines)-1)
}
