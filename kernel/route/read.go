package route

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// Read yields every route of protocols 112 and 113 in the tables. A route that
// state.Route cannot hold comes in a form that equals none that plumb makes.
// Where foreign hands put several routes with plumb's protocols into one slot,
// each is yielded, and the later ones bear the word "duplicate" in Multipath: who
// keeps routes by key sees that something is wrong, and Apply sets it right.
func (k *Kind) Read(ctx context.Context, yield func(state.Route)) error {
	k.decoder.forget()
	k.places.reset()
	defer k.places.settled()
	rd := &reading{k: k, ctx: ctx, yield: yield}
	for _, table := range *k.tables.Load() {
		for _, proto := range [...]byte{state.ProtoPlumb, state.ProtoBGP} {
			err := rd.part(unix.AF_INET, proto, table, yield)
			if err == nil {
				err = rd.part6(proto, table)
			}
			if err != nil {
				return fmt.Errorf("routes of table %d, proto %s: %w", table, state.ProtocolName(proto), err)
			}
		}
	}
	for _, r := range rd.odd {
		yield(r)
	}
	return nil
}

// reading is one Read in progress.
type reading struct {
	k     *Kind
	ctx   context.Context
	yield func(state.Route)
	route state.Route   // decoded last
	odd   []state.Route // with a TOS: may have a rival's key, and the last yielded counts
	six   []state.Route
}

// part gives the routes of one family, protocol and table as they are dumped.
func (rd *reading) part(fam, proto byte, table uint32, give func(state.Route)) error {
	var before state.Route
	r, d := &rd.route, rd.k.decoder
	return rd.k.dump(rd.ctx, fam, proto, table, func(m []byte) error {
		if !d.decode(m, r) {
			return nil
		}
		rd.k.places.add(r)
		switch {
		case d.tos != 0:
			rd.odd = append(rd.odd, *r)
		case *r == before: // an interrupted IPv6 dump's repetition
		case slotOf(r) == slotOf(&before): // rivals follow each other
			before = *r
			r.Multipath = "duplicate " + r.Multipath
			give(*r)
		default:
			before = *r
			give(*r)
		}
		return nil
	})
}

// attempts bounds how often IPv6 routes are dumped while others keep changing them.
const attempts = 4

// part6 is part for IPv6. Where the tree changes between two datagrams of the dump,
// the kernel goes on by counting, and so leaves out routes that stand, or repeats
// them, and does not say so (fib6_dump_table, net/ipv6/ip6_fib.c). So routes are
// held back until a dump went by undisturbed; the last is taken as it is, and what
// it lacks, an addition will find there.
func (rd *reading) part6(proto byte, table uint32) error {
	for range attempts {
		rd.six = rd.six[:0]
		if err := rd.k.bell.Listen(); err != nil {
			return err
		}
		err := rd.part(unix.AF_INET6, proto, table, func(r state.Route) { rd.six = append(rd.six, r) })
		disturbed := rd.k.bell.Heard()
		if err != nil {
			return err
		}
		if !disturbed {
			break
		}
	}
	for _, r := range rd.six {
		rd.yield(r)
	}
	return nil
}

// dump gives the routes of a table, filtered in the kernel; proto 0 means all.
func (k *Kind) dump(ctx context.Context, fam, proto byte, table uint32, each func(m []byte) error) error {
	err := k.sock.Dump(ctx, unix.RTM_GETROUTE, func(e *rtnl.Encoder) {
		e.Bytes(fam, 0, 0, 0, 0, proto, 0, 0, 0, 0, 0, 0)
		e.AttrUint32(unix.RTA_TABLE, table)
	}, func(m rtnl.Message) error {
		if m.Type != unix.RTM_NEWROUTE {
			return nil
		}
		return each(m.Data)
	})
	if errors.Is(err, unix.ENOENT) { // a table that has never had a route
		return nil
	}
	return err
}
