package monitor

import (
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Link is what an RTM_NEWLINK or RTM_DELLINK message says of a device.
type Link struct {
	Index  int
	Name   string
	Kind   string // IFLA_INFO_KIND: veth, bridge …; empty for a physical device and lo
	MAC    []byte // IFLA_ADDRESS; of a tunnel, its local address
	MTU    int
	Group  uint32
	Master int    // the index of the bridge or VRF that it is in; 0: none
	Up     bool   // IFF_UP: administratively
	Lower  bool   // IFF_LOWER_UP: it has a carrier
	Info   []byte // IFLA_INFO_DATA: what the kind says of itself
}

// DecodeLink reads the data of a link message. Not ok are messages that say
// nothing of the device as such: a bridge announces that a port joined and left
// it by RTM_NEWLINK and RTM_DELLINK in the family AF_BRIDGE (net/bridge/br_netlink.c).
func DecodeLink(data []byte) (l Link, ok bool, err error) {
	if len(data) < unix.SizeofIfInfomsg {
		return l, false, fmt.Errorf("link message of %d bytes: %w", len(data), unix.EBADMSG)
	}
	head := nl.DeserializeIfInfomsg(data)
	if head.Family != unix.AF_UNSPEC {
		return l, false, nil
	}
	l.Index, l.Up, l.Lower = int(head.Index), head.Flags&unix.IFF_UP != 0, head.Flags&unix.IFF_LOWER_UP != 0
	for kind, value := range Attrs(data[unix.SizeofIfInfomsg:]) {
		switch kind {
		case unix.IFLA_IFNAME:
			l.Name = unix.ByteSliceToString(value)
		case unix.IFLA_ADDRESS:
			l.MAC = value
		case unix.IFLA_MTU:
			l.MTU = int(Uint32(value))
		case unix.IFLA_MASTER:
			l.Master = int(Uint32(value))
		case unix.IFLA_GROUP:
			l.Group = Uint32(value)
		case unix.IFLA_LINKINFO:
			for kind, value := range Attrs(value) {
				switch kind {
				case unix.IFLA_INFO_KIND:
					l.Kind = unix.ByteSliceToString(value)
				case unix.IFLA_INFO_DATA:
					l.Info = value
				}
			}
		}
	}
	return l, l.Name != "", nil
}

// Links dumps the devices of the namespace that c is in. A dump that a change
// cut through is taken again.
func (c *Conn) Links() ([]Link, error) {
	req := c.Request(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	req.RetryInterrupted = true
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(skipStats())
	msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return nil, fmt.Errorf("reading links: %w", err)
	}
	links := make([]Link, 0, len(msgs))
	for _, m := range msgs {
		l, ok, err := DecodeLink(m)
		if err != nil {
			return nil, err
		}
		if ok {
			links = append(links, l)
		}
	}
	return links, nil
}

// Link looks one device up. An error that wraps unix.ENODEV says that there is
// none of that name.
func (c *Conn) Link(name string) (Link, error) {
	return c.link(nl.NewIfInfomsg(unix.AF_UNSPEC), nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
}

// LinkByIndex is Link by a device's index.
func (c *Conn) LinkByIndex(index int) (Link, error) {
	head := nl.NewIfInfomsg(unix.AF_UNSPEC)
	head.Index = int32(index)
	return c.link(head)
}

func (c *Conn) link(head *nl.IfInfomsg, more ...nl.NetlinkRequestData) (Link, error) {
	req := c.Request(unix.RTM_GETLINK, 0)
	req.AddData(head)
	req.AddData(skipStats())
	for _, m := range more {
		req.AddData(m)
	}
	msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return Link{}, err
	}
	if len(msgs) != 1 {
		return Link{}, fmt.Errorf("%d answers: %w", len(msgs), unix.EBADMSG)
	}
	l, _, err := DecodeLink(msgs[0])
	return l, err
}

// skipStats asks for no statistics, most of a link's message otherwise
// (RTEXT_FILTER_SKIP_STATS, include/uapi/linux/rtnetlink.h).
func skipStats() *nl.RtAttr {
	return nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(1<<3))
}
