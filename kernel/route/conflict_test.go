package route

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// everything is what `ip` says is there, in the kernel's order.
func everything(t *testing.T) string {
	return nstest.Sh(t, "ip route show table all; ip -6 route show table all")
}

// conflicts applies changes that must all meet another's route, printed as with.
func conflicts(t *testing.T, k *Kind, changes []state.Change[state.Route], with string) {
	t.Helper()
	for i, err := range k.Apply(context.Background(), changes) {
		var c *state.ConflictError
		if !errors.As(err, &c) {
			t.Errorf("%s %s: %v, want a conflict", changes[i].Action, changes[i], err)
		} else if c.With != with || c.Key != changes[i].Object().Key() {
			t.Errorf("%s: in the way: %q of %s, want %q", changes[i], c.With, c.Key, with)
		}
	}
}

func TestForeignRouteStaysAndIsReported(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t, state.TableMain, 100)
		for _, c := range []struct {
			name, make, table, with string
			r                       state.Route
		}{
			{"gateway", "ip route add 10.1.0.0/24 via 10.99.0.9 proto static", "", "10.1.0.0/24 via 10.99.0.9 dev d0 proto static", route("10.1.0.0/24", 112, "10.99.0.2 d0")},
			{"same", "ip route add 10.1.0.0/24 via 10.99.0.2", "", "10.1.0.0/24 via 10.99.0.2 dev d0", route("10.1.0.0/24", 112, "10.99.0.2 d0")},
			{"host", "ip route add 10.1.0.5 dev d1 proto bgp src 10.98.0.1 mtu 1300", "", "10.1.0.5 dev d1 proto bgp scope link src 10.98.0.1 mtu 1300", route("10.1.0.5/32", 112, " d0")},
			{"hidden by a longer one", "ip route add 10.1.0.0/24 via 10.99.0.9 proto static; ip route add 10.1.0.0/32 via 10.99.0.8", "", "10.1.0.0/24 via 10.99.0.9 dev d0 proto static", route("10.1.0.0/24", 112, "10.99.0.2 d0")},
			{"blackhole", "ip route add blackhole 10.1.0.0/24 proto 80", "", "blackhole 10.1.0.0/24 proto 80", blackhole("10.1.0.0/24")},
			{"several", "ip route add 10.1.0.0/24 nexthop via 10.99.0.9 nexthop via 10.98.0.9", "", "10.1.0.0/24 nexthop via 10.98.0.9 dev d1 nexthop via 10.99.0.9 dev d0", route("10.1.0.0/24", 112, "10.99.0.2 d0")},
			{"table", "ip route add 10.1.0.0/24 via 10.99.0.9 table 100", "100", "10.1.0.0/24 via 10.99.0.9 dev d0 table 100", inTable(100, route("10.1.0.0/24", 112, "10.99.0.2 d0"))},
			{"default", "ip route add default via 10.99.0.9", "", "default via 10.99.0.9 dev d0", route("0.0.0.0/0", 113, "10.99.0.2 d0")},
			{"v6", "ip route add fd01::/64 via fd99::9 proto static", "", "fd01::/64 via fd99::9 dev d0 proto static metric 1024", route("fd01::/64", 112, "fd99::2 d0")},
			{"v6 device", "ip route add fd01::5 dev d1 proto static", "", "fd01::5 dev d1 proto static metric 1024", route("fd01::5/128", 112, " d0")},
			{"v6 device to gateway", "ip route add fd01::/64 dev d1 proto static", "", "fd01::/64 dev d1 proto static metric 1024", route("fd01::/64", 112, "fd99::2 d0")},
			{"v6 blackhole", "ip route add blackhole fd01::/64 proto static", "", "blackhole fd01::/64 dev lo proto static metric 1024", blackhole("fd01::/64")},
			{"v6 table", "ip route add fd01::/64 via fd99::9 table 100", "100", "fd01::/64 via fd99::9 dev d0 table 100 metric 1024", inTable(100, route("fd01::/64", 112, "fd99::2 d0"))},
		} {
			t.Run(c.name, func(t *testing.T) {
				nstest.Sh(t, c.make)
				before := everything(t)
				other := c.r
				other.MTU = 1280
				conflicts(t, k, add(c.r), c.with)
				conflicts(t, k, mod(other, c.r), c.with)
				must(t, k, del(c.r))
				if now := everything(t); now != before {
					t.Errorf("before\n%s\nnow\n%s", before, now)
				}
				expect(t, k)
				foreign, err := k.Foreign(context.Background(), []state.Key{c.r.Key(), blackhole("10.222.0.0/24").Key()})
				if err != nil || len(foreign) != 1 || foreign[c.r.Key()] != c.with {
					t.Errorf("foreign: %v, %v", foreign, err)
				}
				nstest.Sh(t, `ip route flush root 10.1.0.0/16; ip route flush default; ip route flush table 100 || true
					while ip -6 route del fd01::/64 2>/dev/null || ip -6 route del fd01::5 2>/dev/null; do :; done; ip -6 route flush table 100 || true`)
			})
		}
	})
}

