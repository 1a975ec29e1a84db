package state

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Route protocols, the marks of ownership of plumb's routes (rt_protos(5)).
const (
	ProtoPlumb uint8 = 112 // rendered from the state file and the endpoints
	ProtoBGP   uint8 = 113 // learned over BGP
)

// Routing tables and scopes as rtnetlink(7) numbers them.
const (
	TableMain   uint32 = 254
	ScopeGlobal uint8  = 0
	ScopeLink   uint8  = 253
)

// metric6 is what the kernel makes of an IPv6 route without a metric
// (IP6_RT_PRIO_USER, include/uapi/linux/ipv6_route.h).
const metric6 uint32 = 1024

// RouteType is the type of a route (RTN_* of rtnetlink(7)).
type RouteType uint8

// The route types that plumb makes.
const (
	Unicast   RouteType = 1
	Blackhole RouteType = 6
)

func (t RouteType) String() string {
	switch t {
	case Unicast:
		return "unicast"
	case Blackhole:
		return "blackhole"
	case 7: // these are others' alone
		return "unreachable"
	case 8:
		return "prohibit"
	case 9:
		return "throw"
	}
	return strconv.Itoa(int(t))
}

// NextHop is one way on: through Gateway, or, where that is not valid, directly
// on Dev.
type NextHop struct {
	Gateway netip.Addr `json:"gateway,omitzero"`
	Dev     string     `json:"dev,omitempty"`
	OnLink  bool       `json:"onlink,omitempty"` // the gateway is on Dev, whatever its addresses say
}

// fields are as ip-route(8) has them: a gateway of IPv6 for a route of IPv4
// (RFC 8950) is said to be one.
func (h NextHop) fields(is4 bool) []Field {
	var f []Field
	switch {
	case h.Gateway.Is6() && is4:
		f = append(f, Field{"via", "inet6 " + h.Gateway.String()})
	case h.Gateway.IsValid():
		f = append(f, Field{"via", h.Gateway.String()})
	}
	if h.Dev != "" {
		f = append(f, Field{"dev", h.Dev})
	}
	if h.OnLink {
		f = append(f, Field{"onlink", ""})
	}
	return f
}

// Route is a route as fib_trie and ip6_fib index it: by table, destination and
// metric. Use NewRoute or NewBlackhole, which fill in what the kernel would.
type Route struct {
	Dst      netip.Prefix `json:"dst"` // masked
	Table    uint32       `json:"table"`
	Metric   uint32       `json:"metric,omitempty"`
	Type     RouteType    `json:"type"`
	Protocol uint8        `json:"protocol"`
	Scope    uint8        `json:"scope,omitempty"` // IPv4 alone
	NextHop
	Multipath Multipath  `json:"multipath,omitempty"` // in place of NextHop where there are several
	Src       netip.Addr `json:"src,omitzero"`
	MTU       uint32     `json:"mtu,omitempty"`
}

// NewRoute makes a unicast route in its canonical form. Several hops are sorted
// and made a multipath route; one is a plain route. A hop without a gateway
// gives an IPv4 route scope link.
func NewRoute(dst netip.Prefix, table uint32, protocol uint8, hops ...NextHop) Route {
	r := Route{Dst: dst.Masked(), Table: table, Type: Unicast, Protocol: protocol}
	if dst.Addr().Is6() {
		r.Metric = metric6
	}
	switch {
	case len(hops) == 1:
		r.NextHop = hops[0]
		if dst.Addr().Is4() && !hops[0].Gateway.IsValid() {
			r.Scope = ScopeLink
		}
	case len(hops) > 1:
		r.Multipath = NewMultipath(dst.Addr().Is4(), hops)
	}
	return r
}

// NewBlackhole makes a blackhole route in its canonical form: an IPv6 one has
// the device lo (net/ipv6/route.c, ip6_route_info_create).
func NewBlackhole(dst netip.Prefix, table uint32, protocol uint8) Route {
	r := Route{Dst: dst.Masked(), Table: table, Type: Blackhole, Protocol: protocol}
	if dst.Addr().Is6() {
		r.Metric = metric6
		r.Dev = "lo"
	}
	return r
}

// Key is the destination, with table and metric where they are not the usual.
func (r Route) Key() Key {
	var buf [96]byte
	return Key{KindRoute, string(r.AppendID(buf[:0]))}
}

