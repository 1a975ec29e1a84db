package route

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// Apply carries out changes in batches, each change for itself: one that fails
// stops no other. Errors, one a change: *state.ConflictError where another
// owner's route stands first in the slot; else what is wrong, in words, around
// the kernel's errno. A change that was carried out before, or by someone else,
// is done.
func (k *Kind) Apply(ctx context.Context, changes []state.Change[state.Route]) []error {
	a := &apply{
		k: k, ctx: ctx, changes: changes, errs: make([]error, len(changes)),
		devices: devices{names: k.decoder.names, index: map[string]int32{}, sets: map[state.Multipath][]hop{}},
	}
	a.plain()
	a.modify4()
	a.look()
	a.sweepAll()
	a.again()
	a.verify()
	for i := range changes {
		if changes[i].Action != state.Add && a.errs[i] == nil {
			k.forget(&changes[i])
		}
	}
	return a.errs
}

// forget drops from places what a change took away.
func (k *Kind) forget(c *state.Change[state.Route]) {
	if c.Action == state.Delete || c.Before.Dev != c.After.Dev {
		k.places.remove(&c.Before)
	}
}

// apply is one Apply in progress: each list holds the changes that a later step
// has to deal with, by index.
type apply struct {
	k       *Kind
	ctx     context.Context
	changes []state.Change[state.Route]
	errs    []error
	devices devices

	replace4 []int // IPv4 Modify: replace once it is clear whose the first is
	unclear  []int // something is in the slot, or not what was expected
	sweep    []int // several of plumb's own, or odd ones, are in the slot
	unsure   []int // replies were lost
	shared   []int // IPv6: a next hop that was not wanted could not be deleted
}

// batch starts a batch whose failures go to failed, and whose lost replies are
// looked after in the end.
func (a *apply) batch(failed func(i int, err error)) *rtnl.Batch {
	b := a.k.sock.Batch()
	b.Failed = failed
	b.Lost = func(i int) { a.unsure = append(a.unsure, i) }
	return b
}

// add writes a request to make change i's After, with the flags that say how.
func (a *apply) add(b *rtnl.Batch, flags uint16, i int) {
	r := &a.changes[i].After
	hops, err := a.devices.hops(r)
	if err != nil {
		a.errs[i] = explain(r, err)
		return
	}
	a.k.places.add(r)
	encode(b.Message(unix.RTM_NEWROUTE, flags, i), r, hops)
}

const (
	create  = unix.NLM_F_CREATE | unix.NLM_F_EXCL
	replace = unix.NLM_F_REPLACE | unix.NLM_F_CREATE
	join    = unix.NLM_F_APPEND | unix.NLM_F_CREATE
	// exists fails with EEXIST where exactly this route is there, with ENOENT where
	// it is not, and changes nothing (fib_table_insert; IPv4 alone)
	exists = unix.NLM_F_APPEND
	// first succeeds, and changes nothing, where exactly this route is the first in
	// its slot, and fails with EEXIST where it is a later one. Where it is not
	// there at all, it takes the place of the first (IPv4 alone)
	first = unix.NLM_F_REPLACE
)

