package neigh

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// Apply carries out changes in one batch. To add is to replace: an entry of the
// same MAC address gets the new destination in place. Errors, one a change: what is
// wrong, in words, around the kernel's errno.
func (k *FDB) Apply(ctx context.Context, changes []state.Change[state.FDB]) []error {
	a := &applyFDB{k: k, changes: changes, errs: make([]error, len(changes)), names: k.sock.Names(), index: map[string]int32{}}
	b := k.sock.Batch()
	b.Failed = a.failed
	b.Lost = func(i int) { a.unsure = append(a.unsure, i) }
	for i := range changes {
		e := changes[i].Object()
		switch {
		case ctx.Err() != nil:
			a.errs[i] = ctx.Err()
		case !k.owned(e.Dev):
			a.errs[i] = fmt.Errorf("interface %s is not plumb's", e.Dev)
		default:
			a.write(b, i, e)
		}
	}
	b.Flush()
	if len(a.unsure) > 0 {
		a.verify(ctx)
	}
	return a.errs
}

// applyFDB is one Apply in progress.
type applyFDB struct {
	k       *FDB
	changes []state.Change[state.FDB]
	errs    []error
	unsure  []int // replies were lost
	names   *rtnl.Names
	index   map[string]int32
}

func (a *applyFDB) write(b *rtnl.Batch, i int, entry state.FDB) {
	gone := a.changes[i].Action == state.Delete
	index, known := a.index[entry.Dev]
	if !known {
		var err error
		index, err = a.names.Index(entry.Dev)
		switch {
		case errors.Is(err, unix.ENODEV) && gone: // the entry went with it
			return
		case err != nil:
			a.errs[i] = explain(entry.Dev, err)
			return
		}
		a.index[entry.Dev] = index
	}
	mac, err := parseMAC(entry.MAC)
	if err == nil && !gone && !entry.Dst.IsValid() {
		err = errors.New("it has no destination")
	}
	if err != nil {
		a.errs[i] = err
		return
	}
	if a.changes[i].Action == state.Modify && strings.Contains(a.changes[i].Before.Odd, nhid) {
		// Of all that others may have given it, this alone the kernel does not take
		// away by a replacement (vxlan_fdb_update_existing).
		encodeFDB(b.Message(unix.RTM_DELNEIGH, 0, i), index, mac, state.FDB{})
	}
	if gone {
		encodeFDB(b.Message(unix.RTM_DELNEIGH, 0, i), index, mac, entry)
		return
	}
	encodeFDB(b.Message(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, i), index, mac, entry)
}

// encodeFDB writes an entry; without a destination, all of that MAC address.
func encodeFDB(e *rtnl.Encoder, index int32, mac []byte, entry state.FDB) {
	e.Bytes(unix.AF_BRIDGE, 0, 0, 0)
	e.Uint32(uint32(index))
	e.Uint16(unix.NUD_PERMANENT)
	e.Bytes(unix.NTF_SELF, 0)
	if entry.Dst.IsValid() && entry.Odd == "" {
		e.AttrAddr(unix.NDA_DST, entry.Dst)
	}
	e.Attr(unix.NDA_LLADDR, mac)
}

func (a *applyFDB) failed(i int, err error) {
	c := &a.changes[i]
	if c.Action == state.Delete && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)) {
		return // gone already
	}
	if c.Action == state.Modify && errors.Is(err, unix.ENOENT) {
		return // what was to be replaced is gone; what replaces it comes after
	}
	a.errs[i] = explain(c.Object().Dev, err)
}

// verify looks at what came of changes whose replies were lost.
func (a *applyFDB) verify(ctx context.Context) {
	there := map[state.Key]state.FDB{}
	err := a.k.Read(ctx, func(e state.FDB) { there[e.Key()] = e })
	for _, i := range a.unsure {
		c := &a.changes[i]
		e, ok := there[c.Object().Key()]
		switch {
		case err != nil:
			a.errs[i] = err
		case c.Action == state.Delete && !ok, c.Action != state.Delete && e == c.After:
			a.errs[i] = nil
		case a.errs[i] == nil:
			a.errs[i] = rtnl.ErrLost
		}
	}
}
