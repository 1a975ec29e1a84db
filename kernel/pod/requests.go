package pod

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
)

// loopback is the index of lo in every network namespace (LOOPBACK_IFINDEX,
// include/net/net_namespace.h).
const loopback = 1

// vethInfoPeer is VETH_INFO_PEER, include/uapi/linux/veth.h.
const vethInfoPeer = 1

// request is one message to rtnetlink, and what it is for.
type request struct {
	what       string
	typ, flags uint16
	body       func(*rtnl.Encoder)
}

// send carries out several requests by one datagram, and gives the first error:
// the kernel carries out the later ones even so, but in vain.
func send(s *rtnl.Socket, list ...request) error {
	errs := make([]error, len(list))
	b := s.Batch()
	b.Failed = func(id int, err error) { errs[id] = err }
	b.Lost = func(id int) { errs[id] = rtnl.ErrLost }
	for i, r := range list {
		r.body(b.Message(r.typ, r.flags, i))
	}
	b.Flush()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("%s: %w", list[i].what, err)
		}
	}
	return nil
}

const create = unix.NLM_F_CREATE | unix.NLM_F_EXCL

// newVeth makes both ends with their MAC addresses. Set at creation they are
// left alone by udev, whose MACAddressPolicy changes those that the kernel drew.
func newVeth(s Spec, mac, podMAC []byte, netNS int) request {
	end := func(e *rtnl.Encoder, name string, mac []byte) {
		ifinfo(e, 0, 0)
		e.Attr(unix.IFLA_IFNAME, append([]byte(name), 0))
		e.Attr(unix.IFLA_ADDRESS, mac)
		if s.MTU != 0 {
			e.AttrUint32(unix.IFLA_MTU, uint32(s.MTU))
		}
	}
	return request{"veth", unix.RTM_NEWLINK, create, func(e *rtnl.Encoder) {
		end(e, s.HostEnd, mac)
		info := e.Nest(unix.IFLA_LINKINFO)
		e.Attr(unix.IFLA_INFO_KIND, []byte("veth"))
		data := e.Nest(unix.IFLA_INFO_DATA)
		peer := e.Nest(vethInfoPeer)
		end(e, s.IfName, podMAC)
		e.AttrUint32(unix.IFLA_NET_NS_FD, uint32(netNS))
		e.EndNest(peer)
		e.EndNest(data)
		e.EndNest(info)
	}}
}

func setUp(what string, index int32) request {
	return request{what, unix.RTM_NEWLINK, 0, func(e *rtnl.Encoder) { ifinfo(e, index, unix.IFF_UP) }}
}

// addressesByMAC has the device make its link-local address of its MAC address,
// where the node makes them otherwise, or none: the gateway's comes so. (The
// parameter addr_gen_mode needs the lock of the network devices even to be read.)
func addressesByMAC(what string, index int32) request {
	return request{what, unix.RTM_NEWLINK, 0, func(e *rtnl.Encoder) {
		ifinfo(e, index, 0)
		spec := e.Nest(unix.IFLA_AF_SPEC)
		six := e.Nest(unix.AF_INET6)
		e.Attr(unix.IFLA_INET6_ADDR_GEN_MODE, []byte{0}) // IN6_ADDR_GEN_MODE_EUI64
		e.EndNest(six)
		e.EndNest(spec)
	}}
}

func delLink(name string) request {
	return request{name, unix.RTM_DELLINK, 0, func(e *rtnl.Encoder) {
		ifinfo(e, 0, 0)
		e.Attr(unix.IFLA_IFNAME, append([]byte(name), 0))
	}}
}

// addAddress adds an address; an IPv6 one is not put to the test first (duplicate
// address detection): nobody else is on the link.
func addAddress(what string, index int32, p netip.Prefix, flags uint16) request {
	return request{what, unix.RTM_NEWADDR, unix.NLM_F_CREATE | flags, func(e *rtnl.Encoder) {
		e.Bytes(family(p.Addr()), uint8(p.Bits()), 0, 0)
		e.Uint32(uint32(index))
		e.AttrAddr(unix.IFA_LOCAL, p.Addr())
		e.AttrAddr(unix.IFA_ADDRESS, p.Addr())
		if p.Addr().Is6() {
			e.AttrUint32(unix.IFA_FLAGS, unix.IFA_F_NODAD)
		}
	}}
}

