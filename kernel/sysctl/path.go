package sysctl

import (
	"strings"

	"golang.org/x/sys/unix"
)

// The switches that turn forwarding on for the node. Writing a new value to one
// sets `forwarding` of every interface to it (inet_forward_change,
// net/ipv4/devinet.c; addrconf_fixup_forwarding, net/ipv6/addrconf.c).
const (
	ipForward   = "net/ipv4/ip_forward"
	allForward4 = "net/ipv4/conf/all/forwarding" // the same variable
	allForward6 = "net/ipv6/conf/all/forwarding"
)

// switchFamily gives the address family whose forwarding path switches for all
// interfaces; 0 where path is no such switch.
func switchFamily(path string) uint8 {
	switch path {
	case ipForward, allForward4:
		return unix.AF_INET
	case allForward6:
		return unix.AF_INET6
	}
	return 0
}

// device takes net/ipv4/conf/eth0/proxy_arp and net/ipv6/neigh/eth0/proxy_delay
// apart: the family, the interface, the key. For a path of another shape, dev is
// empty; for one that stands for all interfaces it is "all" or "default".
func device(path string) (family uint8, dev, key string) {
	rest, ok := strings.CutPrefix(path, "net/ipv4/")
	family = unix.AF_INET
	if !ok {
		if rest, ok = strings.CutPrefix(path, "net/ipv6/"); !ok {
			return 0, "", ""
		}
		family = unix.AF_INET6
	}
	if rest, ok = cutEither(rest, "conf/", "neigh/"); !ok {
		return 0, "", ""
	}
	dev, key, ok = strings.Cut(rest, "/")
	if !ok {
		return 0, "", ""
	}
	return family, dev, key
}

func cutEither(s, a, b string) (string, bool) {
	if rest, ok := strings.CutPrefix(s, a); ok {
		return rest, true
	}
	return strings.CutPrefix(s, b)
}

// ofInterface says whether path belongs to one interface, and goes with it.
func ofInterface(path string) bool {
	_, dev, _ := device(path)
	return dev != "" && dev != "all" && dev != "default"
}

// forwardingOf gives the family of an interface's own forwarding switch, else 0.
func forwardingOf(path string) uint8 {
	if family, _, key := device(path); key == "forwarding" && ofInterface(path) {
		return family
	}
	return 0
}

// Silent says that the kernel announces no change of the parameter: NETCONF has
// four of an interface's, and the switches of the node (include/uapi/linux/netconf.h).
func (k *Kind) Silent(path string) bool {
	if switchFamily(path) != 0 {
		return false
	}
	switch family, _, key := device(path); key {
	case "forwarding":
		return false
	case "rp_filter", "proxy_arp":
		return family != unix.AF_INET
	case "proxy_ndp":
		return family != unix.AF_INET6
	}
	return true
}
