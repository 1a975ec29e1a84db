package route

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/state"
)

// again tries once more what was refused because nothing led to its gateway, or
// something else did: the route that does may have come, or changed, later in the
// same list. So it is with the host route to an IPv6 gateway that is on-link by a
// flag (ip6_route_check_nh_onlink, net/ipv6/route.c).
func (a *apply) again() {
	var list []int
	for i := range a.changes {
		c := &a.changes[i]
		if c.Action != state.Delete && joins(&c.After) && noWay(a.errs[i]) {
			list = append(list, i)
		}
	}
	if len(list) == 0 || len(list) == len(a.changes) { // none, or no other that could help
		return
	}
	for _, i := range list {
		a.errs[i] = nil
	}
	a.unclear, a.sweep = list, nil
	a.look()
	a.sweepAll()
}

func noWay(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH)
}
