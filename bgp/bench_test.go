package bgp_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/kernel/nstest"
)

// BenchmarkLearn is the way of a table from BIRD to the speaker's output, and of its
// withdrawal: the time from the first batch to the last, what the process spends on
// it, and one prefix that flaps among the others.
//
//	go test ./bgp -run '^$' -bench Learn
func BenchmarkLearn(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			nstest.RunBenchmark(b, func(b *testing.B) { learn(b, n) })
		})
	}
}

func learn(b *testing.B, n int) {
	nstest.Sh(b, "ip link set lo up")
	h := bgptest.NewHost(b, "peer", []string{near4 + "/24"}, []string{far4 + "/24"})
	r := bgptest.BIRD(b, h, bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{{Address: near4, Local: far4, ASN: 64512, IPv4: true}}})
	table := r.(interface{ Table(prefixes []string) })
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("10.%d.%d.%d/32", 1+i>>16, i>>8&255, i&255))
	}
	s, err := bgp.Open(bgp.Options{})
	if err != nil {
		b.Fatal(err)
	}
	p := peer4(64513)
	p.IPv6 = false
	sp := speaker(64512)
	sp.Pools = prefixes("10.0.0.0/8")
	apply(b, s, sp, p)
	routes := map[string]bool{}
	until := func(want int) (first, last time.Duration) {
		start := time.Now()
		for len(routes) != want {
			batch, err := s.Next(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			for _, u := range batch.Updates {
				if first == 0 {
					first = time.Since(start)
				}
				if len(u.Paths) == 0 {
					delete(routes, u.Prefix.String())
				} else {
					routes[u.Prefix.String()] = true
				}
			}
		}
		return first, time.Since(start)
	}
	for s.Sessions()[0].State != bgp.Established {
		time.Sleep(10 * time.Millisecond)
	}
	cpu := used()
	b.ResetTimer()
	table.Table(list)
	first, last := until(n)
	b.ReportMetric(float64(last-first)/1e6, "learn-ms")
	b.ReportMetric(float64(used()-cpu)/1e6, "learn-cpu-ms")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys)/1e6, "MB")
	r.Announce("10.255.0.1/32")
	until(n + 1)
	flap := r.(interface{ Flap(announce bool) })
	var times []time.Duration
	cpu = used()
	const flaps = 20
	for i := range flaps {
		start := time.Now() // birdc's own few milliseconds are in it
		flap.Flap(i%2 == 1)
		until(n + i%2)
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[flaps/2])/1e6, "flap-ms")
	b.ReportMetric(float64(used()-cpu)/1e6/flaps, "flap-cpu-ms")
	cpu = used()
	table.Table(nil)
	first, last = until(1)
	b.ReportMetric(float64(last-first)/1e6, "withdraw-ms")
	b.ReportMetric(float64(used()-cpu)/1e6, "withdraw-cpu-ms")
}

// used is the processor time of this process.
func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
