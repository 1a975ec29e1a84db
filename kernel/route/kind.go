package route

import (
	"errors"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
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
	bell    *rtnl.Bell // for changes of IPv6 routes during a dump

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
	if k.bell, err = rtnl.OpenBell(unix.RTNLGRP_IPV6_ROUTE); err != nil {
		return nil, errors.Join(err, k.monitor.Close(), k.sock.Close(), k.asking.Close())
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
	return errors.Join(k.monitor.Close(), k.sock.Close(), k.asking.Close(), k.bell.Close())
}
