package nft

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

func generation(t testing.TB, k *Kind) uint32 {
	t.Helper()
	gen, err := k.sock.generation()
	if err != nil {
		t.Fatal(err)
	}
	return gen
}

// Each type of object, in each way that it can be.
func TestEveryObject(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		want := snapshot(state.Table{},
			state.Set{Name: "v4", Type: "ipv4_addr"},
			state.Set{Name: "v6", Type: "ipv6_addr"},
			state.Set{Name: "empty.4-x_/", Type: "ipv4_addr"},
			state.Chain{Name: "reg", Type: regularType, Hook: noHook, Policy: noHook},
		)
		for _, s := range []string{
			"0.0.0.0/32", "0.0.0.2-0.0.0.5", "10.0.0.0/24", "10.0.1.0/24", "10.0.2.0-10.0.2.1",
			"192.0.2.1", "192.0.2.2", "192.0.2.4-192.0.2.9", "255.255.255.254", "255.255.255.255",
		} {
			want.Put(element("v4", s))
		}
		for _, s := range []string{
			"::", "::2-::5", "fd00::/64", "fd00:0:0:1::/64", "::ffff:0:0/96", "2001:db8::1",
			"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0/124",
		} {
			want.Put(element("v6", s))
		}
		for _, h := range hooks() {
			for i, p := range []string{"accept", "drop"} {
				want.Put(state.Chain{
					Name: h.name + p, Type: "filter", Hook: h.name, Priority: int32(i*300 - 150), Policy: p,
				})
			}
		}
		for _, h := range []string{"prerouting", "input", "output", "postrouting"} {
			want.Put(state.Chain{Name: "nat" + h, Type: "nat", Hook: h, Priority: 2147483647, Policy: "accept"})
		}
		converge(t, k, want)
		// nft(8) prints the elements as plumb does.
		list := nstest.Sh(t, "nft list set inet plumb v4; nft list set inet plumb v6")
		for _, o := range want {
			if e, ok := o.(state.Element); ok && !strings.Contains(list, strings.TrimPrefix(e.Key().ID, e.Set+" ")) {
				t.Errorf("nft does not list %s:\n%s", e.Key(), list)
			}
		}
		// And takes any of them away, and puts it back.
		for _, o := range want {
			if e, ok := o.(state.Element); ok {
				id := strings.TrimPrefix(e.Key().ID, e.Set+" ")
				nstest.Sh(t, fmt.Sprintf("nft delete element inet plumb %s '{ %s }'", e.Set, id))
				less := read(t, k)
				if less[e.Key()] != nil || len(less) != len(want)-1 {
					t.Errorf("without %s there are %d of %d objects", e.Key(), len(less), len(want))
				}
				nstest.Sh(t, fmt.Sprintf("nft add element inet plumb %s '{ %s }'", e.Set, id))
				equal(t, "restored "+id, read(t, k), want)
			}
		}
		converge(t, k, nil)
	})
}

// A second Apply of the same sends nothing, whatever the changes say that there
// was before.
func TestIdempotent(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		want := typical()
		once := diff(read(t, k), want)
		apply(t, k, once)
		gen := generation(t, k)
		apply(t, k, once)
		for _, o := range want.Sorted() {
			apply(t, k, []state.Change[state.Object]{{Action: state.Modify, Before: o, After: o}})
		}
		apply(t, k, nil)
		absent := []state.Object{
			element("masq4", "1.2.3.4"), element("masq4", "10.244.0.0/17"), element("none", "1.2.3.4"),
			state.Set{Name: "none", Type: "ipv4_addr"},
			state.Chain{Name: "none", Type: "filter", Hook: "input", Policy: "accept"},
			state.Rule{Chain: "postrouting", Pos: 9, Expr: "drop"},
			state.Rule{Chain: "postrouting", Pos: 0, Expr: "drop"},
			state.Rule{Chain: "none", Pos: 0, Expr: "drop"},
		}
		apply(t, k, deletes(absent))
		apply(t, newKind(t), once)
		if now := generation(t, k); now != gen {
			t.Errorf("%d transactions were made", now-gen)
		}
		equal(t, "still", read(t, k), want)
		apply(t, k, diff(want, nil))
		gen = generation(t, k)
		apply(t, k, diff(want, nil))
		if now := generation(t, k); now != gen {
			t.Errorf("%d transactions were made", now-gen)
		}
	})
}

func handles(t *testing.T, chain string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for line := range strings.Lines(nstest.Sh(t, "nft -s -a list chain inet plumb "+chain)) {
		if text, handle, ok := strings.Cut(strings.TrimSpace(line), " # handle "); ok && !strings.HasPrefix(text, "chain") {
			out[text] = handle
		}
	}
	return out
}

