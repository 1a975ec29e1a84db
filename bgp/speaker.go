package bgp

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"

	"github.com/plumbnet/plumb/state"
)

// Options say how a speaker is opened.
type Options struct {
	Log       *slog.Logger
	Passwords *Passwords // nil: sessions with a password cannot be made
	// StateDir is where the addresses of dynamic neighbours are remembered, which
	// have to be known after a restart; empty: nowhere.
	StateDir string
	// Restarting says that the kernel has routes of an earlier run: peers are told
	// so, and Batch.Settled comes when they have sent theirs.
	Restarting bool
}

// Speaker is the BGP speaker. Its methods may be called at any time from any
// goroutine, except where they say otherwise.
type Speaker struct {
	updates *updates
}

// Open starts a speaker that has nothing configured and listens nowhere. It opens
// its sockets in the network namespace of the process.
func Open(Options) (*Speaker, error) { return nil, errors.ErrUnsupported }

// Read gives the objects that are configured.
func (s *Speaker) Read(ctx context.Context, yield func(state.Object)) error {
	return errors.ErrUnsupported
}

// Apply makes the changes as one transaction, in an order of its own: what can be
// done to a living session is, and only the sessions that state.BGPResets names
// are reset. An object that cannot be made has its error, and the others are made.
func (s *Speaker) Apply(ctx context.Context, changes []state.Change[state.Object]) []error {
	return nil
}

// Watch reports nothing but that the speaker must be read anew: nobody else
// configures it.
func (s *Speaker) Watch(ctx context.Context, changed func([]state.Event[state.Object]), again func()) error {
	return nil
}

// Sessions gives every session, sorted by name and address.
func (s *Speaker) Sessions() []Session { return nil }

// RIB calls yield with the destinations within p, or with all where p is not
// valid, in the order of prefixes.
func (s *Speaker) RIB(ctx context.Context, p netip.Prefix, yield func(Destination)) error { return nil }

// Warnings are what is amiss and does not keep the rest from working, in words,
// with the mend: the listen port is taken.
func (s *Speaker) Warnings() []string { return nil }

// Drain withdraws every route that was announced, waits until the peers have the
// withdrawals, and ends the sessions with the message (RFC 8203).
func (s *Speaker) Drain(ctx context.Context, message string) error { return nil }

// Close ends the speaker without a word to the peers, so that those with graceful
// restart keep the routes.
func (s *Speaker) Close() {}

type updates struct{}

func (u *updates) next(ctx context.Context) (Batch, error) { return Batch{}, errors.ErrUnsupported }
