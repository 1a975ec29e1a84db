package agent

import (
	"os"
	"runtime/debug"
	gauge "runtime/metrics"
	"sync"
	"time"
)

// burst has the garbage collector go by the amount of garbage while many routes come at
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
	// burstGarbage is how many bytes of garbage pile up in a burst.
	burstGarbage = 40 << 20
	burstQuiet   = 2 * time.Second
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

// burstPercent is the GOGC that lets garbage pile up on a heap of so many bytes.
func burstPercent(live uint64) int {
	return int(max(usualPercent/2, min(burstGarbage*100/max(live, 1), 10*usualPercent)))
}

func (b *burst) over() {
	b.mu.Lock()
	b.timer = nil
	b.mu.Unlock()
	debug.SetGCPercent(usualPercent)
	debug.FreeOSMemory()
}
