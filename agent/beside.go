package agent

import (
	"context"
	"slices"

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

// standingRoutes gives the keys of the routes that are as wanted.
func standingRoutes(e *reconcile.Engine) []state.Key {
	var keys []state.Key
	for key := range e.Standing(state.KindRoute) {
		keys = append(keys, key)
	}
	return keys
}

// besides puts other owners' routes beside plumb's own into the order of keys.
func besides(e *reconcile.Engine, foreign map[state.Key]string) []Beside {
	var out []Beside
	for key, with := range foreign {
		out = append(out, Beside{key, e.Origin(key), with})
	}
	slices.SortFunc(out, func(a, b Beside) int { return state.CompareKeys(a.Key, b.Key) })
	return out
}

// lookBeside looks through the tables for routes beside plumb's own, and says what
// is news. Those in the way of one that is missing are conflicts of their own.
func (a *agent) lookBeside(e *reconcile.Engine) {
	foreign, err := a.routes.Foreign(context.Background(), standingRoutes(e))
	if err != nil {
		a.Log.Warn("cannot look for other owners' routes", "err", err)
		return
	}
	list := besides(e, foreign)
	for _, b := range list {
		if !slices.Contains(a.beside, b) {
			a.Log.Error("conflict", "object", b.Key.String(), "origin", b.Origin, "err", b.String())
		}
	}
	a.beside = list
}