// AppendID appends the ID of the route's key to b.
func (r Route) AppendID(b []byte) []byte {
	b = r.Dst.AppendTo(b)
	if r.Table != TableMain {
		b = append(b, " table "...)
		b = strconv.AppendUint(b, uint64(r.Table), 10)
	}
	if r.Metric != r.defaultMetric() {
		b = append(b, " metric "...)
		b = strconv.AppendUint(b, uint64(r.Metric), 10)
	}
	return b
}

func (r Route) defaultMetric() uint32 {
	if r.Dst.Addr().Is6() {
		return metric6
	}
	return 0
}

// Fields prints the route as ip(8) does, the destination always with its length.
func (r Route) Fields() []Field {
	f := make([]Field, 0, 10)
	if r.Type != Unicast {
		f = append(f, Field{"(type)", r.Type.String()})
	}
	f = append(f, Field{"(dst)", r.Dst.String()})
	f = append(f, r.fields(r.Dst.Addr().Is4())...)
	if r.Multipath != "" {
		f = append(f, Field{"(nexthops)", string(r.Multipath)})
	}
	if r.Table != TableMain {
		f = append(f, Field{"table", strconv.Itoa(int(r.Table))})
	}
	if r.Scope != ScopeGlobal {
		f = append(f, Field{"scope", ScopeName(r.Scope)})
	}
	f = append(f, Field{"proto", ProtocolName(r.Protocol)})
	if r.Src.IsValid() {
		f = append(f, Field{"src", r.Src.String()})
	}
	if r.Metric != r.defaultMetric() {
		f = append(f, Field{"metric", strconv.Itoa(int(r.Metric))})
	}
	if r.MTU != 0 {
		f = append(f, Field{"mtu", strconv.Itoa(int(r.MTU))})
	}
	return f
}

// ScopeName is a scope in the words of ip-route(8).
func ScopeName(s uint8) string {
	switch s {
	case ScopeGlobal:
		return "global"
	case ScopeLink:
		return "link"
	case 254:
		return "host"
	case 255:
		return "nowhere"
	}
	return strconv.Itoa(int(s))
}

// ProtocolName is a route protocol as ip-route(8) prints it where plumb's
// rt_protos file is installed.
func ProtocolName(p uint8) string {
	switch p {
	case ProtoPlumb:
		return "plumb"
	case ProtoBGP:
		return "plumb-bgp"
	case 2:
		return "kernel"
	case 3:
		return "boot"
	case 4:
		return "static"
	case 9:
		return "ra"
	case 16:
		return "dhcp"
	case 186:
		return "bgp"
	}
	return strconv.Itoa(int(p))
}

// Multipath is the next hops of a route with several, in one comparable value:
// sorted, of equal weight, printed as ip(8) does:
// "nexthop via 192.0.2.1 dev eth0 nexthop via 192.0.2.2 dev eth0".
type Multipath string

// NewMultipath sorts hops of an IPv4 or IPv6 route by gateway and device and drops
// repetitions.
func NewMultipath(is4 bool, hops []NextHop) Multipath {
	hops = slices.Clone(hops)
	slices.SortFunc(hops, func(a, b NextHop) int {
		return cmp.Or(a.Gateway.Compare(b.Gateway), cmp.Compare(a.Dev, b.Dev))
	})
	hops = slices.Compact(hops)
	var b strings.Builder
	for i, h := range hops {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("nexthop")
		for _, f := range h.fields(is4) {
			writeField(&b, f.Name, f.Value)
		}
	}
	return Multipath(b.String())
}

// Hops gives the next hops back, or an error where the text is not one that
// NewMultipath wrote.
func (m Multipath) Hops() ([]NextHop, error) {
	var hops []NextHop
	words := strings.Fields(string(m))
	for i := 0; i < len(words); i++ {
		var h *NextHop
		if len(hops) > 0 {
			h = &hops[len(hops)-1]
		}
		switch w := words[i]; {
		case w == "nexthop":
			hops = append(hops, NextHop{})
		case h != nil && w == "via" && i+1 < len(words):
			if words[i+1] == "inet6" && i+2 < len(words) {
				i++
			}
			gw, err := netip.ParseAddr(words[i+1])
			if err != nil {
				return nil, fmt.Errorf("multipath %q: %w", m, err)
			}
			h.Gateway = gw
			i++
		case h != nil && w == "dev" && i+1 < len(words):
			h.Dev = words[i+1]
			i++
		case h != nil && w == "onlink":
			h.OnLink = true
		default:
			return nil, fmt.Errorf("multipath %q: unexpected %q", m, w)
		}
	}
	return hops, nil
}
