package conformance

import (
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// kills is how many points of a call's life a test looks at.
const kills = 60

// killed runs a call and kills it after the delay, if it lasts so long.
func (n *node) killed(after time.Duration, stdin []byte, env ...string) {
	n.t.Helper()
	cmd := n.command(stdin, env...)
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	timer.Stop()
}

// spread gives the delays: over the time that a call takes here, and a little more.
func (n *node) spread(call func()) []time.Duration {
	var whole time.Duration
	for range 5 {
		start := time.Now()
		call()
		whole = max(whole, time.Since(start))
	}
	delays := make([]time.Duration, kills)
	for i := range delays {
		delays[i] = whole * time.Duration(i) / (kills - 10)
	}
	return delays
}

// Wherever kill -9 meets an ADD, DEL or GC leaves nothing of it.
func TestKilledADD(t *testing.T) {
	for _, by := range []string{"DEL", "GC"} {
		t.Run(by, func(t *testing.T) {
			nstest.Run(t, func(t *testing.T) {
				n := newNode(t, layout{})
				live := n.pod("live")
				live.add()
				before := n.holds()
				p := n.pod("one")
				remove := func() {
					if by == "DEL" {
						p.call("DEL").ok(n, "DEL")
					} else {
						n.gc([]pod{live}).ok(n, "GC")
					}
				}
				adds := n.spread(func() { p.call("ADD") })
				remove()
				partly := 0
				for _, d := range adds {
					n.killed(d, n.stdin(), p.env("ADD")...)
					if len(n.holds()) > len(before) {
						partly++
					}
					remove()
					n.same(before, "ADD killed after "+d.String()+", and "+by)
					if got := p.sh("ip -br link show type veth"); got != "" {
						t.Errorf("ADD killed after %s, and %s: the pod has %s", d, by, got)
					}
					if t.Failed() {
						return
					}
				}
				if partly == 0 {
					t.Error("no kill met a call at work: nothing was tested")
				}
				// Nothing that the killed held keeps others from working.
				p.add()
				p.ping(n.address4)
				if err := live.check(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A killed DEL or GC is finished by the next.
func TestKilledRemoval(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		live := n.pod("live")
		live.add()
		before := n.holds()
		p := n.pod("one")
		delays := n.spread(func() { p.call("ADD").ok(n, "ADD"); p.call("DEL").ok(n, "DEL") })
		for i, d := range delays {
			p.call("ADD").ok(n, "ADD")
			d /= 2 // of ADD and DEL together
			first, stdin := "DEL", n.stdin()
			if i%2 == 1 {
				first, stdin = "GC", n.stdin(conf{"cni.dev/valid-attachments": []conf{{"containerID": "live", "ifname": "eth0"}}})
			}
			n.killed(d, stdin, p.env(first)...)
			if i%4 < 2 {
				p.call("DEL").ok(n, "DEL")
			} else {
				n.gc([]pod{live}).ok(n, "GC")
			}
			n.same(before, first+" killed after "+d.String()+", and another")
			if t.Failed() {
				return
			}
		}
	})
}
