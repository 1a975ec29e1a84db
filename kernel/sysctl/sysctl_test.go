package sysctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/state"
)

var (
	_ reconcile.Ops[state.Sysctl]     = (*Kind)(nil)
	_ reconcile.Tracker[state.Sysctl] = (*Kind)(nil)
)

type event = state.Event[state.Sysctl]

// long is how long the tests wait for what must come; none waits for what must not.
const long = 30 * time.Second

func newKind(t testing.TB) *Kind {
	t.Helper()
	k, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// ofHostEnd is what plumb sets for a host end.
func ofHostEnd(dev string) []state.Sysctl {
	return []state.Sysctl{
		{Path: "net/ipv4/conf/" + dev + "/proxy_arp", Value: "1"},
		{Path: "net/ipv4/neigh/" + dev + "/proxy_delay", Value: "0"},
		{Path: "net/ipv4/conf/" + dev + "/forwarding", Value: "1"},
		{Path: "net/ipv4/conf/" + dev + "/rp_filter", Value: "1"},
		{Path: "net/ipv6/conf/" + dev + "/forwarding", Value: "1"},
		{Path: "net/ipv6/conf/" + dev + "/accept_ra", Value: "0"},
		{Path: "net/ipv6/conf/" + dev + "/proxy_ndp", Value: "1"},
	}
}

func adds(list ...state.Sysctl) []state.Change[state.Sysctl] {
	var changes []state.Change[state.Sysctl]
	for _, s := range list {
		changes = append(changes, state.Change[state.Sysctl]{Action: state.Add, After: s})
	}
	return changes
}

func apply(t testing.TB, k *Kind, list ...state.Sysctl) {
	t.Helper()
	if err := errors.Join(k.Apply(t.Context(), adds(list...))...); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, k *Kind) map[string]string {
	t.Helper()
	got := map[string]string{}
	if err := k.Read(t.Context(), func(s state.Sysctl) { got[s.Path] = s.Value }); err != nil {
		t.Fatal(err)
	}
	return got
}

// echo sets a parameter by another hand.
func echo(t testing.TB, path, value string) {
	t.Helper()
	nstest.Sh(t, "echo "+value+" > "+root+path)
}

func TestReadGivesWhatApplyWrote(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "ip link add plb1 type veth peer name eth0.5")
		k := newKind(t)
		want := append(ofHostEnd("plb1"), ofHostEnd("eth0.5")...)
		want = append(want,
			state.Sysctl{Path: ipForward, Value: "1"},
			state.Sysctl{Path: allForward6, Value: "1"},
			state.Sysctl{Path: "net/ipv4/ip_local_port_range", Value: "2048 3071"})
		if got := read(t, k); len(got) != 0 {
			t.Fatalf("nothing is tracked, and read: %v", got)
		}
		for range 2 { // twice: Apply is idempotent
			apply(t, k, want...)
			got := read(t, k)
			for _, w := range want {
				if got[w.Path] != w.Value {
					t.Errorf("%s: wrote %q, read %q", w.Path, w.Value, got[w.Path])
				}
			}
			if len(got) != len(want) {
				t.Errorf("read %d of %d", len(got), len(want))
			}
		}
	})
}

func TestReadPassesOverWhatIsGoneOrUntracked(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "ip link add plb1 type veth peer name p1; ip link add plb2 type veth peer name p2")
		k := newKind(t)
		apply(t, k, ofHostEnd("plb1")...)
		apply(t, k, ofHostEnd("plb2")...)
		k.Track("net/ipv4/conf/plb3/proxy_arp")
		nstest.Sh(t, "ip link del plb1")
		one := ofHostEnd("plb2")[0]
		for _, err := range k.Apply(t.Context(), []state.Change[state.Sysctl]{{Action: state.Delete, Before: one}}) {
			if err != nil {
				t.Error(err)
			}
		}
		got := read(t, k)
		if _, still := got[one.Path]; still || len(got) != len(ofHostEnd("plb2"))-1 {
			t.Errorf("read %v", got)
		}
		if now := nstest.Sh(t, "cat "+root+one.Path); now != one.Value {
			t.Errorf("%s was changed to %s when it was deleted", one.Path, now)
		}
		var some []string
		ids := []string{one.Path, ofHostEnd("plb2")[1].Path, ofHostEnd("plb1")[1].Path}
		if err := k.Lookup(t.Context(), ids, func(s state.Sysctl) { some = append(some, s.Path) }); err != nil {
			t.Error(err)
		}
		if !slices.Equal(some, ids[1:2]) {
			t.Errorf("looked up %v", some)
		}
		k.Untrack(ids...)
		if got := read(t, k); len(got) != len(ofHostEnd("plb2"))-2 {
			t.Errorf("read %v", got)
		}
	})
}

