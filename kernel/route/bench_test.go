package route

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// many makes n IPv4 routes of protocol 113, spread as prefixes of a backbone are.
func many(n int, hops ...string) []state.Route {
	model := route("11.0.0.0/26", 113, hops...)
	out := make([]state.Route, n)
	for i := range out {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], 11<<24+uint32(i)*64)
		out[i] = model
		out[i].Dst = netip.PrefixFrom(netip.AddrFrom4(b), 26)
	}
	return out
}

func many6(n int, hops ...string) []state.Route {
	model := route("fd0b::/64", 113, hops...)
	out := make([]state.Route, n)
	for i := range out {
		b := model.Dst.Addr().As16()
		binary.BigEndian.PutUint32(b[4:], uint32(i)*64)
		out[i] = model
		out[i].Dst = netip.PrefixFrom(netip.AddrFrom16(b), 64)
	}
	return out
}

// batchFile writes routes for ip -batch.
func batchFile(b *testing.B, verb string, routes []state.Route) string {
	b.Helper()
	var w strings.Builder
	for i := range routes {
		line := strings.Replace(text(&routes[i]), "plumb-bgp", "113", 1) // rt_protos may not name it
		fmt.Fprintf(&w, "route %s %s\n", verb, line)
	}
	name := filepath.Join(b.TempDir(), verb)
	if err := os.WriteFile(name, []byte(w.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	return name
}

const rounds = 5

// median of rounds: runs on a shared machine vary.
func median(round func() time.Duration) time.Duration {
	var all []time.Duration
	for range rounds {
		all = append(all, round())
	}
	slices.Sort(all)
	return all[rounds/2]
}

func timed(f func()) time.Duration {
	t := time.Now()
	f()
	return time.Since(t)
}

func benchApply(b *testing.B, routes []state.Route) {
	nstest.RunBenchmark(b, func(b *testing.B) {
		wire(b)
		k := open(b)
		file := batchFile(b, "add", routes)
		family := "ip"
		if routes[0].Dst.Addr().Is6() {
			family = "ip -6"
		}
		clear := func() { must(b, k, del(routes...)) }
		var deleted time.Duration
		ours := median(func() time.Duration {
			changes := add(routes...)
			d := timed(func() { must(b, k, changes) })
			deleted = timed(clear)
			return d
		})
		theirs := median(func() time.Duration {
			d := timed(func() { nstest.Sh(b, family+" -batch "+file) })
			clear()
			return d
		})
		n := float64(len(routes))
		b.ReportMetric(float64(ours.Microseconds())/n, "µs/add")
		b.ReportMetric(float64(deleted.Microseconds())/n, "µs/del")
		b.ReportMetric(float64(theirs.Microseconds())/n, "µs/ip-batch")
		b.ReportMetric(ours.Seconds()/theirs.Seconds(), "of-ip-batch")
	})
}

func BenchmarkApply10k(b *testing.B)    { benchApply(b, many(10_000, "10.99.0.2 d0")) }
func BenchmarkApply100k(b *testing.B)   { benchApply(b, many(100_000, "10.99.0.2 d0")) }
func BenchmarkApply6x100k(b *testing.B) { benchApply(b, many6(100_000, "fd99::2 d0")) }

func BenchmarkModify100k(b *testing.B) {
	nstest.RunBenchmark(b, func(b *testing.B) {
		wire(b)
		k := open(b)
		before, after := many(100_000, "10.99.0.2 d0"), many(100_000, "10.99.0.3 d0")
		must(b, k, add(before...))
		file, back := batchFile(b, "replace", after), batchFile(b, "replace", before)
		ours := median(func() time.Duration {
			var there, again []state.Change[state.Route]
			for i := range before {
				there = append(there, mod(before[i], after[i])...)
				again = append(again, mod(after[i], before[i])...)
			}
			return timed(func() { must(b, k, there); must(b, k, again) }) / 2
		})
		theirs := median(func() time.Duration {
			return timed(func() { nstest.Sh(b, "ip -batch "+file); nstest.Sh(b, "ip -batch "+back) }) / 2
		})
		b.ReportMetric(float64(ours.Microseconds())/100_000, "µs/change")
		b.ReportMetric(ours.Seconds()/theirs.Seconds(), "of-ip-batch")
	})
}

func BenchmarkRead100k(b *testing.B) {
	nstest.RunBenchmark(b, func(b *testing.B) {
		wire(b)
		k := open(b)
		routes := many(200_000, "10.99.0.2 d0")
		foreign := batchFile(b, "add", func() []state.Route {
			out := slices.Clone(routes[100_000:])
			for i := range out {
				out[i].Protocol = 186
			}
			return out
		}())
		nstest.Sh(b, "ip -batch "+foreign)
		must(b, k, add(routes[:100_000]...))
		n := 0
		ours := median(func() time.Duration {
			n = 0
			return timed(func() {
				if err := k.Read(context.Background(), func(state.Route) { n++ }); err != nil {
					b.Fatal(err)
				}
			})
		})
		if n != 100_000 {
			b.Fatal(n)
		}
		theirs := median(func() time.Duration {
			return timed(func() { nstest.Sh(b, "ip route show table all > /dev/null") })
		})
		b.ReportMetric(float64(ours.Microseconds())/1000, "ms/read")
		b.ReportMetric(float64(theirs.Microseconds())/1000, "ms/ip-route-show")
		b.ReportMetric(ours.Seconds()/theirs.Seconds(), "of-ip-route-show")
		b.ReportMetric(testing.AllocsPerRun(1, func() {
			_ = k.Read(context.Background(), func(state.Route) {})
		}), "allocations/read")
	})
}
