package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/state"
)

// makes says whether plumb makes devices of this type.
func makes(typ string) bool { return typ == "vxlan" || typ == "ipip" }

// add makes a tunnel device, and sets it up if it is to be, in one request, so
// that a device which cannot be had is not left behind half-made.
func (k *Kind) add(want state.Link) error {
	data, err := k.tunnelData(want)
	if err != nil {
		return err
	}
	req := k.conn.Request(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	head := nl.NewIfInfomsg(unix.AF_UNSPEC)
	if want.Up {
		head.Flags, head.Change = unix.IFF_UP, unix.IFF_UP
	}
	req.AddData(head)
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(want.Name)))
	if want.MAC != "" {
		mac, err := net.ParseMAC(want.MAC)
		if err != nil {
			return err
		}
		req.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, mac))
	}
	if want.MTU != 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(want.MTU)))
	}
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(unix.IFLA_INFO_KIND, nl.NonZeroTerminated(want.Type))
	info.AddChild(data)
	req.AddData(info)
	if _, err = req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return explainAdd(want, err)
	}
	return nil
}

// tunnelData gives IFLA_INFO_DATA. What is left out gets the kernel's defaults,
// which decodeTunnel knows.
func (k *Kind) tunnelData(want state.Link) (*nl.RtAttr, error) {
	parent := 0
	if want.Parent != "" {
		l, err := k.conn.Link(want.Parent)
		if errors.Is(err, unix.ENODEV) {
			return nil, fmt.Errorf("its parent %s does not exist", want.Parent)
		}
		if err != nil {
			return nil, fmt.Errorf("its parent %s: %w", want.Parent, err)
		}
		parent = l.Index
	}
	data := nl.NewRtAttr(unix.IFLA_INFO_DATA, nil)
	if want.Type == "ipip" {
		data.AddRtAttr(nl.IFLA_IPTUN_LOCAL, want.Local.AsSlice())
		data.AddRtAttr(nl.IFLA_IPTUN_PMTUDISC, []byte{1}) // without it, TTL 0 would not mean the packet's own
		if parent != 0 {
			data.AddRtAttr(nl.IFLA_IPTUN_LINK, nl.Uint32Attr(uint32(parent)))
		}
		return data, nil
	}
	data.AddRtAttr(unix.IFLA_VXLAN_ID, nl.Uint32Attr(want.VNI))
	data.AddRtAttr(unix.IFLA_VXLAN_PORT, binary.BigEndian.AppendUint16(nil, want.Port))
	data.AddRtAttr(unix.IFLA_VXLAN_LEARNING, []byte{flag(want.Learning)})
	switch {
	case want.Local.Is4():
		data.AddRtAttr(unix.IFLA_VXLAN_LOCAL, want.Local.AsSlice())
	case want.Local.Is6():
		data.AddRtAttr(unix.IFLA_VXLAN_LOCAL6, want.Local.AsSlice())
	}
	if parent != 0 {
		data.AddRtAttr(unix.IFLA_VXLAN_LINK, nl.Uint32Attr(uint32(parent)))
	}
	return data, nil
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// explainAdd says what the kernel's errno means for a new tunnel device.
func explainAdd(want state.Link, err error) error {
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("this kernel makes no devices of type %s (module %[1]s): %w", want.Type, err)
	case errors.Is(err, unix.EEXIST) && want.Type == "vxlan":
		return fmt.Errorf("another device has VNI %d on port %d; give the pools another vni, or remove that device: %w", want.VNI, want.Port, err)
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("another %s device has local address %s; remove it: %w", want.Type, want.Local, err)
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("another program has UDP port %d; give the pools another port, or stop it: %w", want.Port, err)
	}
	return err
}
