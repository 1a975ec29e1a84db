package nft

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/state"
)

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
		want, _ := withMany(9)
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
	})
}
