package route

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// anyRoute draws a route from a small world, so that slots meet often.
func anyRoute(rnd *rand.Rand) state.Route {
	n := rnd.IntN(6)
	proto := []uint8{112, 113}[rnd.IntN(2)]
	var r state.Route
	if rnd.IntN(2) == 0 {
		all := []string{"10.99.0.2 d0", "10.99.0.3 d0", "10.98.0.2 d1", "192.0.2.1 d1 onlink", "fe80::1 d0", " d0", " d1"}
		r = route(fmt.Sprintf("10.5.%d.0/24", n), proto, draw(rnd, all)...)
		if rnd.IntN(6) == 0 {
			r = blackhole(r.Dst.String())
		}
	} else {
		all := []string{"fd99::2 d0", "fd99::3 d0", "fd98::2 d1", "2001:db8::9 d1 onlink", "fe80::1 d0", " d0", " d1"}
		r = route(fmt.Sprintf("fd05:%d::/64", n), proto, draw(rnd, all)...)
		if rnd.IntN(6) == 0 {
			r = blackhole(r.Dst.String())
		}
	}
	if rnd.IntN(5) == 0 {
		r.MTU = 1400
	}
	if rnd.IntN(5) == 0 {
		r.Table = 100
	}
	if rnd.IntN(8) == 0 {
		r.Metric = 33
	}
	return r
}

// draw takes one way on, or several gateways: the kernel's IPv6 multipath has no
// next hop without one.
func draw(rnd *rand.Rand, all []string) []string {
	if rnd.IntN(3) > 0 {
		return []string{all[rnd.IntN(len(all))]}
	}
	hops := slices.Clone(all[:5])
	rnd.Shuffle(5, func(i, j int) { hops[i], hops[j] = hops[j], hops[i] })
	return hops[:2+rnd.IntN(3)]
}

func anySet(rnd *rand.Rand) map[state.Key]state.Route {
	out := map[state.Key]state.Route{}
	for range rnd.IntN(20) {
		r := anyRoute(rnd)
		out[r.Key()] = r
	}
	return out
}

// changesTo is what the engine's comparison gives, in no particular order.
func changesTo(had, want map[state.Key]state.Route) []state.Change[state.Route] {
	var out []state.Change[state.Route]
	for key, h := range had {
		switch w, ok := want[key]; {
		case !ok:
			out = append(out, del(h)...)
		case w != h:
			out = append(out, mod(h, w)...)
		}
	}
	for key, w := range want {
		if _, ok := had[key]; !ok {
			out = append(out, add(w)...)
		}
	}
	return out
}

func byKey(routes []state.Route) map[state.Key]state.Route {
	out := map[state.Key]state.Route{}
	for _, r := range routes {
		out[r.Key()] = r
	}
	return out
}

// From anything to anything in one Apply, with what plumb believes to be there
// right or wrong, and foreign routes here and there, which never change.
func TestOneApplyConverges(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		ctx := context.Background()
		k := open(t, state.TableMain, 100)
		for seed := range uint64(nstest.Rounds(300)) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			if rnd.IntN(10) == 0 {
				nstest.Sh(t, fmt.Sprintf(`ip route replace 10.5.%d.0/24 via 10.99.0.77 proto static
					ip -6 route del fd05:%d::/64 proto static || true
					ip -6 route add fd05:%d::/64 via fd99::77 metric 1024 proto static || true`, rnd.IntN(6), rnd.IntN(6), rnd.IntN(6)))
				// replace may have taken plumb's own, which then is not had any more
			}
			foreign := nstest.Sh(t, "ip route show proto static; ip -6 route show proto static")
			had := byKey(read(t, k))
			believed := maps.Clone(had)
			if rnd.IntN(3) == 0 { // memory and kernel differ
				for key := range believed {
					if rnd.IntN(3) == 0 {
						delete(believed, key)
					}
				}
			}
			want := anySet(rnd)
			changes := changesTo(believed, want)
			for key := range had {
				if _, known := believed[key]; !known {
					if w, wanted := want[key]; wanted {
						want[key] = w
					} else { // not known, not wanted: stays, which is right
						want[key] = had[key]
					}
				}
			}
			for i, err := range k.Apply(ctx, changes) {
				var conflict *state.ConflictError
				if errors.As(err, &conflict) {
					key := changes[i].Object().Key()
					if h, ok := had[key]; ok {
						want[key] = h // behind or beside the foreign one, as it was
					} else {
						delete(want, key)
					}
				} else if err != nil {
					t.Fatalf("seed %d: %s %s: %v", seed, changes[i].Action, changes[i], err)
				}
			}
			got := byKey(read(t, k))
			if now := nstest.Sh(t, "ip route show proto static; ip -6 route show proto static"); now != foreign {
				t.Fatalf("seed %d: foreign routes\n%s\nbecame\n%s", seed, foreign, now)
			}
			if !maps.Equal(got, want) {
				t.Fatalf("seed %d: kernel has\n%s\nwant\n%s\nhad\n%s", seed, lines(slices.Collect(maps.Values(got))...),
					lines(slices.Collect(maps.Values(want))...), lines(slices.Collect(maps.Values(had))...))
			}
		}
	})
}
