package route

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// seen collects what a watch reports.
type seen struct {
	mu     sync.Mutex
	events []state.Event[state.Route]
	again  int
}

func watch(t *testing.T, k *Kind) *seen {
	t.Helper()
	s := &seen{}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	err := k.Watch(ctx, func(e []state.Event[state.Route]) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, e...)
	}, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.again++
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// until waits for what comes first: everything before a mark, which is a route that
// another hand adds with plumb's protocol.
func (s *seen) until(t *testing.T) (lines string, again int) {
	t.Helper()
	const mark = "192.0.2.99/32"
	nstest.Sh(t, "ip route add blackhole "+mark+" proto 112; ip route del blackhole "+mark+" proto 112")
	for range 12_000 { // a minute: the machine may be busy
		s.mu.Lock()
		var out []string
		done := false
		for _, e := range s.events {
			switch {
			case e.Key.ID == mark:
				done = done || e.Gone
			case e.Gone:
				out = append(out, "gone "+e.Key.ID)
			default:
				out = append(out, state.String(e.Object))
			}
		}
		if done {
			again = s.again
			s.events, s.again = nil, 0
			s.mu.Unlock()
			return strings.Join(out, "\n"), again
		}
		s.mu.Unlock()
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("the watch reports nothing")
	return "", 0
}

func (s *seen) expect(t *testing.T, what string, again bool, lines ...string) {
	t.Helper()
	got, n := s.until(t)
	if got != strings.Join(lines, "\n") || again != (n > 0) {
		t.Errorf("%s: seen\n%s\n(again: %d), want\n%s\n(again: %t)", what, got, n, strings.Join(lines, "\n"), again)
	}
}

// notTheKernels leaves out what the kernel itself does to its own routes, which is
// reported too, harmlessly; it may come late.
func notTheKernels(got string) []string {
	var mine []string
	for line := range strings.Lines(got) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "gone 10.9") && !strings.HasPrefix(line, "gone fd9") && !strings.HasPrefix(line, "gone fe80") && !strings.HasPrefix(line, "gone ff00") &&
			(len(mine) == 0 || mine[len(mine)-1] != line) {
			mine = append(mine, line)
		}
	}
	return mine
}

func TestWatchSeesOthers(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t, state.TableMain)
		a, b := route("10.1.0.0/24", 112, "10.99.0.2 d0"), route("10.1.0.5/32", 112, " d1")
		a6 := route("fd01::/64", 113, "fd99::2 d0", "fd98::2 d1")
		w := watch(t, k)
		for _, c := range []struct {
			do    string
			again bool
			want  []string
		}{
			{do: "ip route del 10.1.0.0/24", want: []string{"gone 10.1.0.0/24"}},
			{do: "ip route replace 10.1.0.0/24 via 10.99.0.9 proto static", want: []string{"gone 10.1.0.0/24"}},
			{do: "ip route replace 10.1.0.0/24 via 10.99.0.9 proto 112", want: []string{"route 10.1.0.0/24 via 10.99.0.9 dev d0 proto plumb"}},
			{do: "ip route prepend 10.1.0.0/24 via 10.99.0.9", want: []string{"gone 10.1.0.0/24"}},
			{do: "ip route add 10.1.0.0/25 via 10.99.0.9"},
			{do: "ip route add 10.1.0.0/24 via 10.99.0.9 metric 7"},
			{do: "ip route add 10.1.0.0/24 via 10.99.0.9 table 100 proto 112"},
			{do: "ip route add 10.1.0.0/24 via 10.99.0.9 tos 8"},
			{do: "ip route add 10.1.0.0/24 via 10.99.0.9 tos 8 proto 112", want: []string{"route 10.1.0.0/24 via 10.99.0.9 dev d0 tos 0x8 proto plumb"}},
			{do: "ip route add 192.0.2.0/25 via 10.99.0.9; ip route del 192.0.2.0/25", want: []string{"gone 192.0.2.0/25"}},
			{do: "ip -6 route del fd01::/64 via fd99::2", want: []string{"gone fd01::/64"}},
			{do: "ip -6 route append fd01::/64 via fd99::9 proto static metric 1024", want: []string{"gone fd01::/64"}},
			{do: "ip -6 route replace fd01::/64 via fd99::9 proto static metric 1024", want: []string{"gone fd01::/64"}},
			{do: "ip -6 route flush root fd01::/64 || true", want: []string{"gone fd01::/64"}},
			{do: "ip link set d1 down", want: []string{"gone 10.1.0.5/32"}, again: true}, // a6 has a hop there
			{do: "ip link set p1 down; ip link set p1 up"},
			{do: "ip addr add 10.97.0.1/24 dev d0"},
			{do: "ip addr del 10.97.0.1/24 dev d0", again: true},
			{do: "ip addr add fd97::1/64 dev d0; ip addr del fd97::1/64 dev d0"},
			{do: "ip link add x0 type veth peer name x1; ip link set x0 up; ip link set x1 up; ip addr add 10.96.0.1/24 dev x0; ip addr del 10.96.0.1/24 dev x0; ip link set x1 down; ip link set x1 name x9; ip link set x0 down; ip link del x0"},
		} {
			must(t, k, add(a, b))
			must(t, k, add(a6))
			if own, again := w.until(t); len(notTheKernels(own)) > 0 || again != 0 {
				t.Fatalf("own writes: seen\n%s\n(again: %d)", own, again)
			}
			nstest.Sh(t, c.do)
			got, again := w.until(t)
			mine := notTheKernels(got)
			if !strings.HasPrefix(strings.Join(mine, "\n"), strings.Join(c.want, "\n")) || len(c.want) == 0 && len(mine) > 0 || (again > 0) != c.again {
				t.Errorf("%s: seen\n%s\nagain: %d", c.do, strings.Join(mine, "\n"), again)
			}
			nstest.Sh(t, `ip route flush root 10.1.0.0/16; while ip -6 route del fd01::/64 2>/dev/null; do :; done; ip route flush table 100 || true
				ip link set d1 up; ip addr replace 10.98.0.1/24 dev d1; ip addr replace fd98::1/64 dev d1 nodad`)
			w.until(t)
		}
	})
}

