package conntrack

import (
	"context"
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
)

// Messages and attributes of ctnetlink
// (include/uapi/linux/netfilter/nfnetlink_conntrack.h).
const (
	msgGet    = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1
	msgDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2
	msgStats  = unix.NFNL_SUBSYS_CTNETLINK<<8 | 5

	ctaTupleOrig  = 1
	ctaTupleReply = 2
	ctaID         = 12
	ctaZone       = 18

	ctaTupleIP = 1 // in a tuple; in it CTA_IP_V4_SRC, V4_DST, V6_SRC, V6_DST: 1 to 4

	ctaStatsEntries = 1

	sizeofGenmsg = 4 // struct nfgenmsg: family, version, resource
)

// flow is what names a flow to the kernel, as the kernel gave it: attributes
// that are handed back untouched, the zone of one direction within the tuple too.
type flow struct {
	family byte
	orig   []byte // CTA_TUPLE_ORIG
	zone   []byte // CTA_ZONE; nil for the default one
	id     []byte // CTA_ID: a new flow of the same tuple has another, as a rule (nf_ct_get_id)
}

// request writes what deletes the flow.
func (f *flow) request(e *rtnl.Encoder) {
	e.Bytes(f.family, unix.NFNETLINK_V0, 0, 0)
	e.Attr(ctaTupleOrig|unix.NLA_F_NESTED, f.orig)
	if f.zone != nil {
		e.Attr(ctaZone, f.zone)
	}
	if f.id != nil {
		e.Attr(ctaID, f.id)
	}
}

// clone keeps the flow beyond the buffer that it was read from.
func (f *flow) clone() flow {
	b := make([]byte, 0, len(f.orig)+len(f.zone)+len(f.id))
	keep := func(part []byte) []byte {
		if part == nil {
			return nil
		}
		at := len(b)
		b = append(b, part...)
		return b[at:len(b):len(b)]
	}
	return flow{f.family, keep(f.orig), keep(f.zone), keep(f.id)}
}

// count gives the number of flows in the namespace.
func count(s *rtnl.Socket) (n uint32, err error) {
	b := s.Batch()
	b.Failed = func(_ int, e error) { err = e }
	b.Lost = func(int) { err = rtnl.ErrLost }
	n = 1 // a kernel that does not say may have some
	b.Reply = func(_ int, m rtnl.Message) {
		for a, rest, ok := rtnl.NextAttr(m.Data[min(sizeofGenmsg, len(m.Data)):]); ok; a, rest, ok = rtnl.NextAttr(rest) {
			if a.Type == ctaStatsEntries && len(a.Data) == 4 {
				n = binary.BigEndian.Uint32(a.Data)
			}
		}
	}
	b.Message(msgStats, 0, 0).Bytes(unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0)
	b.Flush()
	return n, err
}

// find lists the flows of the addresses. After an error it gives those that were
// seen.
func find(ctx context.Context, s *rtnl.Socket, family byte, wanted map[netip.Addr]bool) (found []flow, err error) {
	err = s.Dump(ctx, msgGet, func(e *rtnl.Encoder) {
		e.Bytes(family, unix.NFNETLINK_V0, 0, 0)
	}, func(m rtnl.Message) error {
		f, match, ok := parse(m.Data, wanted)
		if !ok {
			return rtnl.ErrMalformed
		}
		if match {
			found = append(found, f.clone())
		}
		return nil
	})
	return found, err
}

// parse reads a flow, which is valid as long as b is; match says whether it has
// one of the addresses.
func parse(b []byte, wanted map[netip.Addr]bool) (f flow, match, ok bool) {
	if len(b) < sizeofGenmsg {
		return f, false, false
	}
	f.family = b[0]
	for a, rest, more := rtnl.NextAttr(b[sizeofGenmsg:]); more; a, rest, more = rtnl.NextAttr(rest) {
		switch a.Type {
		case ctaTupleOrig:
			f.orig = a.Data
			match = match || tupleHas(a.Data, wanted)
		case ctaTupleReply:
			match = match || tupleHas(a.Data, wanted)
		case ctaZone:
			f.zone = a.Data
		case ctaID:
			f.id = a.Data
		}
	}
	return f, match, f.orig != nil
}

// tupleHas says whether the tuple's source or destination is one of the addresses.
func tupleHas(tuple []byte, wanted map[netip.Addr]bool) bool {
	for a, rest, ok := rtnl.NextAttr(tuple); ok; a, rest, ok = rtnl.NextAttr(rest) {
		if a.Type != ctaTupleIP {
			continue
		}
		for ip, rest, ok := rtnl.NextAttr(a.Data); ok; ip, rest, ok = rtnl.NextAttr(rest) {
			if addr, ok := netip.AddrFromSlice(ip.Data); ok && wanted[addr] {
				return true
			}
		}
	}
	return false
}
