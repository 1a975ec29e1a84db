package pod

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// Every host end has the same link-local address: that of another must not pass
// for the one that is waited for.
func TestSettleLooksAtItsOwnHostEnd(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		one, two := newNamespace(t), newNamespace(t)
		specs := []Spec{spec(one, "one", "fd00::5"), spec(two, "two", "fd00::6")}
		for _, s := range specs {
			wire(t, s)
		}
		nstest.Sh(t, "ip address del fe80::ecee:eeff:feee:eeee/64 dev "+specs[0].HostEnd)
		w, err := open(specs[0])
		if err != nil {
			t.Fatal(err)
		}
		defer w.close()
		if w.hostEnd, err = w.host.Names().Index(specs[0].HostEnd); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := w.settle(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("settled without the gateway's address: %v", err)
		}
		nstest.Sh(t, "ip address add fe80::ecee:eeff:feee:eeee/64 dev "+specs[0].HostEnd+" nodad")
		if err := w.settle(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkWire(b *testing.B) {
	nstest.RunBenchmark(b, func(b *testing.B) {
		s := spec(newNamespace(b), "one", "10.244.1.5", "fd00::5")
		const n = 20
		var wiring, unwiring time.Duration
		for range n {
			start := time.Now()
			if err := Wire(b.Context(), s); err != nil {
				b.Fatal(err)
			}
			wired := time.Now()
			if err := Unwire(s.HostEnd); err != nil {
				b.Fatal(err)
			}
			wiring, unwiring = wiring+wired.Sub(start), unwiring+time.Since(wired)
		}
		b.Logf("wired in %v, unwired in %v", wiring/n, unwiring/n)
	})
}
