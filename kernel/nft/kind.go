package nft

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/plumbnet/plumb/state"
)

// Kind reads, changes and watches plumb's nftables table in one network
// namespace. It satisfies reconcile.Ops[state.Object].
type Kind struct {
	sock     *socket
	events   *socket
	tracker  *tracker
	have     *ruleset // nil: not read, or not known any more
	gen      uint32   // the kernel's generation when have was last compared with it
	watching atomic.Bool
	watcher  atomic.Pointer[watcher] // nil: none runs
}

// New opens the sockets in the network namespace of the calling thread. The
// error says what the kernel lacks.
func New() (*Kind, error) {
	sock, err := openSocket()
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	events, err := openSocket()
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", errors.Join(err, sock.conn.Close()))
	}
	return &Kind{sock: sock, events: events, tracker: newTracker()}, nil
}

// Close closes the sockets; a Watch ends.
func (k *Kind) Close() error {
	return errors.Join(k.sock.conn.Close(), k.events.conn.Close())
}

// Read yields everything in table inet plumb, whoever made it:
//
//   - state.Table where the table is there (an object of the same key that is
//     not state.Table{} where it is dormant);
//   - a state.Set for every named set, with Type ipv4_addr or ipv6_addr for an
//     interval set as plumb makes it and otherwise a description of what it is,
//     such as "ipv4_addr (no interval)" or "ipv4_addr . inet_service"; for a
//     stateful object or a flowtable one named like "counter NAME" of Type "object";
//   - a state.Element for every range in a set as plumb makes it, no other;
//   - a state.Chain for every chain; one without a hook has Type "regular" and
//     "none" for hook and policy;
//   - a state.Rule for every rule, see Canonical; the text of one that plumb
//     cannot have made begins with "[".
//
// It reads from the kernel only where the table may have changed. An error says
// what the kernel lacks, that CAP_NET_ADMIN is missing, or that the ruleset
// changes faster than it can be read.
func (k *Kind) Read(ctx context.Context, yield func(state.Object)) error {
	if err := k.fresh(ctx); err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	k.have.each(yield)
	return nil
}
