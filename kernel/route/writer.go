package route

import (
	"context"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// Writer applies changes and does nothing else: it has one socket where a Kind has
// four.
type Writer struct{ kind Kind }

// NewWriter opens the socket, on the calling thread and so in its network
// namespace. The routes are in these tables.
func NewWriter(tables ...uint32) (*Writer, error) {
	w := &Writer{Kind{places: newPlaces()}}
	w.kind.tables.Store(&tables)
	var err error
	if w.kind.sock, err = rtnl.Open(); err != nil {
		return nil, err
	}
	w.kind.decoder = newDecoder(w.kind.sock.Names())
	return w, nil
}

// Apply is Kind's.
func (w *Writer) Apply(ctx context.Context, changes []state.Change[state.Route]) []error {
	return w.kind.Apply(ctx, changes)
}

// Close closes the socket.
func (w *Writer) Close() error { return w.kind.sock.Close() }
