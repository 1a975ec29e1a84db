package route

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// sweepAll clears slots where plumb's protocols are on several routes, or on one
// that state.Route cannot hold: all of them but the wanted one are deleted, each by
// exactly what the kernel said about it.
func (a *apply) sweepAll() {
	if len(a.sweep) == 0 {
		return
	}
	there, err := a.inSlots(a.sweep)
	if err != nil {
		for _, i := range a.sweep {
			a.errs[i] = err
		}
		return
	}
	var add []int
	for _, i := range a.sweep {
		c := &a.changes[i]
		if c.Action == state.Delete {
			continue
		}
		list, wanted := rivals(there[slotOf(&c.After)]), false
		for _, f := range list {
			wanted = wanted || f.route == c.After
		}
		switch {
		case len(list) > 0 && !list[0].ours:
			a.errs[i] = conflict(&c.After, &list[0].route)
		case !wanted:
			add = append(add, i)
		}
	}
	// An IPv4 route is added behind the others first: traffic goes on meanwhile. An
	// IPv6 one could not be, with the same next hop.
	b := a.batch(func(i int, err error) {
		if !errors.Is(err, unix.EEXIST) {
			a.errs[i] = explain(&a.changes[i].After, err)
		}
	})
	for _, i := range add {
		if a.changes[i].After.Dst.Addr().Is4() {
			a.add(b, join, i)
		}
	}
	b.Flush()

	b = a.batch(func(i int, err error) {
		if err = deleted(&a.changes[i].Before, err); err != nil {
			a.errs[i] = err
		}
	})
	for _, i := range a.sweep {
		c := &a.changes[i]
		if c.Action != state.Delete && a.errs[i] != nil {
			continue
		}
		for _, f := range there[slotOf(object(c))] {
			if f.ours && (c.Action == state.Delete || f.route != c.After) {
				deleteRaw(b.Message(unix.RTM_DELROUTE, 0, i), f.raw)
			}
		}
	}
	b.Flush()

	var create []int
	for _, i := range add {
		if a.changes[i].After.Dst.Addr().Is6() && a.errs[i] == nil {
			create = append(create, i)
		}
	}
	a.createNow(create)
}

// inSlots looks up what is in the slots of these changes.
func (a *apply) inSlots(list []int) (map[slot][]found, error) {
	slots := map[slot]bool{}
	for _, i := range list {
		slots[slotOf(object(&a.changes[i]))] = true
	}
	return a.k.lookup(a.ctx, slots)
}

// deleteRaw writes the request to delete the route of a message, with everything
// in it that RTM_DELROUTE compares (fib_table_delete, ip6_route_del).
func deleteRaw(e *rtnl.Encoder, raw []byte) {
	_, attrs, ok := readHeader(raw)
	if !ok {
		return
	}
	e.Bytes(raw[:8]...)
	e.Uint32(0) // of the flags, none says which route it is
	byID := false
	for a, rest, ok := rtnl.NextAttr(attrs); ok; a, rest, ok = rtnl.NextAttr(rest) {
		byID = byID || a.Type == rtaNHID
	}
	for a, rest, ok := rtnl.NextAttr(attrs); ok; a, rest, ok = rtnl.NextAttr(rest) {
		switch a.Type {
		case unix.RTA_OIF, unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_MULTIPATH, unix.RTA_ENCAP, unix.RTA_ENCAP_TYPE:
			if byID { // mutually exclusive (rtm_to_fib_config)
				continue
			}
			fallthrough
		case unix.RTA_DST, unix.RTA_SRC, unix.RTA_TABLE, unix.RTA_PRIORITY, unix.RTA_PREFSRC, rtaNHID, unix.RTA_FLOW, unix.RTA_METRICS:
			e.Attr(a.Type, a.Data)
		}
	}
}

// verify looks at what came of changes whose replies were lost, and of those after
// which a next hop was left that is not plumb's.
func (a *apply) verify() {
	if len(a.unsure)+len(a.shared) == 0 {
		return
	}
	there, err := a.inSlots(append(a.unsure[:len(a.unsure):len(a.unsure)], a.shared...))
	result := func(i int, otherwise error) {
		c := &a.changes[i]
		list := rivals(there[slotOf(object(c))])
		switch {
		case err != nil:
			a.errs[i] = err
		case c.Action == state.Delete && !anyOurs(list), c.Action != state.Delete && len(list) > 0 && list[0].route == c.After:
			a.errs[i] = nil
		case c.Action != state.Delete && len(list) > 0 && !list[0].ours:
			a.errs[i] = conflict(&c.After, &list[0].route)
		case a.errs[i] == nil && otherwise == nil && len(list) > 0:
			a.errs[i] = conflict(&c.After, &list[0].route)
		case a.errs[i] == nil:
			a.errs[i] = otherwise
		}
	}
	for _, i := range a.unsure {
		result(i, rtnl.ErrLost)
	}
	for _, i := range a.shared {
		result(i, nil)
	}
}

func anyOurs(list []found) bool {
	for _, f := range list {
		if f.ours {
			return true
		}
	}
	return false
}

// object is the route that a change is about.
func object(c *state.Change[state.Route]) *state.Route {
	if c.Action == state.Delete {
		return &c.Before
	}
	return &c.After
}
