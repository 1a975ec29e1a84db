package agent

import (
	"context"
	"slices"

	"github.com/plumbnet/plumb/kernel/route"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/state"
)

// Beside is another owner's route for a destination that plumb has a route for,
// in the same table. Which of the two the kernel takes depends on who came first.
type Beside struct {
	Key    state.Key
	Origin string
	With   string // as ip(8) prints it
}

func (b Beside) String() string {
	return b.Key.String() + ": beside it there is one that is not plumb's: " + b.With
}

// besides looks through the tables for other owners' routes beside plumb's own;
// those that are in the way of one that is missing are conflicts of their own.
func besides(ctx context.Context, e *reconcile.Engine, routes *route.Kind) ([]Beside, error) {
	var keys []state.Key
	for key := range e.Standing(state.KindRoute) {
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, nil
	}
	foreign, err := routes.Foreign(ctx, keys)
	var out []Beside
	for key, with := range foreign {
		out = append(out, Beside{key, e.Origin(key), with})
	}
	slices.SortFunc(out, func(a, b Beside) int { return state.CompareKeys(a.Key, b.Key) })
	return out, err
}

// lookBeside is besides for the agent, which says what is news.
func (a *agent) lookBeside(e *reconcile.Engine) {
	list, err := besides(context.Background(), e, a.routes)
	if err != nil {
		a.Log.Warn("cannot look for other owners' routes", "err", err)
		return
	}
	for _, b := range list {
		if !slices.Contains(a.beside, b) {
			a.Log.Error("conflict", "object", b.Key.String(), "origin", b.Origin, "err", b.String())
		}
	}
	a.beside = list
}
