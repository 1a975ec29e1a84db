package route

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// viaLen is the length of the family in front of RTA_VIA's address (struct rtvia).
const viaLen = 2

// slot is the place of a route in the kernel: two routes in one slot are rivals.
type slot struct {
	dst    netip.Prefix
	table  uint32
	metric uint32
}

func slotOf(r *state.Route) slot { return slot{r.Dst, r.Table, r.Metric} }

func (s slot) key() state.Key {
	return state.Route{Dst: s.dst, Table: s.table, Metric: s.metric}.Key()
}

func family(p netip.Prefix) byte {
	if p.Addr().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// hop is a next hop with its device resolved.
type hop struct {
	gateway netip.Addr
	index   int32
	onlink  bool
}

// devices resolves the names of devices to indices, each once for one Apply.
type devices struct {
	names *rtnl.Names
	index map[string]int32
	sets  map[state.Multipath][]hop
	buf   []hop
	last  struct {
		name  string
		index int32
	}
}

func (d *devices) resolve(name string) (int32, error) {
	if name == d.last.name && name != "" {
		return d.last.index, nil
	}
	index, ok := d.index[name]
	if !ok {
		var err error
		if index, err = d.names.Index(name); err != nil {
			return 0, err
		}
		d.index[name] = index
	}
	d.last.name, d.last.index = name, index
	return index, nil
}

// hops resolves the next hops of r; what it gives is valid until the next call.
// Errors: *deviceError; a Multipath that is not NewMultipath's.
func (d *devices) hops(r *state.Route) ([]hop, error) {
	if r.Multipath == "" {
		if !r.Gateway.IsValid() && r.Dev == "" {
			return nil, nil
		}
		var err error
		d.buf, err = d.hop(d.buf[:0], r.NextHop)
		return d.buf, err
	}
	if set, ok := d.sets[r.Multipath]; ok {
		return set, nil
	}
	hops, err := r.Multipath.Hops()
	if err != nil {
		return nil, err
	}
	var set []hop
	for _, h := range hops {
		if set, err = d.hop(set, h); err != nil {
			return nil, err
		}
	}
	d.sets[r.Multipath] = set
	return set, nil
}

func (d *devices) hop(buf []hop, h state.NextHop) ([]hop, error) {
	out := hop{gateway: h.Gateway, onlink: h.OnLink}
	if h.Dev != "" {
		var err error
		if out.index, err = d.resolve(h.Dev); err != nil {
			return nil, &deviceError{h.Dev, err}
		}
	}
	return append(buf, out), nil
}

// deviceError says that a route's device could not be found.
type deviceError struct {
	name string
	err  error
}

func (e *deviceError) Error() string {
	if errors.Is(e.err, unix.ENODEV) {
		return fmt.Sprintf("interface %s does not exist", e.name)
	}
	return fmt.Sprintf("interface %s: %v", e.name, e.err)
}

func (e *deviceError) Unwrap() error { return e.err }

// encodeHeader writes struct rtmsg and the attributes that say which route it is.
func encodeHeader(e *rtnl.Encoder, r *state.Route, flags uint32) {
	table := byte(unix.RT_TABLE_UNSPEC)
	if r.Table < 256 {
		table = byte(r.Table)
	}
	e.Bytes(family(r.Dst), byte(r.Dst.Bits()), 0, 0, table, r.Protocol, r.Scope, byte(r.Type))
	e.Uint32(flags)
	if r.Dst.Bits() > 0 {
		e.AttrAddr(unix.RTA_DST, r.Dst.Addr())
	}
	if r.Table >= 256 {
		e.AttrUint32(unix.RTA_TABLE, r.Table)
	}
	if r.Metric != 0 {
		e.AttrUint32(unix.RTA_PRIORITY, r.Metric)
	}
}

// encode writes the request to add or replace r with these next hops.
func encode(e *rtnl.Encoder, r *state.Route, hops []hop) {
	var flags uint32
	if len(hops) == 1 && hops[0].onlink {
		flags = unix.RTNH_F_ONLINK
	}
	encodeHeader(e, r, flags)
	encodeHops(e, r, hops)
	if r.Src.IsValid() {
		e.AttrAddr(unix.RTA_PREFSRC, r.Src)
	}
	if r.MTU != 0 {
		at := e.Nest(unix.RTA_METRICS)
		e.AttrUint32(unix.RTAX_MTU, r.MTU)
		e.EndNest(at)
	}
}

func encodeHops(e *rtnl.Encoder, r *state.Route, hops []hop) {
	switch {
	case len(hops) == 1:
		if hops[0].gateway.IsValid() {
			encodeGateway(e, r.Dst.Addr(), hops[0].gateway)
		}
		if hops[0].index != 0 {
			e.AttrUint32(unix.RTA_OIF, uint32(hops[0].index))
		}
	case len(hops) > 1:
		at := e.Nest(unix.RTA_MULTIPATH)
		for _, h := range hops {
			var f uint8
			if h.onlink {
				f = unix.RTNH_F_ONLINK
			}
			nh := e.Hop(f, h.index)
			if h.gateway.IsValid() {
				encodeGateway(e, r.Dst.Addr(), h.gateway)
			}
			e.EndNest(nh)
		}
		e.EndNest(at)
	}
}

// encodeGateway writes RTA_GATEWAY, or RTA_VIA for an IPv4 route through an IPv6
// gateway (ip-route(8): via inet6).
func encodeGateway(e *rtnl.Encoder, dst, gw netip.Addr) {
	if dst.Is4() == gw.Is4() {
		e.AttrAddr(unix.RTA_GATEWAY, gw)
		return
	}
	at := e.Nest(unix.RTA_VIA)
	fam := uint16(unix.AF_INET6)
	if gw.Is4() {
		fam = unix.AF_INET
	}
	e.Uint16(fam)
	e.Addr(gw)
	e.EndNest(at)
}

// encodeDelete writes the request to delete those next hops of r. Several IPv4
// hops are left out: the kernel would compare them in its order, and the slot
// with protocol, type and scope says enough. IPv6 hops are each compared with
// the protocol, which spares a foreign one among them.
func encodeDelete(e *rtnl.Encoder, r *state.Route, hops []hop) {
	encodeHeader(e, r, 0)
	if len(hops) > 1 && r.Dst.Addr().Is4() {
		return
	}
	encodeHops(e, r, hops)
}
