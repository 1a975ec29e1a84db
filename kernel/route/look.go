package route

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/state"
)

// look finds out what is in the slots of unclear changes, and goes on from there.
func (a *apply) look() {
	if len(a.unclear) == 0 {
		return
	}
	a.k.decoder.forget()
	slots := make([]slot, len(a.unclear))
	for n, i := range a.unclear {
		slots[n] = slotOf(&a.changes[i].After)
	}
	probed := a.k.probe(slots)
	inconclusive := map[slot]bool{}
	for n, i := range a.unclear {
		f, ok := probed[slots[n]]
		if !ok || mixed(&f.route, &a.changes[i].After) || !f.ours && f.route.Multipath != "" {
			// not all of an IPv6 slot is seen; of several next hops the answer has
			// the protocol of the one that was drawn
			inconclusive[slots[n]] = true
		}
	}
	dumped, err := a.k.lookup(a.ctx, inconclusive)
	var create, replace []int
	var steps []step
	for n, i := range a.unclear {
		list := dumped[slots[n]]
		if !inconclusive[slots[n]] {
			list = []found{probed[slots[n]]}
		} else if err != nil {
			a.errs[i] = err
			continue
		}
		c := &a.changes[i]
		switch list = rivals(list); {
		case len(list) == 0:
			create = append(create, i)
		case !list[0].ours:
			a.errs[i] = conflict(&c.After, &list[0].route)
		case list[0].route == c.After:
		case c.After.Dst.Addr().Is4():
			replace = append(replace, i)
		case isOdd(&list[0].route):
			a.sweep = append(a.sweep, i)
		case list[0].route.Multipath != "" || mixed(&list[0].route, &c.After) && anyForeign(list):
			steps = append(steps, step{i, list[0].route})
		default:
			replace = append(replace, i)
		}
	}
	a.createNow(create)
	a.replaceFirst(replace)
	a.stepwise(steps)
}

func conflict(want, with *state.Route) error {
	return &state.ConflictError{Key: want.Key(), With: text(with)}
}

func anyForeign(list []found) bool {
	for _, f := range list {
		if !f.ours {
			return true
		}
	}
	return false
}

// mixed says whether one of two IPv6 routes can be one of several next hops (it
// has a gateway), and the other not. NLM_F_REPLACE prefers a route of the same
// sort, and takes any other (fib6_add_rt2node, net/ipv6/ip6_fib.c).
func mixed(a, b *state.Route) bool {
	return a.Dst.Addr().Is6() && joins(a) != joins(b)
}

func joins(r *state.Route) bool { return r.Gateway.IsValid() || r.Multipath != "" }

// createNow adds where something was in the slot a moment ago and is no more.
func (a *apply) createNow(list []int) {
	b := a.batch(func(i int, err error) { a.errs[i] = explain(&a.changes[i].After, err) })
	for _, i := range list {
		a.add(b, create, i)
	}
	b.Flush()
}

// step is an IPv6 change from had, a route in whose slot foreign routes may be, to
// its After, next hop by next hop.
type step struct {
	i   int
	had state.Route
}

// stepwise adds the next hops that are missing, then deletes those that are too
// many, each with plumb's protocol: so no foreign one goes. What they have in
// common is replaced only where more than the next hops differs.
func (a *apply) stepwise(steps []step) {
	if len(steps) == 0 {
		return
	}
	b := a.batch(func(i int, err error) {
		if !errors.Is(err, unix.EEXIST) {
			a.errs[i] = explain(&a.changes[i].After, err)
		}
	})
	for _, s := range steps {
		r := &a.changes[s.i].After
		missing, err := a.hopsNotIn(r, &s.had)
		if err != nil {
			a.errs[s.i] = explain(r, err)
			continue
		}
		a.k.places.add(r)
		for n := range missing {
			encode(b.Message(unix.RTM_NEWROUTE, join, s.i), r, missing[n:n+1])
		}
		if len(missing) == 0 && !joins(r) { // a blackhole without a device
			encode(b.Message(unix.RTM_NEWROUTE, join, s.i), r, nil)
		}
	}
	b.Flush()

	b = a.batch(func(i int, _ error) { a.shared = append(a.shared, i) })
	var again []int
	for _, s := range steps {
		if a.errs[s.i] != nil {
			continue
		}
		r := &a.changes[s.i].After
		surplus, err := a.hopsNotIn(&s.had, r)
		if err != nil {
			a.errs[s.i] = explain(&s.had, err)
			continue
		}
		for n := range surplus {
			encodeDelete(b.Message(unix.RTM_DELROUTE, 0, s.i), &s.had, surplus[n:n+1])
		}
		same := s.had.Src == r.Src && s.had.MTU == r.MTU && s.had.Protocol == r.Protocol && s.had.Type == r.Type
		if had, err := a.devices.hops(&s.had); err == nil && !same && len(surplus) < len(had) {
			again = append(again, s.i)
		}
	}
	b.Flush()
	for _, i := range a.shared {
		again = without(again, i)
	}
	a.replaceFirst(again)
}

func without(list []int, i int) []int {
	out := list[:0]
	for _, j := range list {
		if j != i {
			out = append(out, j)
		}
	}
	return out
}

// hopsNotIn gives the next hops of r that other has not.
func (a *apply) hopsNotIn(r, other *state.Route) ([]hop, error) {
	have, err := a.devices.hops(other)
	if err != nil {
		return nil, err
	}
	have = slices.Clone(have)
	all, err := a.devices.hops(r)
	if err != nil {
		return nil, err
	}
	var out []hop
	for _, h := range all {
		found := false
		for _, o := range have {
			found = found || o.gateway == h.gateway && o.index == h.index
		}
		if !found {
			out = append(out, h)
		}
	}
	return out, nil
}
