package route

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

func openOthers(t *testing.T, k *Kind) *Others {
	t.Helper()
	o, err := OpenOthers(k)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	return o
}

func TestOthers(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t)
		o := openOthers(t, k)
		must(t, k, add(route("10.244.1.0/24", state.ProtoPlumb, "10.99.0.2 d0"), route("10.244.2.0/24", state.ProtoBGP, "10.99.0.2 d0")))
		nstest.Sh(t, `
			ip route add 203.0.113.0/24 via 10.99.0.9 metric 7
			ip route add unreachable 198.51.100.0/24
			ip route add 192.0.2.0/24 nexthop via 10.99.0.2 dev d0 nexthop via 10.98.0.2 dev d1 weight 3
			ip route add 100.64.0.0/10 via inet6 fd99::2 dev d0
			ip route add 172.16.0.0/12 via 10.99.0.2 table 100
			ip -6 route add default via fd99::2`)
		list, err := o.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range list {
			if line := state.String(r); !strings.Contains(line, "fe80::") {
				got = append(got, line)
			}
		}
		want := []string{
			"route 10.98.0.0/24 dev d1 scope link proto kernel src 10.98.0.1",
			"route 10.99.0.0/24 dev d0 scope link proto kernel src 10.99.0.1",
			"route 100.64.0.0/10 via inet6 fd99::2 dev d0 proto boot",
			"route 192.0.2.0/24 weight 3 nexthop via 10.98.0.2 dev d1 nexthop via 10.99.0.2 dev d0 proto boot",
			"route 203.0.113.0/24 via 10.99.0.9 dev d0 proto boot metric 7",
			"route ::/0 via fd99::2 dev d0 proto boot",
			"route fd98::/64 dev d1 proto kernel metric 256",
			"route fd99::/64 dev d0 proto kernel metric 256",
			"route unreachable 198.51.100.0/24 proto boot",
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// told collects what a watch of others' routes says.
type told struct {
	mu       sync.Mutex
	prefixes []netip.Prefix
	again    int
}

func (w *told) take() (prefixes string, again int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, p := range w.prefixes {
		out = append(out, p.String())
	}
	return strings.Join(out, " "), w.again
}

func TestOthersAreWatched(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		nstest.Sh(t, "ip link add plb1 type veth peer name pod1; ip link set plb1 up; ip route add 192.0.2.0/24 via 10.98.0.9")
		k := open(t)
		o := openOthers(t, k)
		w := &told{}
		ctx, cancel := context.WithCancel(context.Background())
		t.Cleanup(cancel)
		if err := o.Watch(ctx, func(list []netip.Prefix) {
			w.mu.Lock()
			w.prefixes = append(w.prefixes, list...)
			w.mu.Unlock()
		}, func() { w.mu.Lock(); w.again++; w.mu.Unlock() }); err != nil {
			t.Fatal(err)
		}
		until := func(what string, ok func(prefixes string, again int) bool) {
			t.Helper()
			for range 12_000 { // a minute: the machine may be busy
				if ok(w.take()) {
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
			p, n := w.take()
			t.Fatalf("%s: told of %s, again %d times", what, p, n)
		}
		must(t, k, add(route("10.244.1.0/24", state.ProtoPlumb, "10.99.0.2 d0"))) // plumb's own
		nstest.Sh(t, `
			ip route add 10.244.9.0/24 via 10.99.0.2 proto 113
			ip route add 172.16.0.0/12 via 10.99.0.2 table 100
			ip link set plb1 down
			ip route add 203.0.113.0/24 via 10.99.0.9
			ip route change 203.0.113.0/24 via 10.99.0.8
			ip route del 203.0.113.0/24
			ip -6 route add 2001:db8::/32 via fd99::2`)
		until("what came and went", func(p string, again int) bool {
			return again == 0 && p == "203.0.113.0/24 203.0.113.0/24 203.0.113.0/24 2001:db8::/32"
		})
		nstest.Sh(t, "ip link set d1 down")
		until("a device goes down", func(_ string, again int) bool { return again > 0 })
	})
}
