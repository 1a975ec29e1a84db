package pod

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// Wire makes the veth and all that is in the pod. The host is the network
// namespace of the calling thread. Where it cannot finish, or ctx ends, it takes
// back what it did and gives the error; what it found in its place stays.
func Wire(ctx context.Context, s Spec) error {
	if err := s.validate(); err != nil {
		return fmt.Errorf("wiring %s: %w", s.HostEnd, err)
	}
	w, err := open(s)
	if err != nil {
		return fmt.Errorf("wiring %s: %w", s.HostEnd, err)
	}
	defer w.close()
	if err := w.run(ctx); err != nil {
		return fmt.Errorf("wiring %s: %w", s.HostEnd, errors.Join(err, w.takeBack()))
	}
	return nil
}

// Unwire removes a host end, and with it the pod's end. One that is not there
// is no error.
func Unwire(hostEnd string) error {
	if !strings.HasPrefix(hostEnd, state.HostEndPrefix) {
		return fmt.Errorf("unwiring %s: not plumb's", hostEnd)
	}
	host, err := rtnl.Open()
	if err != nil {
		return fmt.Errorf("unwiring %s: %w", hostEnd, err)
	}
	defer host.Close()
	// The pod's namespace may end at any moment, and takes the veth with it.
	if err := send(host, delLink(hostEnd)); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("unwiring %w", err)
	}
	return nil
}

// wiring is one call of Wire. Its sockets are in the two namespaces, so that no
// thread need be in the pod's.
type wiring struct {
	Spec
	ns        *os.File
	host, pod *rtnl.Socket
	hostEnd   int32 // the devices' indexes; 0: not made yet
	podEnd    int32
	mac       net.HardwareAddr // of the host end
}

func open(s Spec) (*wiring, error) {
	mac, err := net.ParseMAC(state.HostEndMAC)
	if err != nil {
		return nil, err
	}
	ns, err := os.Open(s.NetNS)
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	w := &wiring{Spec: s, ns: ns, mac: mac}
	if w.host, err = rtnl.Open(); err != nil {
		w.close()
		return nil, err
	}
	if err := inside(ns, func() (err error) { w.pod, err = rtnl.Open(); return err }); err != nil {
		w.close()
		return nil, fmt.Errorf("network namespace %s: %w", s.NetNS, err)
	}
	return w, nil
}

func (w *wiring) close() {
	if w.pod != nil {
		w.pod.Close()
	}
	if w.host != nil {
		w.host.Close()
	}
	w.ns.Close()
}

// run goes through the steps. The parameters come before the links go up, since
// an IPv6 address is made, and put to the test, when its link does.
func (w *wiring) run(ctx context.Context) error {
	done, err := takeTurn(ctx)
	if err != nil {
		return err
	}
	defer func() { done() }()
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"making the veth", w.makeVeth},
		{"host's sysctls", w.setHostSysctls},
		{"pod's sysctls", w.setPodSysctls},
		{"host end", w.setUpHostEnd},
		{"in the pod", w.setUpPod},
		{"turn", func() error { done(); done = func() {}; return nil }}, // what follows is done, or waits, without that lock
		{"IPv6 addresses", func() error { return w.settle(ctx) }},
		// The last step: unlike the others it would not be undone by removing the veth.
		{"in the pod", func() error { return send(w.pod, setUp("setting lo up", loopback)) }},
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func (w *wiring) makeVeth() error {
	if err := send(w.host, newVeth(w.Spec, w.mac, w.PodMAC(), int(w.ns.Fd()))); errors.Is(err, unix.EEXIST) {
		return w.whichExists(err)
	} else if err != nil {
		return err
	}
	var err error
	if w.hostEnd, err = w.host.Names().Index(w.HostEnd); err != nil {
		return fmt.Errorf("%s: %w", w.HostEnd, err)
	}
	if w.podEnd, err = w.pod.Names().Index(w.IfName); err != nil {
		return fmt.Errorf("pod's %s: %w", w.IfName, err)
	}
	return nil
}

// whichExists says which of the two names is taken; the kernel does not.
func (w *wiring) whichExists(err error) error {
	if _, there := w.host.Names().Index(w.HostEnd); there == nil {
		return fmt.Errorf("interface %s: %w", w.HostEnd, err)
	}
	return fmt.Errorf("interface %s in %s: %w", w.IfName, w.NetNS, err)
}

// setUpHostEnd sets the host end up. It has the IPv6 gateway's address by its MAC
// address, but the kernel makes it only when the link has a carrier, which may be
// a while: so it is added, and made again by the kernel whenever the link was down.
func (w *wiring) setUpHostEnd() error {
	var list []request
	if w.has6() {
		list = append(list, addressesByMAC("IPv6 addresses by MAC address", w.hostEnd))
	}
	list = append(list, setUp("setting it up", w.hostEnd))
	if w.has6() {
		list = append(list, addAddress(gateway6.String(), w.hostEnd, netip.PrefixFrom(gateway6, 64), unix.NLM_F_REPLACE))
	}
	return send(w.host, list...)
}

// setUpPod sets the pod's end up and gives it its addresses, each alone in its
// subnet: nothing is on the pod's link but the host. The gateway is made
// reachable before it is the gateway: its neighbour entry is permanent, so that
// it works on a node without a default route, where proxy ARP does not answer
// (arp_process, net/ipv4/arp.c: only for what is routed through another
// interface), and the first packet need not wait.
func (w *wiring) setUpPod() error {
	list := []request{setUp("setting "+w.IfName+" up", w.podEnd)}
	for _, a := range w.Addresses {
		list = append(list, addAddress("address "+a.String(), w.podEnd, single(a), unix.NLM_F_EXCL))
	}
	for _, g := range w.gateways() {
		list = append(list, addNeighbour("neighbour "+g.String(), w.podEnd, g, w.mac))
		if g.Is4() {
			list = append(list, addRoute("route to "+g.String(), w.podEnd, single(g), netip.Addr{}))
		}
		list = append(list, addRoute("default route via "+g.String(), w.podEnd, everything(g), g))
	}
	return send(w.pod, list...)
}

// takeBack removes the veth, if it is this wiring's own, and with it all that
// was set on either end.
func (w *wiring) takeBack() error {
	if w.hostEnd == 0 {
		return nil
	}
	if err := send(w.host, delLink(w.HostEnd)); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing it again: %w", err)
	}
	return nil
}
