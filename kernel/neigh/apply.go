package neigh

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// Apply carries out changes in one batch. To add is to replace: the kernel may have
// learned an entry for the address. A replacement that changes nothing is no event.
// Errors, one a change: what is wrong, in words, around the kernel's errno.
func (k *Kind) Apply(ctx context.Context, changes []state.Change[state.Neigh]) []error {
	a := &apply{changes: changes, errs: make([]error, len(changes)), names: k.sock.Names(), index: map[string]int32{}}
	b := k.sock.Batch()
	b.Failed = a.failed
	b.Lost = func(i int) { a.unsure = append(a.unsure, i) }
	for i := range changes {
		if err := ctx.Err(); err != nil {
			a.errs[i] = err
			continue
		}
		if n := changes[i].Object(); k.owned(n.Dev) {
			a.write(b, i, n)
		} else {
			a.errs[i] = fmt.Errorf("interface %s is not plumb's", n.Dev)
		}
	}
	b.Flush()
	if len(a.unsure) > 0 {
		k.verify(ctx, a)
	}
	return a.errs
}

// apply is one Apply in progress.
type apply struct {
	changes []state.Change[state.Neigh]
	errs    []error
	unsure  []int // replies were lost
	names   *rtnl.Names
	index   map[string]int32
}

func (a *apply) write(b *rtnl.Batch, i int, n state.Neigh) {
	gone := a.changes[i].Action == state.Delete
	index, ok := a.index[n.Dev]
	if !ok {
		var err error
		index, err = a.names.Index(n.Dev)
		switch {
		case errors.Is(err, unix.ENODEV) && gone: // the entry went with it
			return
		case err != nil:
			a.errs[i] = explain(n.Dev, err)
			return
		}
		a.index[n.Dev] = index
	}
	mac, err := parseMAC(n.MAC)
	if err != nil && !gone {
		a.errs[i] = err
		return
	}
	typ, flags := uint16(unix.RTM_NEWNEIGH), uint16(unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	if gone {
		typ, flags = unix.RTM_DELNEIGH, 0
	}
	e := b.Message(typ, flags, i)
	family := byte(unix.AF_INET)
	if n.Addr.Is6() {
		family = unix.AF_INET6
	}
	e.Bytes(family, 0, 0, 0)
	e.Uint32(uint32(index))
	e.Uint16(unix.NUD_PERMANENT)
	e.Bytes(0, unix.RTN_UNICAST)
	e.AttrAddr(unix.NDA_DST, n.Addr)
	if !gone {
		e.Attr(unix.NDA_LLADDR, mac)
	}
}

func (a *apply) failed(i int, err error) {
	c := &a.changes[i]
	if c.Action == state.Delete && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO)) {
		return // gone already
	}
	a.errs[i] = explain(c.Object().Dev, err)
}

func explain(dev string, err error) error {
	switch {
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("interface %s does not exist: %w", dev, err)
	case errors.Is(err, unix.ENETDOWN):
		return fmt.Errorf("interface %s is down: %w", dev, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("not permitted (CAP_NET_ADMIN is needed): %w", err)
	}
	return fmt.Errorf("refused by the kernel: %w", err)
}

// verify looks at what came of changes whose replies were lost.
func (k *Kind) verify(ctx context.Context, a *apply) {
	there := map[state.Key]state.Neigh{}
	err := k.Read(ctx, func(n state.Neigh) { there[n.Key()] = n })
	for _, i := range a.unsure {
		c := &a.changes[i]
		n, ok := there[c.Object().Key()]
		switch {
		case err != nil:
			a.errs[i] = err
		case c.Action == state.Delete && !ok, c.Action != state.Delete && n == c.After:
			a.errs[i] = nil
		case a.errs[i] == nil:
			a.errs[i] = rtnl.ErrLost
		}
	}
}
