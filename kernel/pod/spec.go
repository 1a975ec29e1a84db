// Package pod wires one pod to the node: a veth whose one end is in the pod's
// network namespace, with addresses, routes and neighbours that lead everything
// to the other end, on the host. The host's route to the pod is not made here:
// it is rendered from the pod's endpoint record like every route of plumb's.
package pod

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/plumbnet/plumb/state"
)

// gateway4 is every pod's IPv4 gateway. No interface has the address: the pod
// knows its MAC address by a permanent neighbour entry, and for whoever asks
// nevertheless the host end's proxy ARP answers, if the node has a default route.
var gateway4 = netip.MustParseAddr("169.254.1.1")

// gateway6 is every pod's IPv6 gateway: the link-local address that the kernel
// makes of state.HostEndMAC (RFC 4291, appendix A).
var gateway6 = netip.MustParseAddr("fe80::ecee:eeff:feee:eeee")

// Spec says what to wire.
type Spec struct {
	HostEnd   string       // the interface on the host, HostEndName gives it
	IfName    string       // the interface in the pod: eth0
	NetNS     string       // the pod's namespace: /proc/123/ns/net, /run/netns/x
	Addresses []netip.Addr // the pod's, of either family or both
	MTU       int          // of both ends; 0: the kernel's default
	// Sysctls are the host end's, as the endpoint's rendering has them. They are
	// set before the links come up.
	Sysctls []state.Sysctl
}

// Gateway gives the pod's gateway in the family of an address.
func Gateway(like netip.Addr) netip.Addr {
	if like.Is4() {
		return gateway4
	}
	return gateway6
}

// PodMAC is the MAC address of the pod's end.
func (s Spec) PodMAC() net.HardwareAddr { return podMAC(s.HostEnd) }

// HostEndName is the name of a pod's host end: state.HostEndPrefix and 11 hex
// digits of a hash, 15 characters, as long as an interface's name can be.
func HostEndName(containerID, ifName string) string {
	sum := sha256.Sum256([]byte(containerID + "\x00" + ifName))
	return state.HostEndPrefix + hex.EncodeToString(sum[:])[:11]
}

// podMAC is the address of the pod's end: of no vendor (locally administered),
// and the same whenever the same pod is wired.
func podMAC(hostEnd string) net.HardwareAddr {
	sum := sha256.Sum256([]byte("pod's end of " + hostEnd))
	mac := net.HardwareAddr(sum[:6])
	mac[0] = mac[0]&^1 | 2
	return mac
}

func (s Spec) validate() error {
	var errs []error
	if !strings.HasPrefix(s.HostEnd, state.HostEndPrefix) {
		errs = append(errs, fmt.Errorf("host end %q does not begin with %s", s.HostEnd, state.HostEndPrefix))
	}
	for _, name := range []string{s.HostEnd, s.IfName} {
		if name == "" || len(name) > 15 || strings.ContainsAny(name, "/: \t\n") {
			errs = append(errs, fmt.Errorf("%q is no interface's name", name))
		}
	}
	if len(s.Addresses) == 0 {
		errs = append(errs, errors.New("no addresses"))
	}
	for _, a := range s.Addresses {
		if !a.IsValid() || a.Is4In6() || a.Zone() != "" {
			errs = append(errs, fmt.Errorf("%q is no address for a pod", a))
		}
	}
	return errors.Join(errs...)
}

func (s Spec) has4() bool { return slices.ContainsFunc(s.Addresses, netip.Addr.Is4) }
func (s Spec) has6() bool { return slices.ContainsFunc(s.Addresses, netip.Addr.Is6) }

// gateways gives the pod's gateway in each of the pod's families.
func (s Spec) gateways() []netip.Addr {
	var out []netip.Addr
	if s.has4() {
		out = append(out, gateway4)
	}
	if s.has6() {
		out = append(out, gateway6)
	}
	return out
}
