package route

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/state"
)

// explain says in words what is wrong with a route that the kernel refused. The
// kernel's error stays in the chain.
func explain(r *state.Route, err error) error {
	var dev *deviceError
	switch {
	case errors.As(err, &dev):
		return err
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%s no longer exists: %w", interfaces(r), err)
	case errors.Is(err, unix.ENETDOWN):
		return fmt.Errorf("%s is down: %w", interfaces(r), err)
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH):
		return fmt.Errorf("%s is not on-link: %w", gateways(r), err)
	case errors.Is(err, unix.EINVAL) && r.Src.IsValid() && aboutSource(err):
		return fmt.Errorf("source address %s is not this node's: %w", r.Src, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("not permitted (CAP_NET_ADMIN is needed): %w", err)
	case errors.Is(err, unix.EACCES) && r.Dst.Addr().Is6():
		return fmt.Errorf("IPv6 is disabled on %s: %w", interfaces(r), err)
	}
	return fmt.Errorf("refused by the kernel: %w", err)
}

// aboutSource knows the kernel's words: "Invalid prefsrc address" for IPv4 (since
// Linux 6.12), "Invalid source address" for IPv6.
func aboutSource(err error) bool {
	return strings.Contains(err.Error(), "prefsrc") || strings.Contains(err.Error(), "source address")
}

func interfaces(r *state.Route) string {
	return list("interface", r, func(h state.NextHop) string { return h.Dev })
}

func gateways(r *state.Route) string {
	return list("next hop", r, func(h state.NextHop) string {
		if h.Gateway == (netip.Addr{}) {
			return "on " + h.Dev
		}
		return h.Gateway.String()
	})
}

// list names what the route's next hops have in one field: the kernel does not
// say which of them it means.
func list(word string, r *state.Route, field func(state.NextHop) string) string {
	hops := []state.NextHop{r.NextHop}
	if r.Multipath != "" {
		hops, _ = r.Multipath.Hops()
	}
	var names []string
	for _, h := range hops {
		if n := field(h); n != "" && (len(names) == 0 || names[len(names)-1] != n) {
			names = append(names, n)
		}
	}
	if len(names) > 1 {
		word = "one of " + word + "s"
	}
	return word + " " + strings.Join(names, ", ")
}
