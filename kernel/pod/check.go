package pod

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// Check looks at what Wire made, besides the host end's own state (its MAC
// address, its parameters, the route to the pod), which is rendered. It gives
// what is missing or otherwise than it was made, in words; the error is that it
// could not look.
func Check(ctx context.Context, s Spec) (missing []string, err error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	w, err := open(s)
	if err != nil {
		return nil, err
	}
	defer w.close()
	c := checker{wiring: w, ctx: ctx}
	host, err := c.find(w.host, s.HostEnd, "host end "+s.HostEnd)
	if err != nil {
		return nil, err
	}
	inPod, err := c.find(w.pod, s.IfName, "interface "+s.IfName+" in the pod")
	if err != nil || inPod.index == 0 {
		return c.missing, err
	}
	w.hostEnd, w.podEnd = host.index, inPod.index
	c.links(host, inPod)
	for _, step := range []func() error{c.addresses, c.neighbours, c.routes} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return c.missing, nil
}

type checker struct {
	*wiring
	ctx     context.Context
	missing []string
}

func (c *checker) miss(format string, args ...any) {
	c.missing = append(c.missing, fmt.Sprintf(format, args...))
}

func (c *checker) find(s *rtnl.Socket, name, what string) (device, error) {
	d, err := find(s, name)
	if errors.Is(err, unix.ENODEV) {
		c.miss("%s: %v", what, err)
		return device{}, nil
	} else if err != nil {
		return device{}, fmt.Errorf("%s: %w", what, err)
	}
	return d, nil
}

func (c *checker) links(host, inPod device) {
	if !inPod.up {
		c.miss("interface %s in the pod is down", c.IfName)
	}
	if c.MTU != 0 && inPod.mtu != c.MTU {
		c.miss("interface %s in the pod has MTU %d, not %d", c.IfName, inPod.mtu, c.MTU)
	}
	// Indexes are of two namespaces, and each end says the other's.
	if host.index != 0 && (inPod.kind != "veth" || host.peer != inPod.index || inPod.peer != host.index) {
		c.miss("interface %s in the pod and host end %s are not the two ends of one veth", c.IfName, c.HostEnd)
	}
}

func (c *checker) addresses() error {
	list, err := addressesOf(c.ctx, c.pod, c.podEnd)
	if err != nil {
		return fmt.Errorf("addresses in the pod: %w", err)
	}
	for _, a := range c.Addresses {
		if !slices.Contains(list, single(a)) {
			c.miss("address %s on %s in the pod", a, c.IfName)
		}
	}
	if !c.has6() || c.hostEnd == 0 {
		return nil
	}
	if list, err = addressesOf(c.ctx, c.host, c.hostEnd); err != nil {
		return fmt.Errorf("addresses of %s: %w", c.HostEnd, err)
	}
	if !slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Addr() == gateway6 }) {
		c.miss("address %s, the pod's gateway, on host end %s", gateway6, c.HostEnd)
	}
	return nil
}

func (c *checker) neighbours() error {
	list, err := permanentNeighbours(c.ctx, c.pod, c.podEnd)
	if err != nil {
		return fmt.Errorf("neighbours in the pod: %w", err)
	}
	for _, gateway := range c.gateways() {
		if list[gateway] != c.mac.String() {
			c.miss("permanent neighbour %s lladdr %s in the pod", gateway, state.HostEndMAC)
		}
	}
	return nil
}

func (c *checker) routes() error {
	for _, gateway := range c.gateways() {
		list, err := routesBy(c.ctx, c.pod, family(gateway), c.podEnd)
		if err != nil {
			return fmt.Errorf("routes in the pod: %w", err)
		}
		if !slices.Contains(list, hop{everything(gateway), gateway}) {
			c.miss("default route via %s in the pod", gateway)
		}
		if gateway.Is4() && !slices.Contains(list, hop{single(gateway), netip.Addr{}}) {
			c.miss("route to %s dev %s in the pod", gateway, c.IfName)
		}
	}
	return nil
}