func inTable(table uint32, r state.Route) state.Route {
	r.Table = table
	return r
}

// A route that was put in front of plumb's own takes the traffic, and the kernel's
// replace would take it over.
func TestPrependedRouteStays(t *testing.T) {
	for _, c := range []struct {
		name  string
		a, b  state.Route
		extra string
	}{
		{"gateway", route("10.1.0.0/24", 112, "10.99.0.2 d0"), route("10.1.0.0/24", 112, "10.99.0.3 d0"), "true"},
		{"hidden", route("10.1.0.0/24", 112, "10.99.0.2 d0"), route("10.1.0.0/24", 112, "10.99.0.3 d0"), "ip route add 10.1.0.0/32 dev d1"},
		{"blackhole", blackhole("10.1.0.0/24"), route("10.1.0.0/24", 112, "10.99.0.3 d0"), "true"},
		{"next hop out of reach", route("10.1.0.0/24", 112, "192.0.2.1 d0"), route("10.1.0.0/24", 112, "10.99.0.3 d0"), "ip addr del 192.0.2.9/24 dev d0"},
		{"other table", inTable(100, route("10.1.0.0/24", 112, "10.99.0.2 d0")), inTable(100, route("10.1.0.0/24", 112, "10.99.0.3 d0")), "true"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			nstest.Run(t, func(t *testing.T) {
				wire(t)
				nstest.Sh(t, "ip addr add 192.0.2.9/24 dev d0")
				k := open(t, state.TableMain, 100)
				must(t, k, add(c.a))
				table := "main"
				with := "10.1.0.0/24 via 10.98.0.9 dev d1 proto static"
				if c.a.Table != state.TableMain {
					table = "100"
					with = strings.Replace(with, " proto", " table 100 proto", 1)
				}
				nstest.Sh(t, "ip route prepend 10.1.0.0/24 via 10.98.0.9 proto static table "+table+"; "+c.extra)
				before := everything(t)
				conflicts(t, k, mod(c.a, c.b), with)
				if now := everything(t); now != before {
					t.Errorf("before\n%s\nnow\n%s", before, now)
				}
				if c.name != "next hop out of reach" {
					conflicts(t, k, add(c.a), with) // it is there, but carries nothing
				}
				foreign, err := k.Foreign(context.Background(), []state.Key{c.a.Key()})
				if err != nil || foreign[c.a.Key()] != with {
					t.Errorf("foreign: %v, %v", foreign, err)
				}
				// once it is away, the same change goes through
				nstest.Sh(t, "ip route del 10.1.0.0/24 via 10.98.0.9 proto static table "+table)
				must(t, k, mod(c.a, c.b))
				expect(t, k, c.b)
				// and deletion takes plumb's own alone
				nstest.Sh(t, "ip route prepend 10.1.0.0/24 via 10.98.0.9 proto static table "+table)
				must(t, k, del(c.b))
				expect(t, k)
				if !strings.Contains(everything(t), strings.TrimSuffix(strings.Split(with, " table")[0], " proto static")) {
					t.Error("the foreign route went with plumb's own")
				}
			})
		})
	}
}

func TestAppendedRouteStays(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t)
		a, b := route("10.1.0.0/24", 112, "10.99.0.2 d0"), route("10.1.0.0/24", 112, "10.99.0.3 d0", "10.98.0.2 d1")
		must(t, k, add(a))
		nstest.Sh(t, "ip route append 10.1.0.0/24 via 10.98.0.9 proto static")
		must(t, k, mod(a, b)) // plumb's own is first, and carries the traffic
		expect(t, k, b)
		must(t, k, mod(b, a))
		foreign, err := k.Foreign(context.Background(), []state.Key{a.Key()})
		if err != nil || len(foreign) != 0 {
			t.Errorf("in the way: %v, %v", foreign, err)
		}
		must(t, k, del(a))
		if got := nstest.Sh(t, "ip route show 10.1.0.0/24"); got != "10.1.0.0/24 via 10.98.0.9 dev d1 proto static" {
			t.Errorf("left: %s", got)
		}
	})
}

