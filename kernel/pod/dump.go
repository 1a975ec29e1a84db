package pod

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
)

// addressesOf gives the addresses of a device.
func addressesOf(ctx context.Context, s *rtnl.Socket, index int32) ([]netip.Prefix, error) {
	var out []netip.Prefix
	err := s.Dump(ctx, unix.RTM_GETADDR, func(e *rtnl.Encoder) {
		e.Bytes(unix.AF_UNSPEC, 0, 0, 0)
		e.Uint32(uint32(index))
	}, func(m rtnl.Message) error {
		if len(m.Data) < unix.SizeofIfAddrmsg || int32(binary.NativeEndian.Uint32(m.Data[4:])) != index {
			return nil
		}
		attrs := attributes(m.Data[unix.SizeofIfAddrmsg:])
		a, ok := netip.AddrFromSlice(attrs[unix.IFA_LOCAL])
		if !ok { // IPv6 has it only where there is a peer
			a, _ = netip.AddrFromSlice(attrs[unix.IFA_ADDRESS])
		}
		out = append(out, netip.PrefixFrom(a, int(m.Data[1])))
		return nil
	})
	return out, err
}

// permanentNeighbours gives the MAC addresses of a device's permanent neighbours.
func permanentNeighbours(ctx context.Context, s *rtnl.Socket, index int32) (map[netip.Addr]string, error) {
	out := map[netip.Addr]string{}
	err := s.Dump(ctx, unix.RTM_GETNEIGH, func(e *rtnl.Encoder) {
		e.Bytes(make([]byte, unix.SizeofNdMsg)...)
		e.AttrUint32(unix.NDA_IFINDEX, uint32(index))
	}, func(m rtnl.Message) error {
		if len(m.Data) < unix.SizeofNdMsg || binary.NativeEndian.Uint16(m.Data[8:])&unix.NUD_PERMANENT == 0 {
			return nil
		}
		attrs := attributes(m.Data[unix.SizeofNdMsg:])
		if a, ok := netip.AddrFromSlice(attrs[unix.NDA_DST]); ok {
			out[a] = net.HardwareAddr(attrs[unix.NDA_LLADDR]).String()
		}
		return nil
	})
	return out, err
}

// hop is what is asked of a route: where to, and by whom; no gateway means that
// what is there is on the link.
type hop struct {
	dst     netip.Prefix
	gateway netip.Addr
}

// routesBy gives the unicast routes of the main table that leave by a device.
func routesBy(ctx context.Context, s *rtnl.Socket, family uint8, index int32) ([]hop, error) {
	var out []hop
	err := s.Dump(ctx, unix.RTM_GETROUTE, func(e *rtnl.Encoder) {
		e.Bytes(family, 0, 0, 0, unix.RT_TABLE_MAIN, 0, 0, 0)
		e.Uint32(0)
		e.AttrUint32(unix.RTA_TABLE, unix.RT_TABLE_MAIN)
		e.AttrUint32(unix.RTA_OIF, uint32(index))
	}, func(m rtnl.Message) error {
		if len(m.Data) < unix.SizeofRtMsg || m.Data[7] != unix.RTN_UNICAST {
			return nil
		}
		attrs := attributes(m.Data[unix.SizeofRtMsg:])
		dst, ok := netip.AddrFromSlice(attrs[unix.RTA_DST])
		if !ok { // a default route says none
			dst = netip.IPv4Unspecified()
			if family == unix.AF_INET6 {
				dst = netip.IPv6Unspecified()
			}
		}
		gateway, _ := netip.AddrFromSlice(attrs[unix.RTA_GATEWAY])
		out = append(out, hop{netip.PrefixFrom(dst, int(m.Data[1])), gateway})
		return nil
	})
	return out, err
}

// attributes gives a message's attributes by type.
func attributes(b []byte) map[uint16][]byte {
	out := map[uint16][]byte{}
	for a, rest, ok := rtnl.NextAttr(b); ok; a, rest, ok = rtnl.NextAttr(rest) {
		out[a.Type] = a.Data
	}
	return out
}
