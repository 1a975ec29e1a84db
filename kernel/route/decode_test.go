package route

import (
	"context"
	"encoding/hex"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// FuzzDecode: whatever comes, nothing panics, and what is decoded can be printed,
// remembered and deleted.
func FuzzDecode(f *testing.F) {
	// a multipath IPv4 route, an IPv6 blackhole and one with metrics, as dumped
	for _, seed := range []string{
		"02180000fe710001000000000800" + "0f00fe0000000800" + "01000a010300240009001000000001000000080005000a6300021000000001000000080005000a630003",
		"0a400000fe70000600000000" + "08000f00fe000000140001" + "00fd0100070000000000000000000000000800060000040000080004000100000024000c00" + "0000000000000000000000000000000000000000000000000000000000000000",
		"02180000fe700001000000000800010" + "00a0105000c00080008000200780500000800050" + "00a630002",
	} {
		b, err := hex.DecodeString(seed[:len(seed)&^1])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	s, err := rtnl.Open()
	if err != nil {
		f.Fatal(err)
	}
	d, p := newDecoder(s.Names()), newPlaces()
	f.Fuzz(func(t *testing.T, m []byte) {
		var r state.Route
		if !d.decode(m, &r) {
			return
		}
		if !r.Dst.IsValid() {
			t.Fatalf("decoded without a destination: %x", m)
		}
		_, _, _, _ = text(&r), isOdd(&r), r.Key(), state.String(r)
		p.add(&r)
		p.remove(&r)
		b := s.Batch()
		deleteRaw(b.Message(unix.RTM_DELROUTE, 0, 0), m) // encoded, not sent
	})
}

func FuzzWatcher(f *testing.F) {
	f.Add(uint16(unix.RTM_NEWROUTE), uint16(0), []byte{2, 24, 0, 0, 254, 112, 0, 1, 0, 0, 0, 0, 8, 0, 1, 0, 10, 1, 0, 0})
	f.Add(uint16(unix.RTM_DELLINK), uint16(0), []byte{0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 6, 0, 3, 0, 'd', 0})
	f.Add(uint16(unix.RTM_DELADDR), uint16(0), []byte{2, 24, 0, 0, 1, 0, 0, 0})
	s, err := rtnl.Open()
	if err != nil {
		f.Fatal(err)
	}
	k := &Kind{places: newPlaces()}
	k.tables.Store(&[]uint32{state.TableMain})
	w := &watcher{
		k: k, ctx: context.Background(), decoder: newDecoder(s.Names()),
		changed: func([]state.Event[state.Route]) {}, again: func() {},
	}
	f.Fuzz(func(_ *testing.T, typ, flags uint16, data []byte) {
		w.event(rtnl.Message{Type: typ, Flags: flags, Data: data})
		w.pause()
	})
}

// Reading many routes allocates for what is new, not for each route.
func TestReadAllocatesLittle(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t)
		must(t, k, add(many(10_000, "10.99.0.2 d0")...))
		must(t, k, add(many6(5_000, "fd99::2 d0", "fd98::2 d1")...))
		n := 0
		allocs := testing.AllocsPerRun(3, func() {
			n = 0
			if err := k.Read(context.Background(), func(state.Route) { n++ }); err != nil {
				t.Fatal(err)
			}
		})
		if n != 15_000 || allocs > 200 {
			t.Errorf("%d routes, %.0f allocations", n, allocs)
		}
	})
}