// One rule more or less leaves the others as they are, with their handles.
func TestRulesThatStay(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		exprs := []string{"counter", "ct state invalid drop", "tcp dport 80 accept", "udp dport 53 accept", "drop"}
		want := func(exprs []string) state.Snapshot {
			s := snapshot(state.Table{}, postrouting)
			s.Put(rules("postrouting", exprs...)...)
			return s
		}
		converge(t, k, want(exprs))
		for _, changed := range [][]string{
			append([]string{"return"}, exprs...),
			append(slices.Clone(exprs[:2]), append([]string{"return"}, exprs[2:]...)...),
			append(slices.Clone(exprs), "return"),
			exprs[1:],
			append(slices.Clone(exprs[:2]), exprs[3:]...),
			exprs[:4],
			{exprs[4], exprs[0], exprs[1]},
			append([]string{"return", "counter drop"}, exprs[1:4]...),
		} {
			before := handles(t, "postrouting")
			converge(t, k, want(changed))
			now := handles(t, "postrouting")
			moved := 0
			for text, handle := range before {
				if slices.Contains(changed, text) && now[text] != handle {
					moved++
				}
			}
			if moved > 1 { // of a rotation one rule cannot stay
				t.Errorf("%q: %d rules were made anew", changed, moved)
			}
			converge(t, k, want(exprs))
		}
	})
}

// Positions that are those of an exact difference, not of a comparison place by
// place.
func TestRuleChangesByPosition(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		base := snapshot(state.Table{}, postrouting)
		converge(t, k, base)
		rule := func(pos int, expr string) state.Object { return state.Rule{Chain: "postrouting", Pos: pos, Expr: expr} }
		step := func(changes []state.Change[state.Object], exprs ...string) {
			t.Helper()
			apply(t, k, changes)
			want := snapshot(base.Sorted()...)
			want.Put(rules("postrouting", exprs...)...)
			equal(t, "rules", read(t, k), want)
			equal(t, "rules in the kernel", read(t, newKind(t)), want)
		}
		step(adds([]state.Object{rule(0, "counter"), rule(1, "drop")}), "counter", "drop")
		step(adds([]state.Object{rule(0, "return")}), "return", "counter", "drop")
		step(adds([]state.Object{rule(0, "return")}), "return", "counter", "drop")
		step(deletes([]state.Object{rule(1, "counter")}), "return", "drop")
		step(append(deletes([]state.Object{rule(0, "return")}), adds([]state.Object{rule(1, "accept")})...), "drop", "accept")
		step(adds([]state.Object{rule(7, "return"), rule(9, "counter")}), "drop", "accept", "return", "counter")
		step([]state.Change[state.Object]{{Action: state.Modify, Before: rule(1, "accept"), After: rule(1, "counter accept")}},
			"drop", "counter accept", "return", "counter")
		// Somebody else put a rule on top since the changes were worked out.
		nstest.Sh(t, "nft insert rule inet plumb postrouting meta l4proto tcp")
		step(deletes([]state.Object{rule(0, "drop")}), "meta l4proto tcp", "drop", "counter accept", "return", "counter")
	})
}

// A chain that has to be made anew takes its rules with it, and so does what
// refers to it; a set as well.
func TestMadeAnew(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		want := typical()
		side := state.Chain{Name: "side", Type: regularType, Hook: noHook, Policy: noHook}
		want.Put(side)
		want.Put(rules("side", "counter drop", "return")...)
		want.Put(rules("antispoof", `iifname "plb*" fib saddr . iif oif missing drop`, "ip saddr @pools4 jump side", "goto side")...)
		converge(t, k, want)

		other := postrouting
		other.Priority, other.Policy = 5, "drop"
		want.Put(other)
		apply(t, k, []state.Change[state.Object]{{Action: state.Modify, Before: postrouting, After: other}})
		equal(t, "priority", read(t, newKind(t)), want)

		filter := state.Chain{Name: "side", Type: "filter", Hook: "input", Priority: 3, Policy: "accept"}
		nstest.Sh(t, "nft 'flush chain inet plumb antispoof; add rule inet plumb antispoof iifname \"plb*\" fib saddr . iif oif missing drop'")
		want = snapshot(slices.DeleteFunc(want.Sorted(), func(o state.Object) bool {
			r, ok := o.(state.Rule)
			return ok && r.Chain == "antispoof" && r.Pos > 0
		})...)
		want.Put(filter)
		apply(t, k, []state.Change[state.Object]{{Action: state.Modify, Before: side, After: filter}})
		equal(t, "hook", read(t, newKind(t)), want)

		// From any other kind of set, while rules refer to it.
		for _, typ := range []string{
			"type ipv4_addr;", "type ipv4_addr; flags interval, timeout;", "type ipv4_addr; flags interval; size 5;",
			"type ipv4_addr; flags constant, interval;", "type ipv4_addr; flags interval; counter;",
			"type ipv4_addr; policy memory; flags interval;", "type ipv4_addr; flags dynamic; size 7; timeout 5s;",
		} {
			nstest.Sh(t, "nft 'flush chain inet plumb postrouting; delete set inet plumb masq4; add set inet plumb masq4 { "+typ+" };"+
				" add rule inet plumb postrouting ip saddr @masq4 ip daddr != @pools4 masquerade fully-random;"+
				" add rule inet plumb postrouting ip6 saddr @pools6 ip6 daddr != @pools6 masquerade fully-random'")
			have := read(t, k)
			if s := have[state.Key{Kind: state.KindSet, ID: "masq4"}].(state.Set); s.Type == "ipv4_addr" {
				t.Errorf("%s reads as %s", typ, state.String(s))
			}
			gen := generation(t, k)
			apply(t, k, diff(have, want))
			if now := generation(t, k); now != nextGen(gen) {
				t.Errorf("%s: %d transactions", typ, now-gen)
			}
			equal(t, typ, read(t, newKind(t)), want)
		}
		// From one family to the other.
		six := state.Set{Name: "pools6", Type: "ipv4_addr"}
		want = snapshot(slices.DeleteFunc(want.Sorted(), func(o state.Object) bool { e, ok := o.(state.Element); return ok && e.Set == "pools6" })...)
		want.Put(six, element("pools6", "10.0.0.0/8"))
		want.Put(state.Rule{Chain: "postrouting", Pos: 1, Expr: "ip saddr @pools6 masquerade"})
		converge(t, k, want)
	})
}

