package route

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// header is struct rtmsg (rtnetlink(7)).
type header struct {
	family, dstLen, srcLen, tos, table, protocol, scope, typ byte
	flags                                                    uint32
}

const (
	headerLen = unix.SizeofRtMsg
	rtaNHID   = 30 // RTA_NH_ID, include/uapi/linux/rtnetlink.h
)

func readHeader(b []byte) (h header, attrs []byte, ok bool) {
	if len(b) < headerLen {
		return h, nil, false
	}
	h = header{b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], binary.NativeEndian.Uint32(b[8:])}
	return h, b[headerLen:], true
}

// decoder turns messages into routes. It allocates for what it has not seen
// before: a device's name, a set of next hops.
type decoder struct {
	names *rtnl.Names
	sets  map[string]state.Multipath // by RTA_MULTIPATH as the kernel sends it
	tos   byte                       // of the route decoded last
	odd   []byte                     // what it has that state.Route does not, as ip(8) prints it
}

// maxSets bounds what is remembered of next hop sets.
const maxSets = 1 << 16

func newDecoder(names *rtnl.Names) *decoder {
	return &decoder{names: names, sets: map[string]state.Multipath{}}
}

// forget drops what hangs on the names of devices.
func (d *decoder) forget() {
	d.names.Forget()
	clear(d.sets)
}

// ours says whether a protocol is one of plumb's.
func ours(protocol byte) bool {
	return protocol == state.ProtoPlumb || protocol == state.ProtoBGP
}

// decode reads a route into r; false where it is malformed, of another family, or
// on a device that is no more.
//
// What state.Route cannot hold (TOS, realms, next hop objects, encapsulation,
// weights, other metrics than the MTU) is put in words in front of r.Multipath.
// Such a route equals none that plumb makes, it prints with what is odd about it,
// and isOdd knows it.
func (d *decoder) decode(m []byte, r *state.Route) bool {
	h, attrs, ok := readHeader(m)
	if !ok || h.family != unix.AF_INET && h.family != unix.AF_INET6 || h.flags&unix.RTM_F_CLONED != 0 {
		return false
	}
	*r = state.Route{Table: uint32(h.table), Type: state.RouteType(h.typ), Protocol: h.protocol, Scope: h.scope}
	r.OnLink = h.flags&unix.RTNH_F_ONLINK != 0
	d.tos, d.odd = h.tos, d.odd[:0]
	if h.tos != 0 {
		d.oddity("tos 0x", strconv.FormatUint(uint64(h.tos), 16))
	}
	dst := netip.IPv4Unspecified()
	if h.family == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	var a rtnl.Attr
	for a, attrs, ok = rtnl.NextAttr(attrs); ok; a, attrs, ok = rtnl.NextAttr(attrs) {
		switch a.Type {
		case unix.RTA_DST:
			if dst, ok = address(a.Data); !ok {
				return false
			}
		case unix.RTA_TABLE:
			r.Table = a.Uint32()
		case unix.RTA_PRIORITY:
			r.Metric = a.Uint32()
		case unix.RTA_OIF:
			if r.Dev, ok = d.names.Name(int32(a.Uint32())); !ok {
				return false
			}
		case unix.RTA_GATEWAY:
			r.Gateway, _ = address(a.Data)
		case unix.RTA_VIA:
			r.Gateway = via(a.Data)
		case unix.RTA_PREFSRC:
			r.Src, _ = address(a.Data)
		case unix.RTA_METRICS:
			r.MTU = d.metrics(a.Data)
		case unix.RTA_MULTIPATH:
			if r.Multipath, ok = d.multipath(h.family, a.Data); !ok {
				return false
			}
		case unix.RTA_CACHEINFO: // struct rta_cacheinfo: the third word is the time to live
			if len(a.Data) >= 12 && binary.NativeEndian.Uint32(a.Data[8:]) != 0 {
				d.oddity("expires", "")
			}
		case unix.RTA_PREF:
			if len(a.Data) > 0 && a.Data[0] != 0 {
				d.oddity("pref ", strconv.Itoa(int(a.Data[0])))
			}
		case rtaNHID:
			d.oddity("nhid ", strconv.FormatUint(uint64(a.Uint32()), 10))
		case unix.RTA_SRC:
			d.oddity("from ", "")
		case unix.RTA_FLOW:
			d.oddity("realm ", strconv.FormatUint(uint64(a.Uint32()), 10))
		case unix.RTA_ENCAP_TYPE:
			d.oddity("encap", "")
		}
	}
	if dst.BitLen() < int(h.dstLen) || dst.Is4() != (h.family == unix.AF_INET) {
		return false
	}
	r.Dst = netip.PrefixFrom(dst, int(h.dstLen))
	if len(d.odd) > 0 {
		r.Multipath = state.Multipath(strings.TrimSpace(string(d.odd) + " " + string(r.Multipath)))
	}
	return true
}