func TestErrorsNameTheFile(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "ip link add plb1 type veth peer name p1")
		k := newKind(t)
		errs := k.Apply(t.Context(), adds(
			state.Sysctl{Path: "net/ipv4/conf/plb2/proxy_arp", Value: "1"},
			state.Sysctl{Path: "net/ipv4/conf/plb1/proxy_arp", Value: "1"},
			state.Sysctl{Path: "net/ipv4/conf/plb1/rp_filter", Value: "yes"},
			state.Sysctl{Path: "net/ipv4/conf/plb1/proxy_delay", Value: "01"},
			state.Sysctl{Path: "net/ipv4/conf/plb1/forwarding", Value: "01"},
			state.Sysctl{Path: "../etc/hostname", Value: "1"},
		))
		for i, want := range []string{
			"/proc/sys/net/ipv4/conf/plb2/proxy_arp: no such file or directory",
			"",
			`/proc/sys/net/ipv4/conf/plb1/rp_filter: writing "yes": invalid argument`,
			"/proc/sys/net/ipv4/conf/plb1/proxy_delay: no such file or directory",
			`/proc/sys/net/ipv4/conf/plb1/forwarding: wrote "01", reads "1"`,
			"/proc/sys/../etc/hostname: not a path below /proc/sys/",
		} {
			if got := fmt.Sprint(errs[i]); (want == "") != (errs[i] == nil) || want != "" && got != want {
				t.Errorf("change %d: error %q, want %q", i, got, want)
			}
		}
		if !errors.Is(errs[0], fs.ErrNotExist) {
			t.Error("a missing parameter is not fs.ErrNotExist")
		}
		nstest.Sh(t, "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys")
		errs = k.Apply(t.Context(), adds(state.Sysctl{Path: ipForward, Value: "1"}))
		if want := "/proc/sys/net/ipv4/ip_forward: read-only file system"; fmt.Sprint(errs[0]) != want {
			t.Errorf("error %q, want %q", errs[0], want)
		}
	})
}

// Writing a node's switch sets every interface's own; those that plumb was told
// of get theirs back in the same call.
func TestSwitchesLeaveWantedForwarding(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "ip link add plb1 type veth peer name p1; ip link add plb2 type veth peer name p2")
		k := newKind(t)
		off := []state.Sysctl{
			{Path: "net/ipv4/conf/plb1/forwarding", Value: "0"},
			{Path: "net/ipv6/conf/plb1/forwarding", Value: "0"},
		}
		apply(t, k, off...) // an earlier call
		on := []state.Sysctl{{Path: ipForward, Value: "1"}, {Path: allForward6, Value: "1"}}
		off2 := []state.Sysctl{
			{Path: "net/ipv4/conf/plb2/forwarding", Value: "0"},
			{Path: "net/ipv6/conf/plb2/forwarding", Value: "0"},
		}
		apply(t, k, append(off2, on...)...) // the same call, and last in it
		got := read(t, k)
		for _, w := range slices.Concat(off, off2, on) {
			if got[w.Path] != w.Value {
				t.Errorf("%s is %q, not %q", w.Path, got[w.Path], w.Value)
			}
		}
		if p1 := nstest.Sh(t, "cat /proc/sys/net/ipv4/conf/p1/forwarding"); p1 != "1" {
			t.Errorf("the kernel did not switch p1 (%s): the test proves nothing", p1)
		}
	})
}

// watch collects events until the test ends; then it sees that the watch leaves
// no goroutine behind.
func watch(t *testing.T, k *Kind, changed func([]event)) (again chan struct{}) {
	t.Helper()
	again = make(chan struct{}, 100)
	nstest.Watch(t, long, func(ctx context.Context) error {
		return k.Watch(ctx, changed, func() { again <- struct{}{} })
	})
	return again
}

// expect takes events until all of want have come, in whatever order.
func expect(t *testing.T, events <-chan event, want ...event) {
	t.Helper()
	deadline := time.After(long)
	for len(want) > 0 {
		select {
		case e := <-events:
			if strings.Contains(e.Key.ID, "untracked") {
				t.Errorf("event of what is not tracked: %v", e)
			}
			if i := slices.Index(want, e); i >= 0 {
				want = slices.Delete(want, i, i+1)
			}
		case <-deadline:
			t.Fatalf("these events did not come: %v", want)
		}
	}
}

func is(path, value string) event {
	s := state.Sysctl{Path: path, Value: value}
	return event{Key: s.Key(), Object: s}
}

func gone(path string) event { return event{Key: state.Sysctl{Path: path}.Key(), Gone: true} }

