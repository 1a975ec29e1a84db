package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Marks, states and address types are numbers of the host's byte order.
func native32(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

func parseProtocol(s string) (byte, error) {
	if n, ok := protocols().number(s); ok {
		return byte(n), nil
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		return 0, fmt.Errorf("unknown protocol %q: give its number", s)
	}
	return byte(n), nil
}

func parseMark(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 0, 32)
	if err != nil {
		return 0, fmt.Errorf("want a mark, not %q", s)
	}
	return uint32(n), nil
}

// parsePorts reads PORT or LOW-HIGH; low == high for one port.
func parsePorts(s string) (low, high uint16, err error) {
	from, to, isRange := strings.Cut(s, "-")
	l, err := strconv.ParseUint(from, 10, 16)
	if err != nil {
		return 0, 0, fmt.Errorf("want a port or a range of ports, not %q", s)
	}
	if !isRange {
		return uint16(l), uint16(l), nil
	}
	h, err := strconv.ParseUint(to, 10, 16)
	if err != nil || h <= l {
		return 0, 0, fmt.Errorf("want a port or a range of ports, not %q", s)
	}
	return uint16(l), uint16(h), nil
}

func big16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

// header describes the addresses in the header of a family.
type header struct {
	family       byte
	size         int
	saddr, daddr uint32 // offsets
}

func headerOf(word string) header {
	if word == "ip6" {
		return header{unix.NFPROTO_IPV6, 16, 8, 24}
	}
	return header{unix.NFPROTO_IPV4, 4, 12, 16}
}

// protocolOffset is where an IPv4 header has its protocol.
const protocolOffset = 9

func (c *compiler) network(word string) error {
	h := headerOf(word)
	field := c.next()
	var offset uint32
	switch {
	case field == "saddr":
		offset = h.saddr
	case field == "daddr":
		offset = h.daddr
	case field == "protocol" && word == "ip":
		op := c.op()
		p, err := parseProtocol(c.next())
		if err != nil {
			return err
		}
		if err := c.needFamily(h.family); err != nil {
			return err
		}
		c.emit(networkLoad(protocolOffset, 1), &expr.Cmp{Op: op, Register: 1, Data: []byte{p}})
		return c.setTransport(op, p)
	default:
		return errors.New("not understood")
	}
	op := c.op()
	if err := c.needFamily(h.family); err != nil {
		return err
	}
	return c.address(h, offset, op, c.next())
}

func networkLoad(offset, n uint32) *expr.Payload {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: n}
}

func (c *compiler) address(h header, offset uint32, op expr.CmpOp, s string) error {
	if set, ok := strings.CutPrefix(s, "@"); ok {
		if !validName(set) {
			return errors.New("want a set's name")
		}
		c.emit(networkLoad(offset, uint32(h.size)), &expr.Lookup{SourceRegister: 1, SetName: set, Invert: op == expr.CmpOpNeq})
		return nil
	}
	p, err := parsePrefix(s)
	if err != nil || p.Addr().BitLen() != h.size*8 {
		return fmt.Errorf("want a set, an address or a prefix of the family, not %q", s)
	}
	// Whole bytes are compared as they are, as nft does since 0.9.4.
	if n := uint32(p.Bits() / 8); p.Bits()%8 == 0 {
		c.emit(networkLoad(offset, n), &expr.Cmp{Op: op, Register: 1, Data: p.Addr().AsSlice()[:n]})
		return nil
	}
	mask := make([]byte, h.size)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	c.emit(
		networkLoad(offset, uint32(h.size)),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(h.size), Mask: mask, Xor: make([]byte, h.size)},
		&expr.Cmp{Op: op, Register: 1, Data: p.Addr().AsSlice()})
	return nil
}

// parsePrefix reads an address or a prefix of at least one bit.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{}, errors.New("zone")
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err == nil && p.Bits() == 0 {
		err = errors.New("matches everything")
	}
	return p.Masked(), err
}

func (c *compiler) ifname(key expr.MetaKey) error {
	op := c.op()
	s := c.next()
	name := strings.TrimSuffix(strings.TrimPrefix(s, `"`), `"`)
	if name == "" || len(name)+2 != len(s) {
		return fmt.Errorf("want a quoted name, not %q", s)
	}
	prefix, wild := strings.CutSuffix(name, "*")
	if prefix == "" || len(prefix) >= unix.IFNAMSIZ || strings.ContainsAny(prefix, "*\"\\") || isWord(prefix) == 0 {
		return fmt.Errorf("not an interface's name: %s", s)
	}
	data := []byte(prefix)
	if !wild { // with its padding, so that a longer name does not match
		data = append(data, make([]byte, unix.IFNAMSIZ-len(data))...)
	}
	c.emit(&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: data})
	return nil
}

