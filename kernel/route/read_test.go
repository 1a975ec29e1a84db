package route

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// Reading while others write now and then gives every route that stays, each once.
func TestReadDuringChanges(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t)
		stay := append(many(nstest.Rounds(20_000), "10.99.0.2 d0"), many6(nstest.Rounds(20_000), "fd99::2 d0", "fd98::2 d1")...)
		must(t, k, add(stay...))
		// Now and then is: not in every read, however slow the machine.
		start := time.Now()
		read(t, k)
		pause := max(200*time.Millisecond, 4*time.Since(start))
		other := open(t)
		stop, done := make(chan struct{}), make(chan struct{})
		churn := []state.Route{}
		for i := range nstest.Rounds(500) { // so few that a read has time to look again
			churn = append(churn, route(fmt.Sprintf("11.%d.%d.77/32", i%128, i/128), 112, "10.99.0.2 d0"), route(fmt.Sprintf("fd0b:%x::77/128", i*64), 112, "fd99::2 d0"))
		}
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				default:
					other.Apply(context.Background(), add(churn...))
					other.Apply(context.Background(), del(churn...))
					time.Sleep(pause)
				}
			}
		}()
		for range 20 {
			n, keys := 0, map[state.Key]bool{}
			for _, r := range read(t, k) {
				if keys[r.Key()] {
					t.Errorf("twice: %s", lines(r))
				}
				keys[r.Key()] = true
				if r.Protocol == 113 {
					n++
				}
			}
			if n != len(stay) {
				t.Errorf("%d of %d", n, len(stay))
			}
		}
		close(stop)
		<-done
	})
}

func TestAddTable(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t)
		nstest.Sh(t, "ip route add 10.1.0.0/24 via 10.99.0.2 table 100 proto 112")
		expect(t, k)
		if !k.AddTable(100) || k.AddTable(100) || k.AddTable(state.TableMain) {
			t.Error("new, then not new")
		}
		expect(t, k, inTable(100, route("10.1.0.0/24", 112, "10.99.0.2 d0")))
	})
}