// plain sends what needs no look at what is there: additions, which fail where
// something is, and deletions of exactly what plumb had.
func (a *apply) plain() {
	b := a.batch(func(i int, err error) {
		switch {
		case a.changes[i].Action == state.Delete:
			a.errs[i] = deleted(&a.changes[i].Before, err)
		case errors.Is(err, unix.EEXIST):
			a.unclear = append(a.unclear, i)
		default:
			a.errs[i] = explain(&a.changes[i].After, err)
		}
	})
	metrics := a.k.places.metrics()
	var careful []int
	for i := range a.changes {
		if err := a.ctx.Err(); err != nil {
			a.errs[i] = err
			continue
		}
		switch c := &a.changes[i]; {
		case c.Action == state.Modify && slotOf(&c.Before) != slotOf(&c.After):
			a.errs[i] = fmt.Errorf("not one route: %s, %s", c.Before.Key(), c.After.Key())
		case c.Action != state.Add && isOdd(&c.Before):
			a.sweep = append(a.sweep, i)
		case c.Action == state.Add:
			a.add(b, create, i)
		case c.Action == state.Delete && metrics && c.Before.Metric == 0 && c.Before.Dst.Addr().Is4():
			careful = append(careful, i)
		case c.Action == state.Delete:
			a.delete(b, i, &c.Before)
		case c.After.Dst.Addr().Is4():
			a.replace4 = append(a.replace4, i)
		default:
			a.unclear = append(a.unclear, i)
		}
	}
	b.Flush()
	// To a deletion, metric 0 means any (fib_nh_match): where plumb has IPv4 routes
	// with metrics, it is sent only if the one without is there.
	for _, i := range a.isThere(careful, &a.sweep) {
		a.delete(b, i, &a.changes[i].Before)
	}
	b.Flush()
}

// delete writes a request to delete r. Where its device is no more, neither is r.
func (a *apply) delete(b *rtnl.Batch, i int, r *state.Route) {
	hops, err := a.devices.hops(r)
	switch {
	case errors.Is(err, unix.ENODEV):
	case err != nil:
		a.errs[i] = err
	default:
		encodeDelete(b.Message(unix.RTM_DELROUTE, 0, i), r, hops)
	}
}

// deleted is the result of a deletion: what is gone already, or went with its
// table or device, is deleted.
func deleted(r *state.Route, err error) error {
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return explain(r, err)
}

// chunk is how many routes are asked about before they are replaced: the more,
// the longer others have to change what was asked about.
const chunk = 512

// modify4 replaces IPv4 routes in place where plumb's own is there and is the
// first in its slot, which the kernel says without any side effect.
func (a *apply) modify4() {
	for len(a.replace4) > 0 {
		now := a.replace4[:min(chunk, len(a.replace4))]
		a.replace4 = a.replace4[len(now):]
		a.replaceFirst(a.isFirst(a.isThere(now, &a.unclear)))
	}
}

// isThere gives those whose Before exists, and puts the others into absent.
func (a *apply) isThere(list []int, absent *[]int) (there []int) {
	present := make(map[int]bool, len(list))
	b := a.batch(func(i int, err error) { present[i] = errors.Is(err, unix.EEXIST) })
	b.Lost = nil
	for _, i := range list {
		r := &a.changes[i].Before
		hops, err := a.devices.hops(r)
		if err != nil {
			continue
		}
		encode(b.Message(unix.RTM_NEWROUTE, exists, i), r, hops)
	}
	b.Flush()
	for _, i := range list {
		if present[i] {
			there = append(there, i)
		} else {
			*absent = append(*absent, i)
		}
	}
	return there
}

// isFirst gives those whose Before, which is there, is the first in its slot.
func (a *apply) isFirst(list []int) []int {
	not := map[int]bool{}
	b := a.batch(func(i int, _ error) { not[i] = true })
	b.Lost = func(i int) { not[i] = true }
	for _, i := range list {
		r := &a.changes[i].Before
		hops, err := a.devices.hops(r)
		if err != nil {
			not[i] = true
			continue
		}
		encode(b.Message(unix.RTM_NEWROUTE, first, i), r, hops)
	}
	b.Flush()
	var out []int
	for _, i := range list {
		if not[i] {
			a.unclear = append(a.unclear, i)
		} else {
			out = append(out, i)
		}
	}
	return out
}

// replaceFirst replaces the first in the slot, which is plumb's own.
func (a *apply) replaceFirst(list []int) {
	var twice []int // After is there already, behind Before
	b := a.batch(func(i int, err error) {
		if errors.Is(err, unix.EEXIST) {
			twice = append(twice, i)
			return
		}
		a.errs[i] = explain(&a.changes[i].After, err)
	})
	for _, i := range list {
		a.add(b, replace, i)
	}
	b.Flush()
	a.sweep = append(a.sweep, twice...)
}
