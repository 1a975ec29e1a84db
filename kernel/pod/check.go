package pod

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/state"
)

// Check looks at what Wire made, besides the host end's own state (its MAC
// address, its parameters, the route to the pod), which is rendered. It gives
// what is missing or otherwise than it was made, in words; the error is that it
// could not look.
func Check(s Spec) (missing []string, err error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	w, err := open(s)
	if err != nil {
		return nil, err
	}
	defer w.close()
	c := checker{wiring: w}
	if w.hostEnd, err = w.host.LinkByName(s.HostEnd); err != nil {
		c.miss("host end %s: %v", s.HostEnd, err)
	}
	if w.podEnd, err = w.pod.LinkByName(s.IfName); err != nil {
		c.miss("interface %s in the pod: %v", s.IfName, err)
		return c.missing, nil
	}
	c.links()
	for _, step := range []func() error{c.addresses, c.neighbours, c.routes} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return c.missing, nil
}

type checker struct {
	*wiring
	missing []string
}

func (c *checker) miss(format string, args ...any) {
	c.missing = append(c.missing, fmt.Sprintf(format, args...))
}

func (c *checker) links() {
	pod := c.podEnd.Attrs()
	if pod.Flags&net.FlagUp == 0 {
		c.miss("interface %s in the pod is down", c.IfName)
	}
	if c.MTU != 0 && pod.MTU != c.MTU {
		c.miss("interface %s in the pod has MTU %d, not %d", c.IfName, pod.MTU, c.MTU)
	}
	if c.hostEnd == nil {
		return
	}
	// Indexes are of two namespaces, and each end says the other's.
	if host := c.hostEnd.Attrs(); c.podEnd.Type() != "veth" || host.ParentIndex != pod.Index || pod.ParentIndex != host.Index {
		c.miss("interface %s in the pod and host end %s are not the two ends of one veth", c.IfName, c.HostEnd)
	}
}

func (c *checker) addresses() error {
	list, err := c.pod.AddrList(c.podEnd, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("addresses in the pod: %w", err)
	}
	for _, a := range c.Addresses {
		if !slices.ContainsFunc(list, func(l netlink.Addr) bool { return addr(a, a.BitLen()).Equal(l) }) {
			c.miss("address %s on %s in the pod", a, c.IfName)
		}
	}
	if !c.has6() || c.hostEnd == nil {
		return nil
	}
	if list, err = c.host.AddrList(c.hostEnd, netlink.FAMILY_V6); err != nil {
		return fmt.Errorf("addresses of %s: %w", c.HostEnd, err)
	}
	if !slices.ContainsFunc(list, func(l netlink.Addr) bool { return l.IP.Equal(gateway6.AsSlice()) }) {
		c.miss("address %s, the pod's gateway, on host end %s", gateway6, c.HostEnd)
	}
	return nil
}

func (c *checker) neighbours() error {
	list, err := c.pod.NeighList(c.podEnd.Attrs().Index, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("neighbours in the pod: %w", err)
	}
	for _, gateway := range c.gateways() {
		if !slices.ContainsFunc(list, func(n netlink.Neigh) bool {
			return n.IP.Equal(gateway.AsSlice()) && n.State&netlink.NUD_PERMANENT != 0 && n.HardwareAddr.String() == state.HostEndMAC
		}) {
			c.miss("permanent neighbour %s lladdr %s in the pod", gateway, state.HostEndMAC)
		}
	}
	return nil
}

func (c *checker) routes() error {
	list, err := c.pod.RouteList(c.podEnd, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("routes in the pod: %w", err)
	}
	has := func(dst netip.Prefix, gateway netip.Addr) bool {
		return slices.ContainsFunc(list, func(r netlink.Route) bool {
			if r.Type != unix.RTN_UNICAST || prefix(r.Dst, dst) != dst {
				return false
			}
			return gateway.IsValid() && r.Gw.Equal(gateway.AsSlice()) || !gateway.IsValid() && r.Gw == nil
		})
	}
	for _, gateway := range c.gateways() {
		if all := netip.PrefixFrom(unspecified(gateway), 0); !has(all, gateway) {
			c.miss("default route via %s in the pod", gateway)
		}
		if only := netip.PrefixFrom(gateway, gateway.BitLen()); gateway.Is4() && !has(only, netip.Addr{}) {
			c.miss("route to %s dev %s in the pod", gateway, c.IfName)
		}
	}
	return nil
}

// gateways gives the pod's gateway in each of the pod's families.
func (c *checker) gateways() []netip.Addr {
	var out []netip.Addr
	if c.has4() {
		out = append(out, gateway4)
	}
	if c.has6() {
		out = append(out, gateway6)
	}
	return out
}

// prefix is a route's destination; the library gives none for some default
// routes, of which like says the family.
func prefix(n *net.IPNet, like netip.Prefix) netip.Prefix {
	if n == nil {
		return netip.PrefixFrom(unspecified(like.Addr()), 0)
	}
	a, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits)
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}
