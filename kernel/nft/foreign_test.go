package nft_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nft"
	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/trace/facts"
)

// Other owners' base chains that see IP packets, and no others.
func TestForeign(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, `
			nft 'add table inet plumb; add chain inet plumb x { type filter hook forward priority 0; }'
			nft 'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }; add chain ip filter regular; add rule ip filter FORWARD counter accept'
			nft 'add table ip6 t; add chain ip6 t out { type nat hook postrouting priority srcnat; }'
			nft 'add table bridge b; add chain bridge b c { type filter hook forward priority 0; }' 2>/dev/null || true`)
		k, err := nft.New()
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		list, err := k.Foreign()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range list {
			got = append(got, c.Table+" "+c.Name+" "+c.Type+" "+c.Hook+" "+c.Policy)
		}
		slices.Sort(got)
		if want := []string{"ip filter FORWARD filter forward drop", "ip6 t out nat postrouting accept"}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		for _, c := range list {
			if c.Name == "FORWARD" && c.Rules != 1 || c.Name == "out" && c.Priority != 100 {
				t.Errorf("%+v", c)
			}
		}
	})
}

// What a packet meets is told rule by rule, in the words of nft(8); and nothing stays.
func TestLive(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, `nft 'add table ip f; add chain ip f in { type filter hook input priority 0; policy accept; }; add rule ip f in ip daddr 127.0.0.7 counter drop'`)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var seen []facts.Seen
		armed := make(chan struct{})
		done := make(chan error, 1)
		p := facts.Packet{Dst: netip.MustParseAddr("127.0.0.7"), Proto: "icmp"}
		go func() {
			done <- nft.Live(ctx, []facts.Packet{p}, func() { close(armed) }, func(s facts.Seen) {
				if seen = append(seen, s); s.Verdict == "drop" {
					cancel()
				}
			})
		}()
		<-armed
		nstest.Sh(t, "ping -c1 -W1 127.0.0.7 >/dev/null || true; ping -c1 -W20 127.0.0.8 >/dev/null")
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		last := seen[len(seen)-1]
		if last.Table != "ip f" || last.Chain != "in" || last.Rule != "ip daddr 127.0.0.7 counter drop" || last.In != "lo" || last.Dst != p.Dst || last.Handle == 0 {
			t.Errorf("%+v", seen)
		}
		if tables := nstest.Sh(t, "nft list tables"); tables != "table ip f" {
			t.Error(tables)
		}
	})
}