// A pod's device that goes takes its route with it without a word of the kernel's;
// that costs no full reading, however many pods come and go.
func TestWatchKnowsWhatWentWithItsDevice(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t)
		w := watch(t, k)
		pod := func(i int) (state.Route, state.Route) {
			return route(fmt.Sprintf("10.244.1.%d/32", i), 112, fmt.Sprintf(" plb%d", i)), route(fmt.Sprintf("fd02::%d/128", i), 112, fmt.Sprintf(" plb%d", i))
		}
		for i := range 20 {
			nstest.Sh(t, fmt.Sprintf("ip link add plb%d type veth peer name pod%d; ip link set plb%d up; ip link set pod%d up", i, i, i, i))
			a, b := pod(i)
			must(t, k, add(a, b))
			if i%2 == 0 { // known by Read as well as by Apply
				read(t, k)
			}
		}
		if got, again := w.until(t); again != 0 || strings.Contains(got, "10.244") {
			t.Errorf("while pods came: %s, again %d", got, again)
		}
		for i := range 20 {
			a, b := pod(i)
			nstest.Sh(t, "ip link "+fmt.Sprintf([]string{"del plb%d", "set plb%d down", "del pod%d"}[i%3], i))
			got, again := w.until(t)
			if again != 0 || !strings.Contains(got, "gone "+a.Key().ID) || !strings.Contains(got, "gone "+b.Key().ID) {
				t.Errorf("pod %d: %s, again %d", i, got, again)
			}
		}
		expect(t, k)
	})
}

func TestWatchSeesAddressesAndNamesGo(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t)
		w := watch(t, k)
		a := route("10.1.0.0/24", 112, "10.99.0.2 d0")
		must(t, k, add(a))
		nstest.Sh(t, "ip addr flush dev d0")
		if _, again := w.until(t); again == 0 {
			t.Error("the last address went, unnoticed")
		}
		expect(t, k)
		nstest.Sh(t, "ip addr add 10.99.0.1/24 dev d0")
		a.Src = netip.MustParseAddr("10.98.0.1")
		must(t, k, add(a))
		w.until(t)
		nstest.Sh(t, "ip addr del 10.98.0.1/24 dev d1")
		if _, again := w.until(t); again == 0 {
			t.Error("a source address went, unnoticed")
		}
		expect(t, k)
		a.Src = netip.Addr{}
		must(t, k, add(a))
		w.until(t)
		if !renames(t) {
			return
		}
		nstest.Sh(t, "ip link set p1 name elsewhere")
		if _, again := w.until(t); again != 0 {
			t.Error("another device's name is no reason")
		}
		nstest.Sh(t, "ip link set d0 name uplink")
		if _, again := w.until(t); again == 0 {
			t.Error("the device was renamed, unnoticed")
		}
		a.Dev = "uplink"
		expect(t, k, a)
		w.expect(t, "reading", false)
	})
}

