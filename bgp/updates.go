package bgp

import (
	"context"
	"net/netip"
)

// Path is one way to a prefix.
type Path struct {
	NextHop netip.Addr
	Peer    netip.Addr // who announced it
}

// Update is a prefix with its best paths: all that are equally good, up to the
// speaker's MaxPaths, sorted by next hop, of which none is twice. No paths: it is
// withdrawn, or this node itself originates it.
type Update struct {
	Prefix netip.Prefix
	Paths  []Path
}

// EndOfRIB says that a peer has sent all that it has (RFC 4724).
type EndOfRIB struct {
	Peer netip.Addr
	IPv6 bool
}

// Batch is what changed since the last call of Next.
type Batch struct {
	Updates   []Update // in no particular order, each prefix once
	EndOfRIBs []EndOfRIB
	// Settled says that the time of restart is over: every session has sent its
	// End-of-RIB, or cannot, or had its time. It stays true. A speaker that was not
	// opened as restarting is settled from the first batch on.
	Settled bool
	// Sessions says that a session's state changed; Speaker.Sessions has it.
	Sessions bool
}

// Next waits until something changes and gives it, coalesced. One goroutine at a
// time may call it.
func (s *Speaker) Next(ctx context.Context) (Batch, error) {
	return s.updates.next(ctx)
}
