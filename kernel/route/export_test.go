package route

import (
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/state"
)

// The engine's contract, held to at compile time.
var _ reconcile.Ops[state.Route] = (*Kind)(nil)
