package pod

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/state"
)

// addAddresses gives the pod its addresses, each alone in its subnet: nothing is
// on the pod's link but the host.
func (w *wiring) addAddresses() error {
	for _, a := range w.Addresses {
		if err := w.pod.AddrAdd(w.podEnd, addr(a, a.BitLen())); err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
	}
	return nil
}

// addGateway4 makes the gateway reachable before it is the gateway. Its
// neighbour entry is permanent, so that it works on a node without a default
// route, where proxy ARP does not answer (arp_process, net/ipv4/arp.c: only for
// what is routed through another interface), and the first packet need not wait.
func (w *wiring) addGateway4() error {
	if !w.has4() {
		return nil
	}
	index := w.podEnd.Attrs().Index
	if err := w.addNeighbour(index, gateway4); err != nil {
		return err
	}
	if err := w.pod.RouteAdd(&netlink.Route{LinkIndex: index, Dst: host(gateway4), Scope: netlink.SCOPE_LINK}); err != nil {
		return fmt.Errorf("route to %s: %w", gateway4, err)
	}
	return w.addDefault(index, gateway4, "0.0.0.0/0")
}

// addGateway6 does so for IPv6. The host end has the gateway's address by its
// MAC address, but the kernel makes it only when the link has a carrier, which
// may be a while: so it is added, and made again by the kernel whenever the link
// was down.
func (w *wiring) addGateway6() error {
	if !w.has6() {
		return nil
	}
	if err := w.host.AddrReplace(w.hostEnd, addr(gateway6, 64)); err != nil {
		return fmt.Errorf("host end's %s: %w", gateway6, err)
	}
	index := w.podEnd.Attrs().Index
	if err := w.addNeighbour(index, gateway6); err != nil {
		return err
	}
	return w.addDefault(index, gateway6, "::/0")
}

func (w *wiring) addNeighbour(index int, gateway netip.Addr) error {
	mac, err := net.ParseMAC(state.HostEndMAC)
	if err == nil {
		err = w.pod.NeighSet(&netlink.Neigh{
			LinkIndex:    index,
			IP:           gateway.AsSlice(),
			HardwareAddr: mac,
			State:        netlink.NUD_PERMANENT,
		})
	}
	if err != nil {
		return fmt.Errorf("neighbour %s: %w", gateway, err)
	}
	return nil
}

func (w *wiring) addDefault(index int, gateway netip.Addr, dst string) error {
	_, all, err := net.ParseCIDR(dst)
	if err == nil {
		err = w.pod.RouteAdd(&netlink.Route{LinkIndex: index, Dst: all, Gw: gateway.AsSlice()})
	}
	if err != nil {
		return fmt.Errorf("default route via %s: %w", gateway, err)
	}
	return nil
}

// addr is an address to be added; an IPv6 one is not put to the test first
// (duplicate address detection): nobody else is on the link.
func addr(a netip.Addr, bits int) *netlink.Addr {
	out := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}}
	if a.Is6() {
		out.Flags = unix.IFA_F_NODAD
	}
	return out
}

func host(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}
