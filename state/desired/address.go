package desired

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// parseAddress reads an address without a length.
func parseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		if p, perr := netip.ParsePrefix(s); perr == nil {
			return netip.Addr{}, fmt.Errorf("%s must be an address without a length; write %s", quote(s), p.Addr())
		}
		return netip.Addr{}, fmt.Errorf("%s is not an IP address%s", quote(s), because(err))
	case a.Zone() != "":
		return netip.Addr{}, fmt.Errorf("%s has a zone, which is not supported; write %s", quote(s), a.WithZone(""))
	case a.Is4In6():
		return netip.Addr{}, fmt.Errorf("%s is an IPv4 address in IPv6 form; write %s", quote(s), a.Unmap())
	}
	return a, nil
}

// parseSubnetAddress reads an address with the length of its subnet.
func parseSubnetAddress(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, aerr := parseAddress(s); aerr == nil {
			usual := 24
			if a.Is6() {
				usual = 64
			}
			return netip.Prefix{}, fmt.Errorf("%s must have the length of its subnet, as in %s/%d", quote(s), a, usual)
		} else if !strings.Contains(s, "/") {
			return netip.Prefix{}, aerr
		}
		return netip.Prefix{}, fmt.Errorf("%s is not an IP address with a length%s", quote(s), because(err))
	}
	return unmapped(s, p)
}

// parseCIDR reads a range of addresses in its canonical form. For one with bits
// beyond its length the masked one is given besides the error.
func parseCIDR(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, aerr := parseAddress(s); aerr == nil {
			return netip.Prefix{}, fmt.Errorf("%s must have a length; write %s/%d for this address alone", quote(s), a, a.BitLen())
		} else if !strings.Contains(s, "/") {
			return netip.Prefix{}, fmt.Errorf("%s is not a CIDR such as 10.244.0.0/16", quote(s))
		}
		return netip.Prefix{}, fmt.Errorf("%s is not a CIDR%s", quote(s), because(err))
	}
	if p, err = unmapped(s, p); err != nil {
		return p, err
	}
	if m := p.Masked(); m != p {
		return m, fmt.Errorf("%s has bits set beyond /%d; did you mean %s?", quote(s), p.Bits(), m)
	}
	return p, nil
}

// parseRange is parseCIDR for a range that is plumb's to route or to announce.
func parseRange(s string) (netip.Prefix, error) {
	p, err := parseCIDR(s)
	if err == nil && p.Addr().IsMulticast() {
		return netip.Prefix{}, fmt.Errorf("%s is a multicast range; use a unicast one", quote(s))
	}
	return p, err
}

// parseAddressOrCIDR reads a CIDR, or an address, which stands for itself alone.
func parseAddressOrCIDR(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		return parseCIDR(s)
	}
	a, err := parseAddress(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// parseIPv4 reads an identifier in the form of an IPv4 address.
func parseIPv4(s string) (netip.Addr, error) {
	a, err := parseAddress(s)
	if err == nil && (!a.Is4() || a.IsUnspecified()) {
		return netip.Addr{}, fmt.Errorf("%s must be an IPv4 address other than 0.0.0.0", quote(s))
	}
	return a, err
}

// parseHost reads an address that one host can have.
func parseHost(s string) (netip.Addr, error) {
	a, err := parseAddress(s)
	if err == nil {
		err = hostAddress(s, a)
	}
	if err != nil {
		return netip.Addr{}, err
	}
	return a, nil
}

func hostAddress(s string, a netip.Addr) error {
	what := ""
	switch {
	case a.IsUnspecified():
		what = "the unspecified address"
	case a.IsMulticast():
		what = "a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		what = "the broadcast address"
	default:
		return nil
	}
	return fmt.Errorf("%s is %s; use one that a host can have", quote(s), what)
}

// parseNodeAddress reads an address by which other nodes reach this one, with
// the length of its subnet.
func parseNodeAddress(s string) (netip.Prefix, error) {
	p, err := parseSubnetAddress(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	a := p.Addr()
	if a.IsLoopback() {
		return netip.Prefix{}, fmt.Errorf("%s is a loopback address; use one that other nodes can reach", quote(s))
	}
	if err := hostAddress(s, a); err != nil {
		return netip.Prefix{}, err
	}
	// RFC 3021 and RFC 6164: the two addresses of a point-to-point link are both
	// hosts'.
	if p.Bits() < a.BitLen()-1 && p.Masked().Addr() == a {
		return netip.Prefix{}, fmt.Errorf("%s is the address of the network itself; use the node's own address", quote(s))
	}
	return p, nil
}

func unmapped(s string, p netip.Prefix) (netip.Prefix, error) {
	if p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%s is IPv4 in IPv6 form; write it as IPv4", quote(s))
	}
	return p, nil
}

// because gives the last part of an error of netip, which repeats its input
// before it.
func because(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, "): "); i >= 0 {
		return ": " + text[i+3:]
	}
	return ""
}

// parseSpan reads FIRST-LAST, or one number that is both.
func parseSpan(s string, lo, hi uint64) (first, last uint64, err error) {
	a, b, two := strings.Cut(s, "-")
	if !two {
		b = a
	}
	first, err1 := strconv.ParseUint(a, 10, 16)
	last, err2 := strconv.ParseUint(b, 10, 16)
	switch err := errors.Join(err1, err2); {
	case err != nil:
		return 0, 0, fmt.Errorf("%s must be FIRST-LAST, both from %d to %d", quote(s), lo, hi)
	case first < lo || last > hi:
		return 0, 0, fmt.Errorf("%s must lie within %d-%d", quote(s), lo, hi)
	case first > last:
		return 0, 0, fmt.Errorf("%s ends before it begins; did you mean %d-%d?", quote(s), last, first)
	}
	return first, last, nil
}

func parsePortRange(s string) (PortRange, error) {
	first, last, err := parseSpan(s, 1, 65535)
	return PortRange{uint16(first), uint16(last)}, err
}

// lengths are those of prefixes, both included.
type lengths struct{ min, max int }

func parseLengths(s string) (lengths, error) {
	first, last, err := parseSpan(s, 0, 128)
	return lengths{int(first), int(last)}, err
}
