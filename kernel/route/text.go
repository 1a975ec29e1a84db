package route

import (
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/state"
)

// text prints a route as ip-route(8) does (print_route, ip/iproute.c).
func text(r *state.Route) string {
	var w []string
	add := func(words ...string) { w = append(w, words...) }
	if r.Type != state.Unicast {
		add(typeName(r.Type))
	}
	switch {
	case r.Dst.Bits() == 0:
		add("default")
	case r.Dst.IsSingleIP():
		add(r.Dst.Addr().String())
	default:
		add(r.Dst.String())
	}
	odd, hops := string(r.Multipath), ""
	if i := strings.Index(odd, "nexthop"); i >= 0 {
		odd, hops = odd[:i], odd[i:]
	}
	add(strings.Fields(odd)...)
	if r.Gateway.IsValid() {
		add("via")
		if r.Gateway.Is4() != r.Dst.Addr().Is4() {
			add(inet(r.Gateway))
		}
		add(r.Gateway.String())
	}
	if r.Dev != "" {
		add("dev", r.Dev)
	}
	if r.Table != state.TableMain {
		add("table", tableName(r.Table))
	}
	if r.Protocol != protoBoot {
		add("proto", state.ProtocolName(r.Protocol))
	}
	if r.Scope != state.ScopeGlobal {
		add("scope", state.ScopeName(r.Scope))
	}
	if r.Src.IsValid() {
		add("src", r.Src.String())
	}
	if r.Metric != 0 {
		add("metric", strconv.Itoa(int(r.Metric)))
	}
	if r.OnLink {
		add("onlink")
	}
	if r.MTU != 0 {
		add("mtu", strconv.Itoa(int(r.MTU)))
	}
	add(strings.Fields(hops)...)
	return strings.Join(w, " ")
}

// protoBoot is what ip(8) gives where no protocol is said, and does not print.
const protoBoot = 3

func inet(a netip.Addr) string {
	if a.Is4() {
		return "inet"
	}
	return "inet6"
}

// typeName is a route type in the words of ip-route(8).
func typeName(t state.RouteType) string {
	names := [...]string{
		"none", "unicast", "local", "broadcast", "anycast", "multicast",
		"blackhole", "unreachable", "prohibit", "throw", "nat",
	}
	if int(t) < len(names) {
		return names[t]
	}
	return strconv.Itoa(int(t))
}

// tableName: of all tables the main and the local one have the same name everywhere.
func tableName(table uint32) string {
	if table == unix.RT_TABLE_LOCAL {
		return "local"
	}
	return strconv.Itoa(int(table))
}