// The kernel makes a foreign IPv6 route with a gateway one of the next hops of
// plumb's own.
func TestForeignNextHopStays(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t)
		const foreign = "via fd98::9 dev d1"
		one, two, third := route("fd01::/64", 112, "fd99::2 d0"), route("fd01::/64", 112, "fd99::2 d0", "fd99::3 d0"), route("fd01::/64", 112, "fd99::4 d0")
		for _, c := range []struct{ before, after state.Route }{
			{one, two},
			{two, one},
			{two, third},
			{one, third},
			{third, two},
			{one, blackhole("fd01::/64")},
			{one, route("fd01::/64", 112, " d0")},
		} {
			must(t, k, add(c.before))
			nstest.Sh(t, "ip -6 route append fd01::/64 via fd98::9 dev d1 proto static metric 1024")
			var seen state.Route
			for _, r := range read(t, k) {
				seen = r
			}
			if with := k.Shared(mod(seen, c.after))[seen.Key()]; strings.Contains(with, foreign) != joins(&c.after) {
				t.Errorf("%s: shared with %q", lines(seen), with)
			}
			err := k.Apply(context.Background(), mod(seen, c.after))[0]
			var conflict *state.ConflictError
			if joins(&c.after) && !errors.As(err, &conflict) {
				t.Errorf("%s: %v", lines(c.after), err)
			}
			if now := nstest.Sh(t, "ip -6 route show fd01::/64"); !strings.Contains(now, foreign) {
				t.Errorf("to %s: the foreign next hop is gone:\n%s", lines(c.after), now)
			} else if strings.Contains(now, "fd99::2") != strings.Contains(lines(c.after), "fd99::2") {
				t.Errorf("to %s: %s", lines(c.after), now)
			}
			for _, r := range []state.Route{c.before, seen, c.after} {
				must(t, k, del(r))
			}
			if now := nstest.Sh(t, "ip -6 route show fd01::/64"); !strings.HasPrefix(now, "fd01::/64 "+foreign) || strings.Contains(now, "\n") {
				t.Errorf("after deletion:\n%s", now)
			}
			nstest.Sh(t, "ip -6 route flush fd01::/64")
		}
		must(t, k, add(two))
		if shared := k.Shared(mod(two, one)); len(shared) > 0 {
			t.Errorf("plumb's alone: %v", shared)
		}
	})
}

func TestSlotsBesideStay(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t, state.TableMain)
		nstest.Sh(t, `ip route add 10.1.0.0/24 via 10.99.0.9 metric 50
			ip route add 10.1.0.0/24 tos 0x10 via 10.99.0.9
			ip route add 10.1.0.0/25 via 10.99.0.9
			ip route add 10.1.0.0/24 via 10.99.0.9 table 100 proto 112
			ip -6 route add fd01::/64 via fd99::9 metric 50
			ip -6 route add fd01::/64 via fd99::9 table 100 proto 112`)
		before := everything(t)
		a, b := route("10.1.0.0/24", 112, "10.99.0.2 d0"), route("10.1.0.0/24", 112, "10.99.0.3 d0")
		a6, b6 := route("fd01::/64", 112, "fd99::2 d0"), route("fd01::/64", 112, " d1")
		must(t, k, add(a, a6))
		expect(t, k, a, a6)
		must(t, k, append(mod(a, b), mod(a6, b6)...))
		expect(t, k, b, b6)
		must(t, k, del(b, b6))
		if now := everything(t); now != before {
			t.Errorf("before\n%s\nnow\n%s", before, now)
		}
	})
}

// To a deletion, the kernel takes metric 0 as any.
func TestDeleteKeepsPlumbsOtherMetrics(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t)
		plain, metered := route("10.1.0.0/24", 112, "10.99.0.2 d0"), route("10.1.0.0/24", 112, "10.99.0.2 d0")
		metered.Metric = 100
		must(t, k, add(metered))
		must(t, k, del(plain))
		expect(t, k, metered)
		must(t, k, add(plain))
		must(t, k, del(plain))
		expect(t, k, metered)
	})
}
