package agent

import (
	"os"
	"runtime/debug"
	gauge "runtime/metrics"
	"sync"
	"time"
)

// burst has the garbage collector go by the size of the heap while many routes come at
// once. By Go's own rule, as much garbage as there is data, it runs again and again while
// the heap is small, and lets the heap double when it is large. Afterwards, memory that
// is not needed goes back to the system.
type burst struct {
	off   bool          // whoever set GOGC has said how often
	quiet time.Duration // how long nothing came when it is over
	mu    sync.Mutex
	timer *time.Timer // to the end of the burst; nil: there is none
}

const (
	// manyRoutes is how many changes at once make a burst.
	manyRoutes = 1 << 10
	// burstHeap is how large the heap may get before the collector runs: about what
	// 100,000 routes need.
	burstHeap = 96 << 20
	// burstGarbage is how much garbage may pile up at least.
	burstGarbage = 32 << 20
	// burstQuiet is how long nothing came when a burst is over.
	burstQuiet = 2 * time.Second
	// usualPercent is Go's own GOGC.
	usualPercent = 100
)

func newBurst() *burst {
	_, set := os.LookupEnv("GOGC")
	return &burst{off: set, quiet: burstQuiet}
}

// came notes how many routes changed at once.
func (b *burst) came(routes int) {
	if b.off || routes < manyRoutes {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	live := []gauge.Sample{{Name: "/gc/heap/live:bytes"}}
	gauge.Read(live)
	debug.SetGCPercent(burstPercent(live[0].Value.Uint64()))
	if b.timer == nil {
		b.timer = time.AfterFunc(b.quiet, b.over)
		return
	}
	b.timer.Reset(b.quiet)
}

// burstPercent is the GOGC for a heap of so many bytes of data.
func burstPercent(live uint64) int {
	live = max(live, 1<<20)
	garbage := max(burstHeap, live+burstGarbage) - live
	return int(max(garbage*100/live, usualPercent/4)) // below, it would do little else
}

func (b *burst) over() {
	b.mu.Lock()
	b.timer = nil
	b.mu.Unlock()
	debug.SetGCPercent(usualPercent)
	debug.FreeOSMemory()
}