func (d *decoder) oddity(word, value string) {
	if len(d.odd) > 0 {
		d.odd = append(d.odd, ' ')
	}
	d.odd = append(append(d.odd, word...), value...)
}

// isOdd says whether r stands for a route that state.Route cannot hold.
func isOdd(r *state.Route) bool {
	if r.Multipath == "" {
		return false
	}
	_, err := r.Multipath.Hops()
	return err != nil
}

func address(b []byte) (netip.Addr, bool) {
	switch len(b) {
	case 4:
		return netip.AddrFrom4([4]byte(b)), true
	case 16:
		return netip.AddrFrom16([16]byte(b)), true
	}
	return netip.Addr{}, false
}

// via reads struct rtvia: a family and an address.
func via(b []byte) netip.Addr {
	if len(b) < viaLen {
		return netip.Addr{}
	}
	a, _ := address(b[viaLen:])
	return a
}

// metrics reads RTA_METRICS; what is not the MTU is odd.
func (d *decoder) metrics(b []byte) (mtu uint32) {
	for a, rest, ok := rtnl.NextAttr(b); ok; a, rest, ok = rtnl.NextAttr(rest) {
		switch a.Type {
		case unix.RTAX_MTU:
			mtu = a.Uint32()
		case unix.RTAX_LOCK:
			d.oddity("lock 0x", strconv.FormatUint(uint64(a.Uint32()), 16))
		default:
			d.oddity("metric", strconv.Itoa(int(a.Type))+" "+strconv.FormatUint(uint64(a.Uint32()), 10))
		}
	}
	return mtu
}

// multipath reads RTA_MULTIPATH; false where a device is no more.
func (d *decoder) multipath(family byte, b []byte) (state.Multipath, bool) {
	if text, ok := d.sets[string(b)]; ok {
		return text, true
	}
	var hops []state.NextHop
	var odd strings.Builder
	for h, rest, ok := rtnl.NextHop(b); ok; h, rest, ok = rtnl.NextHop(rest) {
		nh := state.NextHop{OnLink: h.Flags&unix.RTNH_F_ONLINK != 0}
		if h.Index != 0 {
			if nh.Dev, ok = d.names.Name(h.Index); !ok {
				return "", false
			}
		}
		for a, more, ok := rtnl.NextAttr(h.Attrs); ok; a, more, ok = rtnl.NextAttr(more) {
			switch a.Type {
			case unix.RTA_GATEWAY:
				nh.Gateway, _ = address(a.Data)
			case unix.RTA_VIA:
				nh.Gateway = via(a.Data)
			case unix.RTA_ENCAP_TYPE, unix.RTA_FLOW:
				odd.WriteString("encap ")
			}
		}
		if h.Weight != 0 {
			odd.WriteString("weight " + strconv.Itoa(int(h.Weight)+1) + " ")
		}
		hops = append(hops, nh)
	}
	text := state.Multipath(odd.String()) + state.NewMultipath(family == unix.AF_INET, hops)
	if len(d.sets) < maxSets {
		d.sets[string(b)] = text
	}
	return text, true
}
