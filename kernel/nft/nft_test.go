package nft

import (
	"context"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/state"
)

var _ reconcile.Ops[state.Object] = (*Kind)(nil)

// run runs body in a network namespace with a Kind of its own.
func run(t *testing.T, body func(t *testing.T, k *Kind)) {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Fatal("nft is missing: install the package nftables")
	}
	nstest.Run(t, func(t *testing.T) { body(t, newKind(t)) })
}

func newKind(t testing.TB) *Kind {
	t.Helper()
	k, err := New()
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

func read(t testing.TB, k *Kind) state.Snapshot {
	t.Helper()
	s := state.Snapshot{}
	err := k.Read(context.Background(), func(o state.Object) {
		if s[o.Key()] != nil {
			t.Errorf("twice: %s", state.String(o))
		}
		s.Put(o)
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// diff gives the changes that make want of have, key by key.
func diff(have, want state.Snapshot) []state.Change[state.Object] {
	var changes []state.Change[state.Object]
	for _, o := range want.Sorted() {
		switch h := have[o.Key()]; h {
		case o:
		case nil:
			changes = append(changes, state.Change[state.Object]{Action: state.Add, After: o})
		default:
			changes = append(changes, state.Change[state.Object]{Action: state.Modify, Before: h, After: o})
		}
	}
	for _, o := range slices.Backward(have.Sorted()) {
		if want[o.Key()] == nil {
			changes = append(changes, state.Change[state.Object]{Action: state.Delete, Before: o})
		}
	}
	return changes
}

func apply(t testing.TB, k *Kind, changes []state.Change[state.Object]) {
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

// converge makes want of what there is and checks that it is there: in k's own
// view, and in that of a Kind that knows nothing yet.
func converge(t testing.TB, k *Kind, want state.Snapshot) {
	t.Helper()
	apply(t, k, diff(read(t, k), want))
	equal(t, "cached", read(t, k), want)
	equal(t, "in the kernel", read(t, newKind(t)), want)
}

func equal(t testing.TB, what string, got, want state.Snapshot) {
	t.Helper()
	for _, c := range diff(got, want) {
		t.Errorf("%s: to be as wanted: %s %s", what, c.Action, c)
	}
	if t.Failed() {
		t.FailNow()
	}
}

func snapshot(objects ...state.Object) state.Snapshot {
	s := state.Snapshot{}
	s.Put(objects...)
	return s
}

func element(set, text string) state.Element {
	if from, to, ok := strings.Cut(text, "-"); ok {
		return state.Element{Set: set, From: netip.MustParseAddr(from), To: netip.MustParseAddr(to)}
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return state.Element{Set: set, From: a, To: a}
	}
	p := netip.MustParsePrefix(text)
	return state.Element{Set: set, From: p.Addr(), To: state.LastAddr(p)}
}

func rules(chain string, exprs ...string) []state.Object {
	var out []state.Object
	for i, e := range exprs {
		out = append(out, state.Rule{Chain: chain, Pos: i, Expr: e})
	}
	return out
}

var postrouting = state.Chain{Name: "postrouting", Type: "nat", Hook: "postrouting", Priority: 110, Policy: "accept"}

// typical is about what plumb makes of a small state file.
func typical() state.Snapshot {
	s := snapshot(
		state.Table{},
		state.Set{Name: "masq4", Type: "ipv4_addr"},
		state.Set{Name: "pools4", Type: "ipv4_addr"},
		state.Set{Name: "pools6", Type: "ipv6_addr"},
		element("masq4", "10.244.0.0/16"),
		element("masq4", "10.99.0.1"),
		element("pools4", "10.244.0.0/16"),
		element("pools4", "10.245.0.0/24"),
		element("pools4", "10.245.1.0-10.245.1.7"),
		element("pools6", "fd00::/64"),
		postrouting,
		state.Chain{Name: "antispoof", Type: "filter", Hook: "prerouting", Priority: -300, Policy: "accept"},
	)
	s.Put(rules("postrouting",
		"ip saddr @masq4 ip daddr != @pools4 masquerade fully-random",
		"ip6 saddr @pools6 ip6 daddr != @pools6 masquerade fully-random")...)
	s.Put(rules("antispoof", `iifname "plb*" fib saddr . iif oif missing drop`)...)
	return s
}

func TestWriteRead(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		equal(t, "empty", read(t, k), nil)
		converge(t, k, typical())
		converge(t, k, nil)
	})
}
