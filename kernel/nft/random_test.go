package nft

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// randomState is any set of objects that the kernel can hold.
func randomState(r *rand.Rand) state.Snapshot {
	s := state.Snapshot{}
	if r.IntN(20) == 0 {
		return s
	}
	s.Put(state.Table{})
	var fours, sixes []string
	for _, name := range []string{"a", "b", "c"} {
		switch r.IntN(4) {
		case 0:
			continue
		case 1:
			sixes = append(sixes, name)
			s.Put(state.Set{Name: name, Type: ipv6Addr})
			putRandomElements(r, s, name, netip.IPv6Unspecified())
		default:
			fours = append(fours, name)
			s.Put(state.Set{Name: name, Type: ipv4Addr})
			putRandomElements(r, s, name, netip.IPv4Unspecified())
		}
	}
	var side bool
	if side = r.IntN(2) == 0; side {
		s.Put(state.Chain{Name: "side", Type: regularType, Hook: noHook, Policy: noHook})
	}
	for _, name := range []string{"x", "y"} {
		if r.IntN(4) == 0 {
			continue
		}
		s.Put(state.Chain{
			Name: name, Type: "filter", Priority: int32(r.IntN(2)),
			Hook:   []string{"prerouting", "input"}[r.IntN(2)],
			Policy: []string{"accept", "drop"}[r.IntN(2)],
		})
		for i := range r.IntN(6) {
			s.Put(state.Rule{Chain: name, Pos: i, Expr: randomRule(r, fours, sixes, side)})
		}
	}
	return s
}

// putRandomElements takes ranges from both ends of the addresses, where they
// have most often neighbours.
func putRandomElements(r *rand.Rand, s state.Snapshot, set string, first netip.Addr) {
	at := first
	for range r.IntN(4) {
		for range r.IntN(3) {
			at = at.Next()
		}
		e := state.Element{Set: set, From: at, To: at}
		for range r.IntN(3) {
			e.To = e.To.Next()
		}
		s.Put(e)
		at = e.To.Next()
	}
	to := state.LastAddr(netip.PrefixFrom(first, 0))
	for range r.IntN(4) {
		e := state.Element{Set: set, From: to, To: to}
		for range r.IntN(3) {
			e.From = e.From.Prev()
		}
		s.Put(e)
		to = e.From.Prev()
		for range r.IntN(3) {
			to = to.Prev()
		}
	}
}

func randomRule(r *rand.Rand, fours, sixes []string, side bool) string {
	choice := []string{
		"counter", "drop", "accept", "ct state established,related accept", `iifname "plb*" fib saddr . iif oif missing drop`,
		fmt.Sprintf("tcp dport %d accept", r.IntN(3)), fmt.Sprintf("udp sport %d-%d", r.IntN(3), 3+r.IntN(3)),
		fmt.Sprintf("ip saddr 10.0.0.0/%d accept", 1+r.IntN(32)), fmt.Sprintf("ip6 daddr != fd00::/%d drop", 1+r.IntN(128)),
	}
	for _, set := range fours {
		choice = append(choice, "ip saddr @"+set+" accept", "ip daddr != @"+set+" drop")
	}
	for _, set := range sixes {
		choice = append(choice, "ip6 saddr @"+set+" accept", "ip6 daddr != @"+set+" drop")
	}
	if side {
		choice = append(choice, "jump side", "goto side")
	}
	text, err := Canonical(choice[r.IntN(len(choice))])
	if err != nil {
		panic(err)
	}
	return text
}

// What others may have done to the table.
var vandalism = []string{
	"nft flush ruleset",
	"nft flush set inet plumb a",
	"nft delete element inet plumb a '{ 0.0.0.1 }'",
	"nft add element inet plumb b '{ 100.0.0.0/8 }'",
	"nft flush chain inet plumb x",
	"nft insert rule inet plumb y counter name zz",
	"nft insert rule inet plumb x ip saddr '{ 1.2.3.4 }' drop",
	"nft 'add set inet plumb c { type inet_service; }; add rule inet plumb x tcp dport @c drop'",
	"nft 'add chain inet plumb side { type filter hook output priority 0; policy drop; }'",
	"nft 'add chain inet plumb other; insert rule inet plumb x jump other'",
	"nft 'add counter inet plumb zz; insert rule inet plumb x counter name zz'",
	"nft 'add table inet plumb { flags dormant; }'",
	"nft add set inet plumb b '{ type ipv4_addr; flags interval, timeout; }'",
}

// From any state to any other in one Apply; what it leaves is the wanted, to the
// one who made it and to one who has never looked before.
func TestAnyStateToAnyOther(t *testing.T) {
	seed := rand.Uint64()
	if s := os.Getenv("PLUMB_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PLUMB_SEED", strconv.FormatUint(seed, 10)) // for the child
	run(t, func(t *testing.T, k *Kind) {
		r := rand.New(rand.NewPCG(seed, 0))
		watch(t.Context(), t, k)
		for i := range nstest.Rounds(300) {
			want := randomState(r)
			if r.IntN(4) == 0 {
				nstest.Sh(t, vandalism[r.IntN(len(vandalism))]+" 2>/dev/null || true")
			}
			have := read(t, k)
			for i, err := range k.Apply(t.Context(), diff(have, want)) {
				if err != nil {
					t.Errorf("%s: %v", diff(have, want)[i], err)
				}
			}
			for _, c := range append(diff(read(t, k), want), diff(read(t, newKind(t)), want)...) {
				t.Errorf("left: %s %s", c.Action, c)
			}
			if t.Failed() {
				for _, o := range have.Sorted() {
					t.Log("had", state.String(o))
				}
				t.Fatalf("round %d, PLUMB_SEED=%d", i, seed)
			}
		}
	})
}
