package link

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/link/monitor"
	"github.com/plumbnet/plumb/state"
)

// decodeTunnel reads what a tunnel device was made with (IFLA_INFO_DATA). name gives
// the name of a device by its index.
func decodeTunnel(l monitor.Link, name func(int) string) state.Tunnel {
	var t state.Tunnel
	switch l.Kind {
	case "vxlan":
		t = decodeVXLAN(l.Info, name)
	case "ipip":
		t = decodeIPIP(l.Info, name)
	default:
		return t
	}
	if l.Master != 0 { // a bridge would take all that comes by it
		t.Odd = strings.TrimSpace(t.Odd + " master " + name(l.Master))
	}
	return t
}

// odd gathers what plumb gives no device of its own, in the words of ip-link(8).
type odd []string

func (o *odd) add(word string, value ...uint32) {
	for _, v := range value {
		word += " " + strconv.FormatUint(uint64(v), 10)
	}
	*o = append(*o, word)
}

func (o odd) String() string { return strings.Join(o, " ") }

// vxlanFlags are options that are on or off, each by what it is called where it is
// not as on a device of plumb's (drivers/net/vxlan/vxlan_core.c, vxlan_fill_info).
func vxlanFlag(attr uint16) (word string, usual byte) {
	switch attr {
	case unix.IFLA_VXLAN_PROXY:
		return "proxy", 0
	case unix.IFLA_VXLAN_RSC:
		return "rsc", 0
	case unix.IFLA_VXLAN_L2MISS:
		return "l2miss", 0
	case unix.IFLA_VXLAN_L3MISS:
		return "l3miss", 0
	case unix.IFLA_VXLAN_COLLECT_METADATA:
		return "external", 0
	case unix.IFLA_VXLAN_UDP_CSUM:
		return "noudpcsum", 1
	case unix.IFLA_VXLAN_UDP_ZERO_CSUM6_TX:
		return "udp6zerocsumtx", 0
	case unix.IFLA_VXLAN_UDP_ZERO_CSUM6_RX:
		return "udp6zerocsumrx", 0
	case unix.IFLA_VXLAN_REMCSUM_TX:
		return "remcsumtx", 0
	case unix.IFLA_VXLAN_REMCSUM_RX:
		return "remcsumrx", 0
	case unix.IFLA_VXLAN_TTL_INHERIT:
		return "ttl inherit", 0
	case unix.IFLA_VXLAN_VNIFILTER:
		return "vnifilter", 0
	case unix.IFLA_VXLAN_LOCALBYPASS:
		return "nolocalbypass", 1
	}
	return "", 0
}

func decodeVXLAN(info []byte, name func(int) string) state.Tunnel {
	var t state.Tunnel
	var o odd
	for attr, value := range monitor.Attrs(info) {
		switch attr {
		case unix.IFLA_VXLAN_ID:
			t.VNI = monitor.Uint32(value)
		case unix.IFLA_VXLAN_PORT:
			if len(value) >= 2 {
				t.Port = binary.BigEndian.Uint16(value)
			}
		case unix.IFLA_VXLAN_LOCAL, unix.IFLA_VXLAN_LOCAL6:
			t.Local = address(value)
		case unix.IFLA_VXLAN_LINK:
			t.Parent = name(int(monitor.Uint32(value)))
		case unix.IFLA_VXLAN_LEARNING:
			t.Learning = len(value) > 0 && value[0] != 0
		case unix.IFLA_VXLAN_GROUP, unix.IFLA_VXLAN_GROUP6:
			if a := address(value); a.IsValid() {
				o.add("remote " + a.String())
			}
		case unix.IFLA_VXLAN_TTL, unix.IFLA_VXLAN_TOS, unix.IFLA_VXLAN_DF:
			if len(value) > 0 && value[0] != 0 {
				o.add(map[uint16]string{unix.IFLA_VXLAN_TTL: "ttl", unix.IFLA_VXLAN_TOS: "tos", unix.IFLA_VXLAN_DF: "df"}[attr], uint32(value[0]))
			}
		case unix.IFLA_VXLAN_LIMIT:
			if n := monitor.Uint32(value); n != 0 {
				o.add("maxaddress", n)
			}
		case unix.IFLA_VXLAN_PORT_RANGE:
			if monitor.Uint32(value) != 0 {
				o.add("srcport", uint32(binary.BigEndian.Uint16(value)), uint32(binary.BigEndian.Uint16(value[2:])))
			}
		case unix.IFLA_VXLAN_LABEL:
			if len(value) >= 4 && monitor.Uint32(value) != 0 {
				o.add("flowlabel", binary.BigEndian.Uint32(value))
			}
		case unix.IFLA_VXLAN_GBP:
			o.add("gbp")
		case unix.IFLA_VXLAN_GPE:
			o.add("gpe")
		default:
			if word, usual := vxlanFlag(attr); word != "" && len(value) > 0 && value[0] != usual {
				o.add(word)
			}
		}
	}
	t.Odd = o.String()
	return t
}

func decodeIPIP(info []byte, name func(int) string) state.Tunnel {
	var t state.Tunnel
	var o odd
	for attr, value := range monitor.Attrs(info) {
		on := len(value) > 0 && value[0] != 0
		switch attr {
		case nl.IFLA_IPTUN_LOCAL:
			t.Local = address(value)
		case nl.IFLA_IPTUN_LINK:
			t.Parent = name(int(monitor.Uint32(value)))
		case nl.IFLA_IPTUN_REMOTE:
			if a := address(value); a.IsValid() {
				o.add("remote " + a.String())
			}
		case nl.IFLA_IPTUN_TTL:
			if on {
				o.add("ttl", uint32(value[0]))
			}
		case nl.IFLA_IPTUN_TOS:
			if on {
				o.add("tos", uint32(value[0]))
			}
		case nl.IFLA_IPTUN_PROTO:
			if len(value) > 0 && value[0] != unix.IPPROTO_IPIP {
				o.add("mode", uint32(value[0]))
			}
		case nl.IFLA_IPTUN_PMTUDISC:
			if !on {
				o.add("nopmtudisc")
			}
		case nl.IFLA_IPTUN_ENCAP_TYPE:
			if len(value) >= 2 && binary.NativeEndian.Uint16(value) != 0 {
				o.add("encap", uint32(binary.NativeEndian.Uint16(value)))
			}
		case nl.IFLA_IPTUN_COLLECT_METADATA:
			o.add("external")
		case iptunFwmark:
			if n := monitor.Uint32(value); n != 0 {
				o.add(fmt.Sprintf("fwmark 0x%x", n))
			}
		}
	}
	t.Odd = o.String()
	return t
}

// address reads an address; all zeros are none.
func address(b []byte) netip.Addr {
	a, ok := netip.AddrFromSlice(b)
	if !ok || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// iptunFwmark is IFLA_IPTUN_FWMARK (include/uapi/linux/if_tunnel.h).
const iptunFwmark = 20
