package route

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// Kind reads, changes and watches plumb's routes in some tables. Read, Apply and
// Foreign are called from one goroutine at a time; what Watch calls comes from
// another.
type Kind struct {
	tables  atomic.Pointer[[]uint32] // replaced whole: the watcher reads it too
	sock    *rtnl.Socket
	monitor *rtnl.Monitor
	decoder *decoder
	places  *places

	asking *rtnl.Socket // the watcher's own, to ask for names
}

// New opens the sockets, on the calling thread and so in its network namespace.
// Routes in other tables than these are not seen.
func New(tables ...uint32) (*Kind, error) {
	tables = slices.Compact(slices.Sorted(slices.Values(tables)))
	if len(tables) == 0 {
		return nil, errors.New("routes: no table given")
	}
	if slices.Contains(tables, unix.RT_TABLE_LOCAL) || slices.Contains(tables, unix.RT_TABLE_UNSPEC) {
		return nil, errors.New("routes: the tables unspec and local are the kernel's")
	}
	k := &Kind{places: newPlaces()}
	k.tables.Store(&tables)
	var err error
	if k.sock, err = rtnl.Open(); err != nil {
		return nil, err
	}
	if k.asking, err = rtnl.Open(); err != nil {
		return nil, errors.Join(err, k.sock.Close())
	}
	if k.monitor, err = rtnl.OpenMonitor(k.sock); err != nil {
		return nil, errors.Join(err, k.sock.Close(), k.asking.Close())
	}
	k.decoder = newDecoder(k.sock.Names())
	return k, nil
}

// AddTable has routes in one more table seen from the next Read on: the setting
// was changed, and what is in the old table has to be found to be removed.
//
// It gives false where the table was seen already.
func (k *Kind) AddTable(table uint32) bool {
	tables := *k.tables.Load()
	if slices.Contains(tables, table) {
		return false
	}
	tables = append(slices.Clone(tables), table)
	k.tables.Store(&tables)
	return true
}

// Close ends a watch that is in progress and closes the sockets.
func (k *Kind) Close() error {
	return errors.Join(k.monitor.Close(), k.sock.Close(), k.asking.Close())
}

// Read yields every route of protocols 112 and 113 in the tables. A route that
// state.Route cannot hold comes in a form that equals none that plumb makes.
// Where foreign hands put several routes with plumb's protocols into one slot,
// each is yielded, and the later ones bear the word "duplicate" in Multipath: who
// keeps routes by key sees that something is wrong, and Apply sets it right.
func (k *Kind) Read(ctx context.Context, yield func(state.Route)) error {
	k.decoder.forget()
	k.places.reset()
	defer k.places.settled()
	var r state.Route // one for all: its address goes into the decoder
	var odd []state.Route
	for _, table := range *k.tables.Load() {
		for _, fam := range [...]byte{unix.AF_INET, unix.AF_INET6} {
			for _, proto := range [...]byte{state.ProtoPlumb, state.ProtoBGP} {
				var before slot
				err := k.dump(ctx, fam, proto, table, func(m []byte) error {
					if !k.decoder.decode(m, &r) {
						return nil
					}
					k.places.add(&r)
					if here := slotOf(&r); here == before && k.decoder.tos == 0 { // rivals follow each other
						r.Multipath = "duplicate " + r.Multipath
					} else if k.decoder.tos == 0 {
						before = here
					}
					if k.decoder.tos != 0 { // may have a rival's key; the last yielded counts
						odd = append(odd, r)
						return nil
					}
					yield(r)
					return nil
				})
				if err != nil {
					return fmt.Errorf("routes of table %d, proto %s: %w", table, state.ProtocolName(proto), err)
				}
			}
		}
	}
	for _, r := range odd {
		yield(r)
	}
	return nil
}

// dump gives the routes of a table, filtered in the kernel; proto 0 means all.
func (k *Kind) dump(ctx context.Context, fam, proto byte, table uint32, each func(m []byte) error) error {
	err := k.sock.Dump(ctx, unix.RTM_GETROUTE, func(e *rtnl.Encoder) {
		e.Bytes(fam, 0, 0, 0, 0, proto, 0, 0, 0, 0, 0, 0)
		e.AttrUint32(unix.RTA_TABLE, table)
	}, func(m rtnl.Message) error {
		if m.Type != unix.RTM_NEWROUTE {
			return nil
		}
		return each(m.Data)
	})
	if errors.Is(err, unix.ENOENT) { // a table that has never had a route
		return nil
	}
	return err
}