func TestWatchSeesDrift(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "ip link add plb1 type veth peer name p1; ip link add untracked type veth peer name p2")
		k := newKind(t)
		apply(t, k, ofHostEnd("plb1")...)
		apply(t, k, state.Sysctl{Path: ipForward, Value: "1"}, state.Sysctl{Path: allForward6, Value: "1"})
		k.Track(allForward4)
		events := make(chan event, 10_000)
		watch(t, k, func(es []event) {
			for _, e := range es {
				events <- e
			}
		})
		for _, path := range []string{
			"net/ipv4/conf/plb1/proxy_arp",
			"net/ipv4/conf/plb1/rp_filter",
			"net/ipv4/conf/plb1/forwarding",
			"net/ipv6/conf/plb1/forwarding",
			"net/ipv6/conf/plb1/proxy_ndp",
		} {
			echo(t, strings.Replace(path, "plb1", "untracked", 1), "1")
			echo(t, path, "0")
			expect(t, events, is(path, "0"))
			apply(t, k, state.Sysctl{Path: path, Value: "1"})
			expect(t, events, is(path, "1"))
		}
		echo(t, ipForward, "0")
		expect(t, events, is(ipForward, "0"), is(allForward4, "0"), is("net/ipv4/conf/plb1/forwarding", "0"))
		echo(t, allForward6, "0")
		expect(t, events, is(allForward6, "0"), is("net/ipv6/conf/plb1/forwarding", "0"))
		apply(t, k, state.Sysctl{Path: ipForward, Value: "1"}, state.Sysctl{Path: allForward6, Value: "1"})
		expect(t, events, is(ipForward, "1"), is(allForward6, "1"),
			is("net/ipv4/conf/plb1/forwarding", "1"), is("net/ipv6/conf/plb1/forwarding", "1"))
	})
}

func TestWatchFollowsInterfaces(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		k := newKind(t)
		for _, s := range slices.Concat(ofHostEnd("plb1"), ofHostEnd("plb2")) {
			k.Track(s.Path)
		}
		events := make(chan event, 10_000)
		watch(t, k, func(es []event) {
			for _, e := range es {
				events <- e
			}
		})
		const arp, delay, ndp = "net/ipv4/conf/plb1/proxy_arp", "net/ipv4/neigh/plb1/proxy_delay", "net/ipv6/conf/plb1/proxy_ndp"
		nstest.Sh(t, "ip link add plb1 type veth peer name p1")
		expect(t, events, is(arp, "0"), is(delay, "80"), is(ndp, "0"))
		nstest.Sh(t, "ip link set plb1 name plb2")
		expect(t, events, gone(arp), gone(delay), is("net/ipv4/conf/plb2/proxy_arp", "0"), is("net/ipv4/neigh/plb2/proxy_delay", "80"))
		nstest.Sh(t, "ip link set plb2 name plb1")
		expect(t, events, is(arp, "0"), is(delay, "80"))
		echo(t, ndp, "1")
		expect(t, events, is(ndp, "1"))
		nstest.Sh(t, "ip link set plb1 mtu 1000")
		expect(t, events, gone(ndp))
		nstest.Sh(t, "ip link set plb1 mtu 1500")
		expect(t, events, is(ndp, "0"))
		nstest.Sh(t, "ip link del plb1")
		expect(t, events, gone(arp), gone(delay), gone(ndp))
	})
}

// The watcher is held up while the kernel has more to say than the socket holds.
func TestWatchComesBackAfterLoss(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "ip link add plb1 type veth peer name p1")
		k := newKind(t)
		const arp, rp = "net/ipv4/conf/plb1/proxy_arp", "net/ipv4/conf/plb1/rp_filter"
		k.Track(arp, rp)
		events := make(chan event, 1_000_000)
		held, release := make(chan struct{}), make(chan struct{})
		first := true
		again := watch(t, k, func(es []event) {
			if first {
				first = false
				close(held)
				<-release
			}
			for _, e := range es {
				events <- e
			}
		})
		echo(t, arp, "1")
		<-held
		for i := range 100_000 {
			if err := Ensure(arp, fmt.Sprint(i%2)); err != nil {
				t.Fatal(err)
			}
		}
		close(release)
		select {
		case <-again:
		case <-time.After(long):
			t.Fatal("the loss was not noticed")
		}
		echo(t, rp, "2")
		expect(t, events, is(rp, "2"))
	})
}

func BenchmarkRead(b *testing.B) {
	nstest.RunBenchmark(b, func(b *testing.B) {
		k := newKind(b)
		for i := range 200 {
			dev := fmt.Sprintf("plb%d", i)
			nstest.Sh(b, fmt.Sprintf("ip link add %s type veth peer name p%d", dev, i))
			for _, s := range ofHostEnd(dev) {
				k.Track(s.Path)
			}
		}
		paths := k.tracked.all()
		for _, how := range []struct {
			name string
			read func() error
		}{
			{"Read", func() error { return k.Read(b.Context(), func(state.Sysctl) {}) }},
			{"ReadFile", func() error {
				for _, p := range paths {
					if _, err := os.ReadFile(root + p); err != nil {
						return err
					}
				}
				return nil
			}},
		} {
			const n = 20
			start := time.Now()
			for range n {
				if err := how.read(); err != nil {
					b.Fatal(err)
				}
			}
			b.Logf("%s: %v for %d parameters", how.name, time.Since(start)/n, len(paths))
		}
	})
}
