package route

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// found is a route that stands in a slot, whoever owns it.
type found struct {
	route state.Route
	ours  bool
	tos   byte
	raw   []byte // of plumb's own, as dumped: to delete exactly it
}

// rivals leaves out the routes with a TOS: they have slots of their own.
func rivals(list []found) []found {
	return slices.DeleteFunc(slices.Clone(list), func(f found) bool { return f.tos != 0 })
}

// lookup dumps the tables and gives, for each of the slots, the routes in it in
// the kernel's order. Foreign IPv4 routes with a TOS are in slots of their own and
// left out.
func (k *Kind) lookup(ctx context.Context, slots map[slot]bool) (map[slot][]found, error) {
	type part struct {
		table uint32
		fam   byte
	}
	parts := map[part]bool{}
	for s := range slots {
		parts[part{s.table, family(s.dst)}] = true
	}
	out := map[slot][]found{}
	var r state.Route
	k.decoder.forget()
	for p := range parts {
		err := k.dump(ctx, p.fam, 0, p.table, func(m []byte) error {
			if !k.decoder.decode(m, &r) || !slots[slotOf(&r)] {
				return nil
			}
			f := found{route: r, ours: ours(r.Protocol), tos: k.decoder.tos}
			if f.ours {
				f.raw = append([]byte(nil), m...)
			} else if k.decoder.tos != 0 {
				return nil
			}
			s := slotOf(&r)
			out[s] = append(out[s], f)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("routes of table %d: %w", p.table, err)
		}
	}
	return out, nil
}

// probesAtOnce bounds the answers, of a page or two each, that wait in the
// receive buffer.
const probesAtOnce = 512

// probe asks which route the kernel would take to the slots' destinations, and
// gives the answers that are conclusive: the route in that very slot. Where a
// longer prefix, a lower metric or a policy rule hides it, there is none, nor for
// an IPv4 blackhole (the answer is an error, inet_rtm_getroute).
func (k *Kind) probe(slots []slot) map[slot]found {
	out := make(map[slot]found, len(slots))
	b := k.sock.Batch()
	b.Max = probesAtOnce
	var r state.Route
	b.Reply = func(i int, m rtnl.Message) {
		if m.Type != unix.RTM_NEWROUTE || !k.decoder.decode(m.Data, &r) {
			return
		}
		if slotOf(&r) == slots[i] && k.decoder.tos == 0 {
			out[slots[i]] = found{route: r, ours: ours(r.Protocol)}
		}
	}
	for i, s := range slots {
		flags, bits := uint32(unix.RTM_F_FIB_MATCH), byte(128)
		if s.dst.Addr().Is4() {
			flags, bits = flags|unix.RTM_F_LOOKUP_TABLE, 32
		}
		e := b.Message(unix.RTM_GETROUTE, 0, i)
		e.Bytes(family(s.dst), bits, 0, 0, 0, 0, 0, 0)
		e.Uint32(flags)
		e.AttrAddr(unix.RTA_DST, s.dst.Addr())
	}
	b.Flush()
	return out
}

// Foreign says which of these keys have another owner's route in the way, printed
// as ip(8) does. It is for dry runs: Apply finds out by itself. Errors: those of a
// dump.
func (k *Kind) Foreign(ctx context.Context, keys []state.Key) (map[state.Key]string, error) {
	want := make(map[string]bool, len(keys))
	for _, key := range keys {
		if key.Kind == state.KindRoute {
			want[key.ID] = true
		}
	}
	out := map[state.Key]string{}
	if len(want) == 0 {
		return out, nil
	}
	k.decoder.forget()
	var r state.Route
	var id []byte
	var free map[string]bool // plumb's own stands first: what follows is not in the way
	for _, table := range *k.tables.Load() {
		for _, fam := range [...]byte{unix.AF_INET, unix.AF_INET6} {
			free = map[string]bool{}
			err := k.dump(ctx, fam, 0, table, func(m []byte) error {
				if !k.decoder.decode(m, &r) || k.decoder.tos != 0 {
					return nil
				}
				if id = r.AppendID(id[:0]); !want[string(id)] || free[string(id)] {
					return nil
				}
				key := state.Key{Kind: state.KindRoute, ID: string(id)}
				if _, known := out[key]; known {
					return nil
				}
				if ours(r.Protocol) {
					free[key.ID] = true
				} else {
					out[key] = text(&r)
				}
				return nil
			})
			if err != nil {
				return nil, fmt.Errorf("routes of table %d: %w", table, err)
			}
		}
	}
	return out, nil
}