func (c *compiler) port(proto string) error {
	offset, ok := ports().number(c.next())
	if !ok {
		return errors.New("want sport or dport")
	}
	op := c.op()
	low, high, err := parsePorts(c.next())
	if err != nil {
		return err
	}
	p, _ := protocols().number(proto)
	if c.l4proto != int(p) {
		if err := c.transport(expr.CmpOpEq, byte(p)); err != nil {
			return err
		}
	}
	c.emit(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2})
	switch {
	case low == high:
		c.emit(&expr.Cmp{Op: op, Register: 1, Data: big16(low)})
	case op == expr.CmpOpEq:
		c.emit(
			&expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: big16(low)},
			&expr.Cmp{Op: expr.CmpOpLte, Register: 1, Data: big16(high)})
	default:
		c.emit(&expr.Range{Op: op, Register: 1, FromData: big16(low), ToData: big16(high)})
	}
	return nil
}

func (c *compiler) masquerade() error {
	c.done = true
	m := &expr.Masq{}
	if c.accept("to") {
		ports, ok := strings.CutPrefix(c.next(), ":")
		if !ok {
			return errors.New("want :PORT or :LOW-HIGH")
		}
		min, max, err := c.toPorts(ports, 1)
		if err != nil {
			return err
		}
		m.ToPorts, m.RegProtoMin, m.RegProtoMax = true, min, max
	}
	flags, err := c.natFlags()
	m.Random = flags&unix.NF_NAT_RANGE_PROTO_RANDOM != 0
	m.FullyRandom = flags&unix.NF_NAT_RANGE_PROTO_RANDOM_FULLY != 0
	m.Persistent = flags&unix.NF_NAT_RANGE_PERSISTENT != 0
	c.emit(m)
	return err
}

// toPorts loads the ports to translate to, from register reg on.
func (c *compiler) toPorts(s string, reg uint32) (min, max uint32, err error) {
	if c.l4proto < 0 {
		return 0, 0, errors.New("ports need a match on the transport protocol before")
	}
	low, high, err := parsePorts(s)
	if err != nil {
		return 0, 0, err
	}
	c.emit(&expr.Immediate{Register: reg, Data: big16(low)})
	if low == high {
		return reg, reg, nil
	}
	c.emit(&expr.Immediate{Register: reg + 1, Data: big16(high)})
	return reg, reg + 1, nil
}

func (c *compiler) natFlags() (uint32, error) {
	if c.peek() == "" {
		return 0, nil
	}
	var bits uint32
	for s := range strings.SplitSeq(c.next(), ",") {
		bit, ok := natFlags().number(s)
		if !ok {
			return 0, fmt.Errorf("unknown flag %q", s)
		}
		bits |= bit
	}
	return bits, nil
}

func (c *compiler) snat() error {
	c.done = true
	family := c.next()
	if family != "ip" && family != "ip6" || !c.accept("to") {
		return errors.New("want ip to or ip6 to")
	}
	h := headerOf(family)
	if c.nfproto != 0 && c.nfproto != h.family {
		return errors.New("the rule is about the other family already")
	}
	addr, ports, err := parseTarget(c.next())
	if err != nil || addr.BitLen() != h.size*8 || addr.Zone() != "" {
		return errors.New("want an address of the family")
	}
	n := &expr.NAT{Type: expr.NATTypeSourceNAT, Family: uint32(h.family), RegAddrMin: 1, RegAddrMax: 1}
	c.emit(&expr.Immediate{Register: 1, Data: addr.AsSlice()})
	if ports != "" {
		if n.RegProtoMin, n.RegProtoMax, err = c.toPorts(ports, 2); err != nil {
			return err
		}
		n.Specified = true
	}
	flags, err := c.natFlags()
	n.Random = flags&unix.NF_NAT_RANGE_PROTO_RANDOM != 0
	n.FullyRandom = flags&unix.NF_NAT_RANGE_PROTO_RANDOM_FULLY != 0
	n.Persistent = flags&unix.NF_NAT_RANGE_PERSISTENT != 0
	c.emit(n)
	return err
}

// parseTarget reads ADDRESS, IPV4:PORTS, [IPV6] or [IPV6]:PORTS.
func parseTarget(s string) (addr netip.Addr, ports string, err error) {
	if in, bracket := strings.CutPrefix(s, "["); bracket {
		if s, ports, bracket = strings.Cut(in, "]"); !bracket {
			return netip.Addr{}, "", errors.New("no ]")
		}
	} else if i := strings.IndexByte(s, ':'); i >= 0 && i == strings.LastIndexByte(s, ':') {
		s, ports = s[:i], s[i:]
	}
	if addr, err = netip.ParseAddr(s); err != nil || ports == "" {
		return addr, "", err
	}
	if ports, ok := strings.CutPrefix(ports, ":"); ok && ports != "" {
		return addr, ports, nil
	}
	return netip.Addr{}, "", errors.New("no port after the address")
}