// renames says whether this kernel renames devices that are up: so it is since Linux
// 6.2, and before, there is nothing to be noticed.
func renames(t *testing.T) bool {
	t.Helper()
	nstest.Sh(t, "ip link add r0 type veth peer name r1; ip link set r0 up")
	return exec.Command("ip", "link", "set", "r0", "name", "r2").Run() == nil
}

func TestWatchSurvivesABurst(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t)
		k.monitor.SetReceiveBuffer(64 << 10)
		block := make(chan struct{})
		var mu sync.Mutex
		again, last := 0, ""
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		err := k.Watch(ctx, func(e []state.Event[state.Route]) {
			<-block // a slow receiver
			mu.Lock()
			defer mu.Unlock()
			last = e[len(e)-1].Key.ID
		}, func() {
			mu.Lock()
			defer mu.Unlock()
			again++
		})
		if err != nil {
			t.Fatal(err)
		}
		burst(t, 50_000, "add")
		close(block)
		for i := range 1000 {
			// after the loss, events come again
			nstest.Sh(t, "ip route replace blackhole 192.0.2.7 proto 112; ip route del 192.0.2.7 proto 112")
			mu.Lock()
			done := again > 0 && last == "192.0.2.7/32"
			mu.Unlock()
			if done {
				break
			}
			if i == 999 {
				t.Fatalf("again %d, last %q", again, last)
			}
			time.Sleep(time.Millisecond)
		}
		n := 0
		if err := k.Read(ctx, func(state.Route) { n++ }); err != nil || n != 50_000 {
			t.Errorf("%d routes, %v", n, err)
		}
	})
}

// burst has ip change n routes with plumb's protocol.
func burst(t testing.TB, n int, verb string) {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "batch")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "route %s 11.%d.%d.%d via 10.99.0.2 proto 112\n", verb, i>>16, i>>8&255, i&255)
	}
	if _, err := f.WriteString(b.String()); err != nil {
		t.Fatal(err)
	}
	nstest.Sh(t, "ip -batch "+f.Name())
}

// A burst that fits is reported whole, in order, and the engine's memory of it is
// what the kernel has.
func TestWatchReportsABurstWhole(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t)
		w := watch(t, k)
		n := nstest.Rounds(50_000)
		burst(t, n, "add")
		got, again := w.until(t)
		if again != 0 || strings.Count(got, "\n") != n-1 ||
			!strings.HasSuffix(got, fmt.Sprintf("route 11.0.%d.%d/32 via 10.99.0.2 dev d0 proto plumb", (n-1)>>8, (n-1)&255)) {
			t.Errorf("again %d, %d lines, %s", again, strings.Count(got, "\n")+1, got[max(0, len(got)-100):])
		}
	})
}

func TestWatchEndsWithItsContext(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		count := func() (goroutines, files int) {
			fds, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Fatal(err)
			}
			return runtime.NumGoroutine(), len(fds)
		}
		first, err := New(state.TableMain) // the poller's own descriptors come with the first
		if err != nil {
			t.Fatal(err)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		g, f := count()
		for range 20 {
			k, err := New(state.TableMain)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 { // one after another on one value
				ctx, cancel := context.WithCancel(context.Background())
				var mu sync.Mutex
				events := 0
				err := k.Watch(ctx, func(e []state.Event[state.Route]) { mu.Lock(); events += len(e); mu.Unlock() }, func() {})
				if err != nil {
					t.Fatal(err)
				}
				if err := k.Watch(ctx, nil, nil); err == nil {
					t.Fatal("two watches at once")
				}
				nstest.Sh(t, "ip route add blackhole 192.0.2.7 proto 112; ip route del 192.0.2.7 proto 112")
				for n := 0; n < 2; {
					time.Sleep(time.Millisecond)
					mu.Lock()
					n = events
					mu.Unlock()
				}
				cancel()
				k.monitor.Wait()
			}
			if err := k.Watch(context.Background(), nil, nil); err != nil {
				t.Fatal(err)
			}
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
			if err := k.Watch(context.Background(), nil, nil); err == nil {
				t.Fatal("a watch on a closed value")
			}
		}
		for i := 0; ; i++ {
			g2, f2 := count()
			if g2 <= g && f2 <= f {
				break
			}
			if i == 200 {
				t.Fatalf("goroutines %d -> %d, files %d -> %d", g, g2, f, f2)
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}
