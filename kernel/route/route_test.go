package route

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// wire makes two veth pairs, d0-p0 and d1-p1, all up and with addresses in
// 10.99.0.0/24 and fd99::/64, 10.98.0.0/24 and fd98::/64.
func wire(t testing.TB) {
	nstest.Sh(t, `ip link set lo up
		sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
		for i in 0 1; do
			ip link add d$i type veth peer name p$i
			ip link set d$i up; ip link set p$i up
			ip addr add 10.9$((9-i)).0.1/24 dev d$i
			ip addr add fd9$((9-i))::1/64 dev d$i nodad
		done`)
}

func open(t testing.TB, tables ...uint32) *Kind {
	t.Helper()
	if len(tables) == 0 {
		tables = []uint32{state.TableMain}
	}
	k, err := New(tables...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return k
}

func read(t testing.TB, k *Kind) []state.Route {
	t.Helper()
	var out []state.Route
	if err := k.Read(context.Background(), func(r state.Route) { out = append(out, r) }); err != nil {
		t.Fatalf("read: %v", err)
	}
	return out
}

// lines prints routes as plumb does, sorted.
func lines(routes ...state.Route) string {
	var out []string
	for _, r := range routes {
		out = append(out, state.String(r))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func expect(t testing.TB, k *Kind, want ...state.Route) {
	t.Helper()
	got := read(t, k)
	if a, b := lines(got...), lines(want...); a != b {
		t.Fatalf("kernel has\n%s\nwant\n%s", a, b)
	}
	there := map[state.Route]bool{}
	for _, r := range got {
		there[r] = true
	}
	for _, w := range want { // the lines are not all that == compares
		if !there[w] {
			t.Fatalf("read back, not ==:\n%#v\n%#v", got, w)
		}
	}
}

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// route makes a wanted route: hops are "GATEWAY DEV", " DEV", "GATEWAY DEV onlink".
func route(dst string, proto uint8, hops ...string) state.Route {
	var nh []state.NextHop
	for _, h := range hops {
		var n state.NextHop
		if f := strings.Split(h, " "); f[0] != "" {
			n.Gateway = netip.MustParseAddr(f[0])
			n.Dev = f[1]
			n.OnLink = len(f) > 2
		} else {
			n.Dev = f[1]
		}
		nh = append(nh, n)
	}
	return state.NewRoute(pfx(dst), state.TableMain, proto, nh...)
}

func blackhole(dst string) state.Route {
	return state.NewBlackhole(pfx(dst), state.TableMain, state.ProtoPlumb)
}

func add(r ...state.Route) []state.Change[state.Route] {
	var out []state.Change[state.Route]
	for _, r := range r {
		out = append(out, state.Change[state.Route]{Action: state.Add, After: r})
	}
	return out
}

func del(r ...state.Route) []state.Change[state.Route] {
	var out []state.Change[state.Route]
	for _, r := range r {
		out = append(out, state.Change[state.Route]{Action: state.Delete, Before: r})
	}
	return out
}

func mod(before, after state.Route) []state.Change[state.Route] {
	return []state.Change[state.Route]{{Action: state.Modify, Before: before, After: after}}
}

// must applies changes that must all succeed.
func must(t testing.TB, k *Kind, changes []state.Change[state.Route]) {
	t.Helper()
	for i, err := range k.Apply(context.Background(), changes) {
		if err != nil {
			t.Errorf("%s %s: %v", changes[i].Action, changes[i], err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// forms are routes of every form that plumb makes, with every field in use.
func forms() []state.Route {
	with := func(r state.Route, change func(*state.Route)) state.Route {
		change(&r)
		return r
	}
	forms := []state.Route{
		route("10.1.0.5/32", 112, " d0"),
		route("10.1.1.0/24", 112, "10.99.0.2 d0"),
		route("10.1.2.0/24", 112, "192.0.2.9 d0 onlink"),
		route("10.1.3.0/24", 113, "10.99.0.2 d0", "10.98.0.2 d1"),
		route("10.1.4.0/24", 113, "10.99.0.3 d0", "10.99.0.2 d0", "192.0.2.1 d1 onlink"),
		route("10.1.5.0/24", 113, "fe80::1 d0"),
		route("10.1.6.0/24", 113, "fe80::1 d0", "10.98.0.2 d1"),
		route("0.0.0.0/0", 113, "10.99.0.2 d0"),
		blackhole("10.1.7.0/24"),
		route("fd01::5/128", 112, " d0"),
		route("fd01:1::/64", 112, "fd99::2 d0"),
		route("fd01:2::/64", 112, "2001:db8::9 d0 onlink"),
		route("fd01:3::/64", 113, "fd99::2 d0", "fd98::2 d1"),
		route("fd01:4::/64", 113, "fe80::9 d1", "fe80::8 d0", "fd99::7 d0"),
		route("::/0", 113, "fe80::1 d0"),
		blackhole("fd01:7::/64"),
	}
	for _, r := range slices.Clone(forms) {
		if r.Type == state.Blackhole {
			continue
		}
		src := netip.MustParseAddr("10.99.0.1")
		if r.Dst.Addr().Is6() {
			src = netip.MustParseAddr("fd99::1")
		}
		for i, change := range []func(*state.Route){
			func(r *state.Route) { r.Src = src },
			func(r *state.Route) { r.MTU = 1400 },
			func(r *state.Route) { r.Metric = 77 },
			func(r *state.Route) { r.Table = 100 },
			func(r *state.Route) { r.Table = 1000; r.Src = src; r.MTU = 1300; r.Metric = 5 },
		} {
			if i < 2 { // not the same slot as the plain one
				r.Metric = uint32(2000 + i)
			}
			forms = append(forms, with(r, change))
		}
	}
	return forms
}

func TestEveryFormReadsBackEqual(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t, state.TableMain, 100, 1000)
		must(t, k, add(forms()...))
		expect(t, k, forms()...)
		must(t, k, del(forms()...))
		expect(t, k)
	})
}

func TestOneByOneReadsBackEqual(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t, state.TableMain, 100, 1000)
		for _, r := range forms() {
			must(t, k, add(r))
			expect(t, k, r)
			must(t, k, del(r))
			expect(t, k)
		}
	})
}

// Any form can become any other of the same destination, and what others had
// beside it stays.
func TestEveryFormBecomesEveryOther(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t, state.TableMain, 100, 1000)
		for _, fam := range []string{"10.7.0.0/24", "fd07::/64"} {
			for _, metric := range []uint32{1024, 50} {
				var all []state.Route
				for _, r := range forms() {
					if r.Dst.Addr().Is4() == pfx(fam).Addr().Is4() && r.Table == state.TableMain {
						r.Dst, r.Metric = pfx(fam), metric
						if !slices.Contains(all, r) {
							all = append(all, r)
						}
					}
				}
				for i, from := range all {
					for _, to := range all[i:] {
						must(t, k, add(from))
						must(t, k, mod(from, to))
						expect(t, k, to)
						must(t, k, mod(to, from))
						expect(t, k, from)
						must(t, k, del(from))
						expect(t, k)
					}
				}
			}
		}
	})
}

func ExampleKind_Apply() {
	fmt.Println(lines(route("10.1.3.0/24", 113, "10.99.0.2 d0", "10.98.0.2 d1")))
	// Output: route 10.1.3.0/24 nexthop via 10.98.0.2 dev d1 nexthop via 10.99.0.2 dev d0 proto plumb-bgp
}
