package agent

import (
	"runtime/debug"
	"testing"
	"time"
)

func TestBurstPercent(t *testing.T) {
	for _, tc := range []struct {
		live uint64
		want int
	}{
		{0, 9500}, {24 << 20, 300}, {48 << 20, 100}, {64 << 20, 50}, {100 << 20, 32}, {800 << 20, 25},
	} {
		if got := burstPercent(tc.live); got != tc.want {
			t.Errorf("on a heap of %d MB: %d, want %d", tc.live>>20, got, tc.want)
		}
	}
}

// A burst has its own GOGC, and what there was before comes back when it is over.
func TestABurstEnds(t *testing.T) {
	before := percent()
	defer debug.SetGCPercent(before)
	b := &burst{quiet: time.Millisecond}
	b.came(manyRoutes - 1)
	if got := percent(); got != before {
		t.Errorf("few routes made GOGC %d", got)
	}
	(&burst{off: true}).came(manyRoutes)
	if got := percent(); got != before {
		t.Errorf("somebody had set GOGC, and it became %d", got)
	}
	quiet := &burst{quiet: time.Hour}
	quiet.came(manyRoutes)
	if got := percent(); got == usualPercent {
		t.Errorf("in a burst, GOGC is %d", got)
	}
	quiet.timer.Stop()
	b.came(manyRoutes)
	for end := time.Now().Add(time.Minute); percent() != usualPercent; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the burst does not end")
		}
	}
}

// percent is GOGC as it is.
func percent() int {
	p := debug.SetGCPercent(usualPercent)
	debug.SetGCPercent(p)
	return p
}
