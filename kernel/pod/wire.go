package pod

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/state"
)

// Wire makes the veth and all that is in the pod. The host is the network
// namespace of the process. Where it cannot finish, or ctx ends, it takes back
// what it did and gives the error; what it found in its place stays.
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
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("unwiring %s: %w", hostEnd, err)
	}
	defer host.Close()
	l, err := host.LinkByName(hostEnd)
	if err == nil {
		err = host.LinkDel(l)
	}
	// The pod's namespace may end at any moment, and takes the veth with it.
	if notFound := (netlink.LinkNotFoundError{}); err == nil || errors.As(err, &notFound) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("unwiring %s: %w", hostEnd, err)
}

// wiring is one call of Wire. Its handles are sockets in the two namespaces, so
// that no thread need be in the pod's.
type wiring struct {
	Spec
	ns        *os.File
	host, pod *netlink.Handle
	hostEnd   netlink.Link // nil: not made yet
	podEnd    netlink.Link
}

func open(s Spec) (*wiring, error) {
	ns, err := os.Open(s.NetNS)
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	w := &wiring{Spec: s, ns: ns}
	if w.host, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		w.close()
		return nil, fmt.Errorf("rtnetlink socket: %w", err)
	}
	if w.pod, err = netlink.NewHandleAt(netns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE); err != nil {
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
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"making the veth", w.makeVeth},
		{"host's sysctls", w.setHostSysctls},
		{"pod's sysctls", w.setPodSysctls},
		{"setting the links up", w.setUp},
		{"pod's addresses", w.addAddresses},
		{"IPv4 gateway", w.addGateway4},
		{"IPv6 gateway", w.addGateway6},
		{"IPv6 addresses", func() error { return w.settle(ctx) }},
		{"setting the pod's lo up", w.setLoopbackUp},
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

// makeVeth makes both ends with their MAC addresses. Set at creation they are
// left alone by udev, whose MACAddressPolicy changes those that the kernel drew.
func (w *wiring) makeVeth() error {
	mac, err := net.ParseMAC(state.HostEndMAC)
	if err != nil {
		return err
	}
	veth := netlink.NewVeth(netlink.NewLinkAttrs())
	veth.Name, veth.MTU, veth.HardwareAddr = w.HostEnd, w.MTU, mac
	veth.PeerName, veth.PeerMTU, veth.PeerHardwareAddr = w.IfName, uint32(w.MTU), podMAC(w.HostEnd)
	veth.PeerNamespace = netlink.NsFd(w.ns.Fd())
	if err := w.host.LinkAdd(veth); errors.Is(err, unix.EEXIST) {
		return w.whichExists(err)
	} else if err != nil {
		return err
	}
	w.hostEnd = veth
	if w.podEnd, err = w.pod.LinkByName(w.IfName); err != nil {
		return fmt.Errorf("pod's %s: %w", w.IfName, err)
	}
	return nil
}

// whichExists says which of the two names is taken; the kernel does not.
func (w *wiring) whichExists(err error) error {
	if _, there := w.host.LinkByName(w.HostEnd); there == nil {
		return fmt.Errorf("interface %s: %w", w.HostEnd, err)
	}
	return fmt.Errorf("interface %s in %s: %w", w.IfName, w.NetNS, err)
}

func (w *wiring) setUp() error {
	if err := w.host.LinkSetUp(w.hostEnd); err != nil {
		return err
	}
	if err := w.pod.LinkSetUp(w.podEnd); err != nil {
		return fmt.Errorf("pod's %s: %w", w.IfName, err)
	}
	return nil
}

// setLoopbackUp is the last step: unlike the others it would not be undone by
// removing the veth.
func (w *wiring) setLoopbackUp() error {
	lo, err := w.pod.LinkByName("lo")
	if err != nil {
		return err
	}
	return w.pod.LinkSetUp(lo)
}

// takeBack removes the veth, if it is this wiring's own, and with it all that
// was set on either end.
func (w *wiring) takeBack() error {
	if w.hostEnd == nil {
		return nil
	}
	if err := w.host.LinkDel(w.hostEnd); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing it again: %w", err)
	}
	return nil
}
