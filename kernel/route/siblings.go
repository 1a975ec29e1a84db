package route

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// draws is how often the kernel is asked for one of a route's next hops. With one of
// two another owner's, one route in 65,000 is taken for plumb's alone.
const draws = 16

// Shared says of which changes the IPv6 route that is there has next hops of several
// owners, printed as ip(8) does: Apply leaves the others' and reports a conflict. The
// kernel puts routes by gateways to one destination together, whoever made them, and
// shows them as the first one's (rt6_fill_node, net/ipv6/route.c). But asked for the way
// of a packet, it answers with the protocol of the next hop that it draws by the packet's
// addresses. It is for dry runs: Apply finds out by itself.
func (k *Kind) Shared(changes []state.Change[state.Route]) map[state.Key]string {
	var list []*state.Route
	for i := range changes {
		c := &changes[i]
		if c.Action == state.Modify && c.Before.Dst.Addr().Is6() && c.Before.Multipath != "" && joins(&c.After) {
			list = append(list, &c.Before)
		}
	}
	out := map[state.Key]string{}
	if len(list) == 0 {
		return out
	}
	k.decoder.forget()
	b := k.sock.Batch()
	b.Max = probesAtOnce
	var got state.Route
	b.Reply = func(i int, m rtnl.Message) {
		r := list[i/draws]
		if m.Type == unix.RTM_NEWROUTE && k.decoder.decode(m.Data, &got) && slotOf(&got) == slotOf(r) && !ours(got.Protocol) {
			out[r.Key()] = text(&got)
		}
	}
	for i := range len(list) * draws {
		s := slotOf(list[i/draws])
		e := b.Message(unix.RTM_GETROUTE, 0, i)
		e.Bytes(unix.AF_INET6, 128, 128, 0, 0, 0, 0, 0)
		e.Uint32(unix.RTM_F_FIB_MATCH)
		e.AttrAddr(unix.RTA_DST, s.dst.Addr())
		e.AttrAddr(unix.RTA_SRC, source(i%draws))
	}
	b.Flush()
	return out
}

// source is one of several addresses for documentation (RFC 3849).
func source(n int) netip.Addr {
	a := netip.MustParseAddr("2001:db8::").As16()
	binary.BigEndian.PutUint32(a[12:], uint32(n)*0x9e3779b9)
	return netip.AddrFrom16(a)
}