// addNeighbour adds a permanent one.
func addNeighbour(what string, index int32, a netip.Addr, mac []byte) request {
	return request{what, unix.RTM_NEWNEIGH, unix.NLM_F_CREATE | unix.NLM_F_REPLACE, func(e *rtnl.Encoder) {
		e.Bytes(family(a), 0, 0, 0)
		e.Uint32(uint32(index))
		e.Uint16(unix.NUD_PERMANENT)
		e.Bytes(0, 0)
		e.AttrAddr(unix.NDA_DST, a)
		e.Attr(unix.NDA_LLADDR, mac)
	}}
}

// addRoute adds a route of the main table: via gateway, or to the link itself.
func addRoute(what string, index int32, dst netip.Prefix, gateway netip.Addr) request {
	scope := uint8(unix.RT_SCOPE_UNIVERSE)
	if !gateway.IsValid() {
		scope = unix.RT_SCOPE_LINK
	}
	return request{what, unix.RTM_NEWROUTE, create, func(e *rtnl.Encoder) {
		e.Bytes(family(dst.Addr()), uint8(dst.Bits()), 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, scope, unix.RTN_UNICAST)
		e.Uint32(0)
		if dst.Bits() > 0 {
			e.AttrAddr(unix.RTA_DST, dst.Addr())
		}
		e.AttrUint32(unix.RTA_OIF, uint32(index))
		if gateway.IsValid() {
			e.AttrAddr(unix.RTA_GATEWAY, gateway)
		}
	}}
}

// lookUp asks what the kernel would do with a packet to a (ip route get). Where
// index is not 0 the packet leaves by that device.
func lookUp(s *rtnl.Socket, a netip.Addr, index int32) (routeType uint8, err error) {
	b := s.Batch()
	b.Failed = func(_ int, e error) { err = e }
	b.Reply = func(_ int, m rtnl.Message) {
		if m.Type == unix.RTM_NEWROUTE && len(m.Data) >= unix.SizeofRtMsg {
			routeType = m.Data[7]
		}
	}
	e := b.Message(unix.RTM_GETROUTE, 0, 0)
	e.Bytes(family(a), uint8(a.BitLen()), 0, 0, 0, 0, 0, 0)
	e.Uint32(0)
	e.AttrAddr(unix.RTA_DST, a)
	if index != 0 {
		e.AttrUint32(unix.RTA_OIF, uint32(index))
	}
	b.Flush()
	return routeType, err
}

// ifinfo writes the header of a message about a device (struct ifinfomsg).
func ifinfo(e *rtnl.Encoder, index int32, set uint32) {
	e.Bytes(unix.AF_UNSPEC, 0, 0, 0)
	e.Uint32(uint32(index))
	e.Uint32(set)
	e.Uint32(set) // those flags alone are changed
}

func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func everything(like netip.Addr) netip.Prefix {
	if like.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// device is what is asked about one.
type device struct {
	index, peer int32 // the peer's index, in the namespace where that is
	up          bool
	mtu         int
	kind        string
}

// find gives the device with this name; unix.ENODEV where there is none.
func find(s *rtnl.Socket, name string) (d device, err error) {
	b := s.Batch()
	b.Failed = func(_ int, e error) { err = e }
	b.Reply = func(_ int, m rtnl.Message) {
		if m.Type == unix.RTM_NEWLINK && len(m.Data) >= unix.SizeofIfInfomsg {
			d = decodeDevice(m.Data)
		}
	}
	e := b.Message(unix.RTM_GETLINK, 0, 0)
	ifinfo(e, 0, 0)
	e.Attr(unix.IFLA_IFNAME, append([]byte(name), 0))
	b.Flush()
	return d, err
}

func decodeDevice(b []byte) device {
	d := device{
		index: int32(binary.NativeEndian.Uint32(b[4:])),
		up:    binary.NativeEndian.Uint32(b[8:])&unix.IFF_UP != 0,
	}
	for a, rest, ok := rtnl.NextAttr(b[unix.SizeofIfInfomsg:]); ok; a, rest, ok = rtnl.NextAttr(rest) {
		switch a.Type {
		case unix.IFLA_MTU:
			d.mtu = int(a.Uint32())
		case unix.IFLA_LINK:
			d.peer = int32(a.Uint32())
		case unix.IFLA_LINKINFO:
			for i, rest, ok := rtnl.NextAttr(a.Data); ok; i, rest, ok = rtnl.NextAttr(rest) {
				if i.Type == unix.IFLA_INFO_KIND {
					d.kind = i.String()
				}
			}
		}
	}
	return d
}