// A set of nft(8) without an end between ranges that touch, and with an end
// before the first: elements come and go all the same.
func TestIrregularSets(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		want := snapshot(state.Table{}, state.Set{Name: "s", Type: "ipv4_addr"})
		converge(t, k, want)
		raw := newBatch(false)
		raw.elements(unix.NFT_MSG_NEWSETELEM, "s", []elementChange{{netip.MustParseAddr("10.0.1.0"), netip.MustParseAddr("10.0.1.255"), 0}})
		// The begin of a range without its end, and the sentinel.
		raw.add(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, part{index: -1})
		raw.b = putString(raw.b, unix.NFTA_SET_ELEM_LIST_SET, "s")
		var at int
		raw.b, at = openAttr(raw.b, unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		raw.b = putElement(raw.b, netip.MustParseAddr("0.0.0.0"), true, false)
		raw.b = putElement(raw.b, netip.MustParseAddr("10.0.0.0"), false, false)
		raw.b = closeAttr(raw.b, at)
		raw.close()
		other := newKind(t)
		if guilty, err := other.commit(raw); err != nil || len(guilty) > 0 {
			t.Fatal(guilty, err)
		}
		want.Put(element("s", "10.0.0.0/24"), element("s", "10.0.1.0/24"))
		equal(t, "irregular", read(t, k), want)
		delete(want, element("s", "10.0.1.0/24").Key())
		want.Put(element("s", "0.0.0.0/8"), element("s", "10.0.4.0/24"))
		converge(t, k, want)
	})
}

// All of a large set arrives, and in one transaction.
func TestManyElements(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		called := watch(t.Context(), t, k)
		_, list := withMany(nstest.Rounds(many))
		gen := generation(t, k)
		apply(t, k, append(adds([]state.Object{state.Table{}, state.Set{Name: "masq4", Type: "ipv4_addr"}}), adds(list)...))
		if now := generation(t, k); now != nextGen(gen) {
			t.Errorf("%d transactions", now-gen)
		}
		if n := nstest.Sh(t, "nft list set inet plumb masq4 | grep -o '[0-9][0-9.]*/[0-9]*' | wc -l"); n != fmt.Sprint(len(list)) {
			t.Errorf("nft counts %s", n)
		}
		missing := map[state.Object]bool{}
		for _, e := range list {
			missing[e] = true
		}
		if err := newKind(t).Read(t.Context(), func(o state.Object) { delete(missing, o) }); err != nil || len(missing) > 0 {
			t.Errorf("%d are missing, %v", len(missing), err)
		}
		have := k.have
		apply(t, k, append(deletes(list[:10]), adds([]state.Object{element("masq4", "9.9.9.9")})...))
		if k.have != have || len(read(t, k)) != 2+len(list)-9 {
			t.Error("a small change led to a dump")
		}
		expectNone(t, called, "own changes")
		// All of it can go by itself, too, not only with its table.
		apply(t, k, deletes(list[10:]))
		want := snapshot(state.Table{}, state.Set{Name: "masq4", Type: "ipv4_addr"}, element("masq4", "9.9.9.9"))
		equal(t, "nearly empty", read(t, newKind(t)), want)
	})
}
