package path

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/trace/facts"
)

// Attributes of IFLA_INFO_DATA (include/uapi/linux/if_link.h, if_tunnel.h).
const (
	vxlanID     = 1  // IFLA_VXLAN_ID
	vxlanLocal  = 4  // IFLA_VXLAN_LOCAL
	vxlanPort   = 15 // IFLA_VXLAN_PORT, big endian
	vxlanLocal6 = 17 // IFLA_VXLAN_LOCAL6
	iptunLocal  = 2  // IFLA_IPTUN_LOCAL
)

// Devices gives all devices with their addresses, in the order of their indexes.
func (p *Place) Devices(ctx context.Context) ([]facts.Device, error) {
	var list []facts.Device
	at := map[int32]int{}
	err := p.sock.Dump(ctx, unix.RTM_GETLINK, func(e *rtnl.Encoder) {
		e.Bytes(make([]byte, unix.SizeofIfInfomsg)...)
		e.AttrUint32(unix.IFLA_EXT_MASK, 1<<3) // RTEXT_FILTER_SKIP_STATS
	}, func(m rtnl.Message) error {
		if index, d, ok := decodeLink(m.Data); ok {
			at[index] = len(list)
			list = append(list, d)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("devices: %w", err)
	}
	err = p.sock.Dump(ctx, unix.RTM_GETADDR, func(e *rtnl.Encoder) {
		e.Bytes(make([]byte, unix.SizeofIfAddrmsg)...)
	}, func(m rtnl.Message) error {
		if index, a, ok := decodeAddress(m.Data); ok {
			if i, known := at[index]; known {
				list[i].Addresses = append(list[i].Addresses, a)
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, rtnl.ErrInterrupted) {
		return nil, fmt.Errorf("addresses: %w", err)
	}
	return list, nil
}

func decodeLink(b []byte) (index int32, d facts.Device, ok bool) {
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return 0, d, false
	}
	index = int32(binary.NativeEndian.Uint32(b[4:]))
	flags := binary.NativeEndian.Uint32(b[8:])
	d.Up, d.Carrier = flags&unix.IFF_UP != 0, flags&unix.IFF_LOWER_UP != 0
	attrs := attributes(b[unix.SizeofIfInfomsg:])
	d.Name = attrs[unix.IFLA_IFNAME].String()
	d.MTU = int(attrs[unix.IFLA_MTU].Uint32())
	if mac := attrs[unix.IFLA_ADDRESS].Data; len(mac) == 6 {
		d.MAC = net.HardwareAddr(mac).String()
	}
	info := attributes(attrs[unix.IFLA_LINKINFO].Data)
	d.Kind = info[unix.IFLA_INFO_KIND].String()
	data := attributes(info[unix.IFLA_INFO_DATA].Data)
	switch d.Kind {
	case "vxlan":
		d.VNI = data[vxlanID].Uint32()
		if port := data[vxlanPort].Data; len(port) == 2 {
			d.Port = binary.BigEndian.Uint16(port)
		}
		d.Local, _ = netip.AddrFromSlice(data[vxlanLocal].Data)
		if !d.Local.IsValid() {
			d.Local, _ = netip.AddrFromSlice(data[vxlanLocal6].Data)
		}
	case "ipip":
		d.Local, _ = netip.AddrFromSlice(data[iptunLocal].Data)
	}
	return index, d, d.Name != ""
}

func decodeAddress(b []byte) (index int32, a netip.Prefix, ok bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return 0, a, false
	}
	attrs := attributes(b[unix.SizeofIfAddrmsg:])
	addr, ok := netip.AddrFromSlice(attrs[unix.IFA_LOCAL].Data)
	if !ok { // IPv6 has it only where there is a peer
		addr, ok = netip.AddrFromSlice(attrs[unix.IFA_ADDRESS].Data)
	}
	return int32(binary.NativeEndian.Uint32(b[4:])), netip.PrefixFrom(addr, int(b[1])), ok
}

// attributes gives a message's attributes by type.
func attributes(b []byte) map[uint16]rtnl.Attr {
	out := map[uint16]rtnl.Attr{}
	for a, rest, ok := rtnl.NextAttr(b); ok; a, rest, ok = rtnl.NextAttr(rest) {
		out[a.Type] = a
	}
	return out
}
