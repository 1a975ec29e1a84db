package agent

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/state"
)

// bgpKinds are the objects of BGP, which are changed in one transaction.
var bgpKinds = []state.Kind{state.KindBGP, state.KindBGPFilter, state.KindBGPPrefix, state.KindBGPPeer}

// speaker is the BGP speaker as a kind of object. It is opened when there is
// something to keep for the first time, and then stays: a node whose state file has
// no bgp section pays nothing for it.
type speaker struct {
	options func() bgp.Options // asked when it is opened
	opened  func(*bgp.Speaker)
	open    atomic.Pointer[bgp.Speaker]
}

func (s *speaker) kind() reconcile.Kind {
	return reconcile.KindOf[state.Object](s, true, bgpKinds...)
}

// Read gives what is configured; nothing before the speaker was opened.
func (s *speaker) Read(ctx context.Context, yield func(state.Object)) error {
	if sp := s.open.Load(); sp != nil {
		return sp.Read(ctx, yield)
	}
	return nil
}

// Apply opens the speaker where it is needed.
func (s *speaker) Apply(ctx context.Context, changes []state.Change[state.Object]) []error {
	sp := s.open.Load()
	if sp == nil {
		var err error
		if sp, err = bgp.Open(s.options()); err != nil {
			errs := make([]error, len(changes))
			for i := range errs {
				errs[i] = err
			}
			return errs
		}
		s.open.Store(sp)
		s.opened(sp)
	}
	return sp.Apply(ctx, changes)
}

// Watch has nothing to watch: nobody else configures the speaker.
func (s *speaker) Watch(context.Context, func([]state.Event[state.Object]), func()) error { return nil }

// recorded stands for the speaker of a running agent, for who compares with it from
// outside.
type recorded struct{ objects state.Snapshot }

func (r recorded) Read(_ context.Context, yield func(state.Object)) error {
	for _, o := range r.objects {
		yield(o)
	}
	return nil
}

func (recorded) Apply(_ context.Context, changes []state.Change[state.Object]) []error {
	errs := make([]error, len(changes))
	for i := range errs {
		errs[i] = errors.New("BGP is the running agent's")
	}
	return errs
}

func (recorded) Watch(context.Context, func([]state.Event[state.Object]), func()) error { return nil }
