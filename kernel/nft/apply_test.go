package nft

import (
	"context"
	"errors"
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
		was := handles(t, "postrouting")
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
		_ = was
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
		gen := generation(t, k)
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
			gen = generation(t, k)
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

// What cannot be done does not hold up the rest, and the error says which.
func TestBadObjects(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		converge(t, k, typical())
		good := []state.Object{
			element("masq4", "192.0.2.0/24"),
			state.Set{Name: "more", Type: "ipv6_addr"},
			element("more", "fd00::1"),
			state.Rule{Chain: "antispoof", Pos: 1, Expr: "ip saddr @masq4 drop"},
		}
		bad := map[state.Object]string{
			element("masq4", "10.244.1.0/24"):                                         "file exists", // overlaps
			element("masq4", "10.98.255.255-10.99.0.5"):                               "file exists",
			element("none", "10.244.1.0/24"):                                          "no set none",
			element("masq4", "fd00::1"):                                               "not a range for a set of ipv4_addr",
			element("pools6", "1.2.3.4"):                                              "not a range for a set of ipv6_addr",
			element("masq4", "10.0.0.9-10.0.0.1"):                                     "not a range",
			state.Element{Set: "masq4"}:                                               "not a range",
			state.Set{Name: "bad", Type: "inet_service"}:                              "not a set that plumb can make",
			state.Set{Name: "no name", Type: "ipv4_addr"}:                             "not a set that plumb can make",
			state.Chain{Name: "bad", Hook: "x"}:                                       "unknown hook",
			state.Chain{Name: "bad1", Type: "nat", Hook: "forward", Policy: "accept"}: "operation not supported",
			state.Chain{Name: "bad2", Type: "none", Hook: "input", Policy: "accept"}:  "no such file",
			state.Rule{Chain: "none", Expr: "drop"}:                                   "no chain none",
			state.Rule{Chain: "postrouting", Pos: 2, Expr: "ip saddr @no drop"}:       "no such file",
			state.Rule{Chain: "postrouting", Pos: 3, Expr: "frobnicate"}:              "not understood",
			state.Link{Name: "eth0"}:                                                  "not an object of nftables",
		}
		changes := adds(good)
		for o := range bad {
			changes = append(changes, state.Change[state.Object]{Action: state.Add, After: o})
		}
		for i, err := range k.Apply(context.Background(), changes) {
			o := changes[i].After
			switch text := bad[o]; {
			case text == "" && err != nil:
				t.Errorf("%s: %v", state.String(o), err)
			case text != "" && err == nil:
				t.Errorf("%s: no error, want %q", state.String(o), text)
			case text != "" && !strings.Contains(err.Error(), text) && !strings.Contains(err.Error(), "another rule of the chain"):
				t.Errorf("%s: %v, want %q", state.String(o), err, text)
			case err != nil && !strings.HasPrefix(err.Error(), "nftables: "+o.Key().String()+": "):
				t.Errorf("%v does not begin with the object", err)
			}
		}
		want := typical()
		want.Put(good...)
		equal(t, "the good ones", read(t, k), want)
		equal(t, "the good ones in the kernel", read(t, newKind(t)), want)

		// Many bad elements among many good ones are all named.
		var list []state.Object
		wrong := map[int]bool{}
		for i := range 5000 {
			a := netip.AddrFrom4([4]byte{172, 16, byte(i >> 7), byte(i << 1)})
			if i%7 == 3 {
				a = netip.AddrFrom4([4]byte{10, 244, byte(i >> 8), byte(i)}) // inside 10.244.0.0/16
				wrong[i] = true
			}
			list = append(list, state.Element{Set: "masq4", From: a, To: a})
		}
		for i, err := range k.Apply(context.Background(), adds(list)) {
			if errors.Is(err, unix.EEXIST) != wrong[i] {
				t.Fatalf("%s: %v", list[i].Key(), err)
			}
			if !wrong[i] {
				want.Put(list[i])
			}
		}
		equal(t, "the good ones of many", read(t, newKind(t)), want)

		// What is referred to cannot go.
		errs := k.Apply(context.Background(), deletes([]state.Object{
			state.Set{Name: "pools4", Type: "ipv4_addr"}, element("masq4", "192.0.2.0/24"),
		}))
		if !errors.Is(errs[0], unix.EBUSY) || errs[1] != nil {
			t.Errorf("deleting a set that is referred to: %v, %v", errs[0], errs[1])
		}
		errs = k.Apply(context.Background(), append(deletes([]state.Object{state.Table{}}), adds(good)...))
		if errs[0] != nil || errs[1] == nil {
			t.Errorf("deleting the table: %v", errs)
		}
		for i, err := range k.Apply(context.Background(), adds(typical().Sorted()[1:])) {
			if err == nil {
				t.Errorf("%s: no error without a table", typical().Sorted()[1+i].Key())
			}
		}
	})
}

// A transaction that fails as a whole is tried in parts.
func TestInParts(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		changes := diff(nil, typical())
		errs := make([]error, len(changes))
		live := make([]int, len(changes))
		for i := range live {
			live[i] = i
		}
		k.applyInParts(context.Background(), changes, live, errs, unix.ENOMEM)
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		equal(t, "in parts", read(t, newKind(t)), typical())
		changes = diff(typical(), snapshot(state.Table{}))
		errs = make([]error, len(changes))
		k.applyInParts(context.Background(), changes, live[:len(changes)], errs, unix.ENOMEM)
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		equal(t, "away in parts", read(t, newKind(t)), snapshot(state.Table{}))
		// Too long for one transaction, as where net.core.wmem_max cannot be
		// passed.
		want, list := withMany(9)
		changes = diff(read(t, k), want)
		errs = make([]error, len(changes))
		live = live[:0]
		for i := range changes {
			live = append(live, i)
		}
		parts := split(changes, live, true)
		for len(parts) > 1 {
			parts = split(changes, parts[len(parts)-1], true)
		}
		k.applyInParts(context.Background(), changes, live, errs, unix.EMSGSIZE)
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		equal(t, "halves", read(t, newKind(t)), want)
		_ = list
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
		called := watch(t, t.Context(), k)
		want, list := withMany(many)
		gen := generation(t, k)
		apply(t, k, diff(nil, want))
		if now := generation(t, k); now != nextGen(gen) {
			t.Errorf("%d transactions", now-gen)
		}
		if n := nstest.Sh(t, "nft list set inet plumb masq4 | grep -o '[0-9][0-9.]*/[0-9]*' | wc -l"); n != fmt.Sprint(len(list)) {
			t.Errorf("nft counts %s", n)
		}
		equal(t, "many", read(t, newKind(t)), want)
		have := k.have
		apply(t, k, append(deletes(list[:10]), adds([]state.Object{element("masq4", "9.9.9.9")})...))
		if k.have != have || len(read(t, k)) != len(want)-9 {
			t.Error("a small change led to a dump")
		}
		expectNone(t, called, "own changes")
		apply(t, k, diff(read(t, k), nil))
	})
}
