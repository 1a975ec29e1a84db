package route

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// Asker asks the kernel which way packets go, as `ip route get` does.
type Asker struct {
	sock    *rtnl.Socket
	decoder *decoder
}

// NewAsker asks through a socket, which others may use between two calls.
func NewAsker(s *rtnl.Socket) *Asker { return &Asker{s, newDecoder(s.Names())} }

// Query is a packet. In is the device that it comes in by, or empty for one of
// the host's own; of the other fields Dst alone is needed.
type Query struct {
	Src, Dst         netip.Addr
	In, Out          string
	Proto            byte // IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6
	SrcPort, DstPort uint16
}

// Answer is the way that the kernel takes.
type Answer struct {
	Route  state.Route   // of the FIB
	Via    state.NextHop // the next hop for this packet, of several
	Source netip.Addr    // the address that the host would send it from
	MTU    uint32        // of the route or the path, where the kernel knows one; 0: the device's
}

// Text is a route in the words of ip-route(8).
func Text(r *state.Route) string { return text(r) }

// Ask asks twice: which route of the FIB matches, and what becomes of it for this
// very packet (the next hop of several, the source address, a path's MTU). Where
// the kernel sends the packet nowhere the error is its answer: *rtnl.Error.
func (a *Asker) Ask(q Query) (Answer, error) {
	a.decoder.forget()
	var out Answer
	r, _, err := a.get(q, unix.RTM_F_FIB_MATCH)
	if err != nil {
		return out, err
	}
	out.Route = r
	way, source, err := a.get(q, 0)
	if err != nil {
		return out, err
	}
	out.Via, out.Source, out.MTU = way.NextHop, source, way.MTU
	return out, nil
}

func (a *Asker) get(q Query, flags uint32) (r state.Route, source netip.Addr, err error) {
	in, err := a.index(q.In)
	if err != nil {
		return r, source, err
	}
	out, err := a.index(q.Out)
	if err != nil {
		return r, source, err
	}
	err = unix.ENODATA
	b := a.sock.Batch()
	b.Failed = func(_ int, e error) { err = e }
	b.Reply = func(_ int, m rtnl.Message) {
		if m.Type == unix.RTM_NEWROUTE {
			r, source, err = a.answer(m)
		}
	}
	bits := byte(q.Dst.BitLen())
	srcBits := byte(0)
	if q.Src.IsValid() {
		srcBits = bits
	}
	e := b.Message(unix.RTM_GETROUTE, 0, 0)
	e.Bytes(family(netip.PrefixFrom(q.Dst, int(bits))), bits, srcBits, 0, 0, 0, 0, 0)
	if q.Dst.Is4() {
		flags |= unix.RTM_F_LOOKUP_TABLE
	}
	e.Uint32(flags)
	e.AttrAddr(unix.RTA_DST, q.Dst)
	if q.Src.IsValid() {
		e.AttrAddr(unix.RTA_SRC, q.Src)
	}
	if in != 0 {
		e.AttrUint32(unix.RTA_IIF, uint32(in))
	}
	if out != 0 {
		e.AttrUint32(unix.RTA_OIF, uint32(out))
	}
	if q.Proto != 0 {
		e.Attr(unix.RTA_IP_PROTO, []byte{q.Proto})
	}
	for _, port := range [...]struct {
		attr uint16
		n    uint16
	}{{unix.RTA_SPORT, q.SrcPort}, {unix.RTA_DPORT, q.DstPort}} {
		if port.n != 0 && q.Proto != unix.IPPROTO_ICMP && q.Proto != unix.IPPROTO_ICMPV6 {
			e.Attr(port.attr, binary.BigEndian.AppendUint16(nil, port.n))
		}
	}
	b.Flush()
	return r, source, err
}

func (a *Asker) index(dev string) (int32, error) {
	if dev == "" {
		return 0, nil
	}
	i, err := a.sock.Names().Index(dev)
	if err != nil {
		return 0, fmt.Errorf("device %s: %w", dev, err)
	}
	return i, nil
}

// answer reads the reply. Without RTM_F_FIB_MATCH it is a route of the cache, which
// decode passes over: its flag is taken away.
func (a *Asker) answer(m rtnl.Message) (r state.Route, source netip.Addr, err error) {
	data := slices.Clone(m.Data)
	if len(data) < headerLen {
		return r, source, unix.EBADMSG
	}
	f := binary.NativeEndian.Uint32(data[8:])
	binary.NativeEndian.PutUint32(data[8:], f&^unix.RTM_F_CLONED)
	if !a.decoder.decode(data, &r) {
		return r, source, unix.EBADMSG
	}
	return r, r.Src, nil
}

// Covering gives the routes of all tables but local that hold the address, the
// longest prefix first, and of equals the lowest metric: to say which of them it is
// that the kernel answers with an error. Policy rules (ip-rule(8)) are not
// considered.
func (a *Asker) Covering(ctx context.Context, addr netip.Addr) ([]state.Route, error) {
	a.decoder.forget()
	var out []state.Route
	fam := family(netip.PrefixFrom(addr, addr.BitLen()))
	err := a.sock.Dump(ctx, unix.RTM_GETROUTE, func(e *rtnl.Encoder) {
		e.Bytes(fam, 0, 0, 0, 0, 0, 0, 0)
		e.Uint32(0)
	}, func(m rtnl.Message) error {
		var r state.Route
		if a.decoder.decode(m.Data, &r) && r.Table != unix.RT_TABLE_LOCAL && r.Dst.Contains(addr) {
			out = append(out, r)
		}
		return nil
	})
	slices.SortStableFunc(out, func(x, y state.Route) int {
		if x.Dst.Bits() != y.Dst.Bits() {
			return y.Dst.Bits() - x.Dst.Bits()
		}
		return int(x.Metric) - int(y.Metric)
	})
	return out, err
}
