package neigh

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/state"
)

// The engine's contract, held to at compile time.
var _ reconcile.Ops[state.Neigh] = (*Kind)(nil)

const mac = "02:00:00:00:00:0a"

// setup makes two owned devices, plb0 and plb1, and one that is not, eth7.
func setup(t testing.TB) *Kind {
	t.Helper()
	nstest.Sh(t, `for i in plb0 plb1 eth7; do ip link add $i type veth peer name p-$i; ip link set $i up; ip link set p-$i up; done`)
	k, err := New(func(dev string) bool { return strings.HasPrefix(dev, "plb") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func entry(addr, dev, mac string) state.Neigh {
	return state.Neigh{Addr: netip.MustParseAddr(addr), Dev: dev, MAC: mac}
}

func changes(a state.Action, entries ...state.Neigh) []state.Change[state.Neigh] {
	var out []state.Change[state.Neigh]
	for _, n := range entries {
		c := state.Change[state.Neigh]{Action: a, After: n}
		if a == state.Delete {
			c = state.Change[state.Neigh]{Action: a, Before: n}
		}
		out = append(out, c)
	}
	return out
}

func must(t testing.TB, k *Kind, changes []state.Change[state.Neigh]) {
	t.Helper()
	for i, err := range k.Apply(context.Background(), changes) {
		if err != nil {
			t.Fatalf("%s %s: %v", changes[i].Action, changes[i], err)
		}
	}
}

func lines(entries []state.Neigh) string {
	var out []string
	for _, n := range entries {
		out = append(out, state.String(n))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func expect(t testing.TB, k *Kind, want ...state.Neigh) {
	t.Helper()
	var got []state.Neigh
	if err := k.Read(context.Background(), func(n state.Neigh) { got = append(got, n) }); err != nil {
		t.Fatal(err)
	}
	if lines(got) != lines(want) {
		t.Fatalf("kernel has\n%s\nwant\n%s", lines(got), lines(want))
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Fatalf("read back, not ==:\n%#v\n%#v", got, w)
		}
	}
}

func TestWrittenReadsBackEqual(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		k := setup(t)
		nstest.Sh(t, `ip neigh add 10.0.0.1 lladdr 02:00:00:00:00:01 dev eth7 nud permanent
			ip neigh add 10.0.0.2 lladdr 02:00:00:00:00:01 dev plb0 nud reachable
			ip neigh add 10.0.0.3 lladdr 02:00:00:00:00:01 dev plb0 nud reachable
			ip neigh add proxy 10.0.0.4 dev plb0`)
		want := []state.Neigh{
			entry("10.0.0.2", "plb0", mac), entry("10.0.0.2", "plb1", mac), // the first takes the place of a learned one
			entry("fd00::2", "plb0", mac), entry("fe80::1", "plb1", "ee:ee:ee:ee:ee:ee"),
		}
		must(t, k, changes(state.Add, want...))
		expect(t, k, want...)
		must(t, k, changes(state.Add, want...))
		want[0].MAC = "02:00:00:00:00:0b"
		must(t, k, changes(state.Modify, want[0]))
		expect(t, k, want...)
		must(t, k, changes(state.Delete, want...))
		must(t, k, changes(state.Delete, want...))
		must(t, k, changes(state.Delete, entry("10.0.0.9", "plbgone", mac)))
		expect(t, k)
		if left := nstest.Sh(t, "ip neigh show nud permanent dev eth7; ip neigh show 10.0.0.3; ip neigh show proxy"); strings.Count(left, "\n") != 2 {
			t.Errorf("others' entries: %s", left)
		}
	})
}

func TestEachFailureIsItsOwn(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		k := setup(t)
		nstest.Sh(t, "ip link add plbdown type veth peer name pd")
		c := changes(state.Add,
			entry("10.0.0.1", "plb0", mac), entry("10.0.0.1", "plbgone", mac), entry("10.0.0.1", "eth7", mac),
			entry("10.0.0.1", "plb1", "AA:BB"), entry("10.0.0.2", "plb0", mac), entry("10.0.0.1", "plb1", "02:00:00:00:00:00:00:01"))
		want := []string{"", "interface plbgone does not exist", "interface eth7 is not plumb's", `"AA:BB" is no MAC address`, "", `"02:00:00:00:00:00:00:01" is no MAC address`}
		for i, err := range k.Apply(context.Background(), c) {
			if (err == nil) != (want[i] == "") || err != nil && !strings.HasPrefix(err.Error(), want[i]) {
				t.Errorf("%s: %v", c[i], err)
			}
		}
		expect(t, k, c[0].After, c[4].After)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := k.Apply(ctx, c)[0]; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestManyAndLostReplies(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		k := setup(t)
		var all []state.Neigh
		for i := range 5000 {
			all = append(all, entry(fmt.Sprintf("10.1.%d.%d", i>>8, i&255), "plb0", mac))
		}
		must(t, k, changes(state.Add, all...))
		expect(t, k, all...)
		must(t, k, changes(state.Delete, all...))
		k.sock.SetReceiveBuffer(4096)
		must(t, k, changes(state.Delete, all...)) // 5000 replies say that none is there
		expect(t, k)
	})
}

func TestWatch(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		k := setup(t)
		var mu sync.Mutex
		var seen []string
		again := 0
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		err := k.Watch(ctx, func(events []state.Event[state.Neigh]) {
			mu.Lock()
			defer mu.Unlock()
			for _, e := range events {
				if e.Gone {
					seen = append(seen, "gone "+e.Key.ID)
				} else {
					seen = append(seen, state.String(e.Object))
				}
			}
		}, func() { mu.Lock(); again++; mu.Unlock() })
		if err != nil {
			t.Fatal(err)
		}
		until := func(mark string) (string, int) {
			t.Helper()
			nstest.Sh(t, "ip neigh replace 192.0.2.9 lladdr 02:00:00:00:00:01 dev "+mark+" nud permanent; ip neigh del 192.0.2.9 dev "+mark)
			for range 12_000 { // a minute: the machine may be busy
				mu.Lock()
				if i := slices.Index(seen, "gone 192.0.2.9 dev "+mark); i >= 0 {
					var out []string
					for _, s := range seen[:i] {
						// what the kernel learns of IPv6 by itself
						if !strings.Contains(s, "192.0.2.9") && !strings.Contains(s, "ff02:") && !strings.Contains(s, "fe80:") {
							out = append(out, s)
						}
					}
					seen = nil
					n := again
					again = 0
					mu.Unlock()
					return strings.Join(slices.Compact(out), "\n"), n
				}
				mu.Unlock()
				time.Sleep(5 * time.Millisecond)
			}
			t.Fatal("nothing is reported")
			return "", 0
		}
		a, b := entry("10.0.0.1", "plb0", mac), entry("fd00::1", "plb0", mac)
		for _, c := range []struct {
			do, want string
			again    int
		}{
			{do: "true"},
			{do: "ip neigh del 10.0.0.1 dev plb0", want: "gone 10.0.0.1 dev plb0"},
			{do: "ip neigh replace fd00::1 lladdr 02:00:00:00:00:ff dev plb0 nud permanent", want: "neigh fd00::1 dev plb0 lladdr 02:00:00:00:00:ff PERMANENT"},
			{do: "ip neigh replace 10.0.0.1 lladdr 02:00:00:00:00:0a dev plb0 nud stale", want: "gone 10.0.0.1 dev plb0"},
			{do: "ip neigh add 10.0.0.1 lladdr 02:00:00:00:00:0a dev eth7 nud permanent"},
			{do: "ip link set plb0 down; ip link set plb0 up", want: "gone 10.0.0.1 dev plb0\ngone fd00::1 dev plb0"},
			{do: "ip link set eth7 down; ip link set eth7 name eth8"},
			{do: "ip link set plb0 down; ip link set plb0 name eth9; ip link set eth9 name plb0; ip link set plb0 up", want: "gone 10.0.0.1 dev plb0\ngone fd00::1 dev plb0", again: 1},
			{do: "ip link del plb0", want: "gone 10.0.0.1 dev plb0\ngone fd00::1 dev plb0"},
		} {
			must(t, k, changes(state.Add, a, b))
			if got, n := until("plb1"); got != "" || n != 0 {
				t.Errorf("own writes: %s, again %d", got, n)
			}
			nstest.Sh(t, c.do)
			got, n := until("plb1")
			lines := strings.Split(got, "\n")
			slices.Sort(lines)
			if got = strings.Join(slices.Compact(lines), "\n"); got != c.want || (n > 0) != (c.again > 0) {
				t.Errorf("%s: seen\n%s\nagain %d; want\n%s", c.do, got, n, c.want)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(uint16(unix.RTM_NEWNEIGH), []byte{2, 0, 0, 0, 1, 0, 0, 0, 0x80, 0, 0, 1, 8, 0, 1, 0, 10, 0, 0, 1, 10, 0, 2, 0, 2, 0, 0, 0, 0, 1, 0, 0})
	f.Add(uint16(unix.RTM_DELLINK), []byte{0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 6, 0, 3, 0, 'd', 0})
	s, err := rtnl.Open()
	if err != nil {
		f.Fatal(err)
	}
	c, err := rtnl.Collect(context.Background(), s.Names(), func([]state.Event[state.Neigh]) {}, func() {})
	if err != nil {
		f.Fatal(err)
	}
	w := &watcher{c, decoder{names: c.Names, owned: func(string) bool { return true }}}
	h := w.Handler(w.event)
	f.Fuzz(func(t *testing.T, typ uint16, b []byte) {
		if n, _, ok := w.decoder.decode(b); ok {
			if _, err := parseMAC(n.MAC); err != nil && len(n.MAC) == 17 {
				t.Fatalf("%q: %v", n.MAC, err)
			}
		}
		h.Event(rtnl.Message{Type: typ, Data: b})
		h.Pause()
	})
}
