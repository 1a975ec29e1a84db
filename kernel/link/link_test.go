package link

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/state"
)

var _ reconcile.Ops[state.Link] = (*Kind)(nil)

type event = state.Event[state.Link]

// long is how long the tests wait for what must come; none waits for what must not.
const long = 30 * time.Second

func newKind(t *testing.T) *Kind {
	t.Helper()
	k, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// read gives plumb's links by name.
func read(t *testing.T, k *Kind) map[string]state.Link {
	t.Helper()
	got := map[string]state.Link{}
	err := k.Read(t.Context(), func(l state.Link) {
		if _, twice := got[l.Name]; twice {
			t.Errorf("%s was given twice", l.Name)
		}
		got[l.Name] = l
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func apply(t *testing.T, k *Kind, changes ...state.Change[state.Link]) {
	t.Helper()
	if err := errors.Join(k.Apply(t.Context(), changes)...); err != nil {
		t.Fatal(err)
	}
}

func add(l state.Link) state.Change[state.Link] {
	return state.Change[state.Link]{Action: state.Add, After: l}
}

func del(name string) state.Change[state.Link] {
	return state.Change[state.Link]{Action: state.Delete, Before: state.Link{Name: name}}
}

func hostEnd(name string) state.Link {
	return state.Link{Name: name, Type: "veth", MAC: state.HostEndMAC, Up: true}
}

func TestReadGivesWhatApplyWrote(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, `
			ip link add plb00000000001 type veth peer name p1
			ip link add plb00000000002 type veth peer name p2
			ip link set plb00000000001 up
			ip link add plumb-vxlan type vxlan id 4096 dstport 4789
			ip link add eth0 type veth peer name xplb
			ip link add br0 type bridge`)
		k := newKind(t)
		have := read(t, k)
		if len(have) != 3 || !have["plb00000000001"].Up || have["plb00000000002"].Up || have["plumb-vxlan"].Type != "vxlan" {
			t.Fatalf("read %v", have)
		}
		vxlan := have["plumb-vxlan"]
		vxlan.MAC, vxlan.Up = "66:00:0a:0b:0c:0d", true
		down := hostEnd("plb00000000001")
		down.Up = false
		for _, want := range []state.Link{hostEnd("plb00000000001"), hostEnd("plb00000000002"), vxlan, down} {
			for range 2 { // twice: Apply is idempotent
				apply(t, k, state.Change[state.Link]{Action: state.Modify, Before: have[want.Name], After: want})
				if got := read(t, k)[want.Name]; got != want {
					t.Errorf("wrote %v, read %v", want, got)
				}
			}
		}
	})
}

func TestMACIsSetWithoutGoingDown(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, `
			ip link add plb1 type veth peer name p1
			ip link set plb1 up
			ip link set p1 up
			ip route add 10.244.1.5 dev plb1`)
		apply(t, newKind(t), add(hostEnd("plb1")))
		if routes := nstest.Sh(t, "ip route"); !strings.Contains(routes, "10.244.1.5") {
			t.Fatalf("the route over the interface is lost: %q", routes)
		}
	})
}

func TestApplyGivesEachChangeItsError(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, `
			ip link add plb1 type veth peer name p1
			ip link add plb2 type bridge
			ip link add eth0 type veth peer name eth1`)
		k := newKind(t)
		errs := k.Apply(t.Context(), []state.Change[state.Link]{
			add(hostEnd("plbmissing")),
			add(hostEnd("plb1")),
			add(hostEnd("plb2")),
			del("eth0"),
			del("plbgone"),
			add(state.Link{Name: "plumb-vxlan", Type: "bridge"}),
		})
		for i, want := range []string{
			"interface plbmissing does not exist: its pod's end is made by the CNI plugin",
			"",
			`interface plb2 is of type "bridge", not "veth"`,
			"interface eth0 is not plumb's",
			"",
			"interface plumb-vxlan does not exist, and plumb does not make devices of type bridge",
		} {
			if got := fmt.Sprint(errs[i]); (want == "") != (errs[i] == nil) || !strings.Contains(got, want) {
				t.Errorf("change %d: error %q, want %q", i, got, want)
			}
		}
		if got := read(t, k)["plb1"]; got != hostEnd("plb1") {
			t.Errorf("plb1 is %v", got)
		}
		nstest.Sh(t, "ip link show eth0")
	})
}

func TestDelete(t *testing.T) {
	for _, n := range []int{1, manyDeletions - 1, manyDeletions, 50} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			nstest.Run(t, func(t *testing.T) {
				nstest.Sh(t, "ip link add eth0 type veth peer name eth1; ip link set eth0 group 7")
				changes := []state.Change[state.Link]{del("plbgone")}
				for i := range n {
					name := fmt.Sprintf("plb%d", i)
					nstest.Sh(t, fmt.Sprintf("ip link add %s type veth peer name p%d", name, i))
					changes = append(changes, del(name))
				}
				nstest.Sh(t, "ip link add plbstays type veth peer name pstays")
				k := newKind(t)
				apply(t, k, changes...)
				if got := read(t, k); len(got) != 1 || got["plbstays"].Name == "" {
					t.Errorf("left: %v", got)
				}
				if links := nstest.Sh(t, "ip -br link"); strings.Contains(links, "p0") || !strings.Contains(links, "eth0") {
					t.Errorf("left:\n%s", links)
				}
				apply(t, k, changes...) // all are gone already
			})
		})
	}
}

func TestApplyEndsWithItsContext(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "ip link add plb1 type veth peer name p1")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		k := newKind(t)
		errs := k.Apply(ctx, []state.Change[state.Link]{add(hostEnd("plb1")), del("plb1")})
		for _, err := range errs {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
		}
		if read(t, k)["plb1"].MAC == state.HostEndMAC {
			t.Error("changed all the same")
		}
	})
}

// watch collects events, and the calls of again, until the test ends; then it
// sees that the watch leaves no goroutine behind.
func watch(t *testing.T, k *Kind, changed func([]event)) (again chan struct{}) {
	t.Helper()
	again = make(chan struct{}, 100)
	nstest.Watch(t, long, func(ctx context.Context) error {
		return k.Watch(ctx, changed, func() { again <- struct{}{} })
	})
	return again
}

// expect takes events until one is as described; what comes before it are the
// steps on the way there.
func expect(t *testing.T, events <-chan event, what string, is func(event) bool) {
	t.Helper()
	deadline := time.After(long)
	for {
		select {
		case e := <-events:
			if !Owned(e.Key.ID) {
				t.Errorf("event of another's device: %v", e)
			}
			if is(e) {
				return
			}
		case <-deadline:
			t.Fatalf("no event: %s", what)
		}
	}
}

func TestWatchSeesDrift(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, `
			ip link add plb1 type veth peer name p1
			ip link add br0 type bridge
			ip link set br0 up`)
		k := newKind(t)
		want := hostEnd("plb1")
		apply(t, k, add(want))
		events := make(chan event, 1000)
		watch(t, k, func(es []event) {
			for _, e := range es {
				events <- e
			}
		})
		is := func(l state.Link) func(event) bool {
			return func(e event) bool { return !e.Gone && e.Object == l && e.Key == l.Key() }
		}
		gone := func(name string) func(event) bool {
			return func(e event) bool { return e.Gone && e.Key == state.Link{Name: name}.Key() }
		}
		down, other, renamed := want, want, want
		down.Up, other.MAC, renamed.Name, renamed.Up = false, "02:00:00:00:00:01", "plb9", false

		nstest.Sh(t, "ip link set plb1 down")
		expect(t, events, "down", is(down))
		apply(t, k, state.Change[state.Link]{Action: state.Modify, Before: down, After: want})
		expect(t, events, "up again by Apply", is(want))
		nstest.Sh(t, "ip link set plb1 address 02:00:00:00:00:01")
		expect(t, events, "MAC", is(other))
		nstest.Sh(t, "ip link set plb1 address ee:ee:ee:ee:ee:ee")
		expect(t, events, "MAC put right", is(want))

		nstest.Sh(t, "ip link set plb1 down; ip link set plb1 name plb9")
		expect(t, events, "old name gone", gone("plb1"))
		expect(t, events, "new name", is(renamed))
		nstest.Sh(t, "ip link set plb9 name eth9")
		expect(t, events, "renamed away", gone("plb9"))
		nstest.Sh(t, "ip link set eth9 name plb1")
		expect(t, events, "renamed back", is(down))
		nstest.Sh(t, "ip link del p1")
		expect(t, events, "deleted with its peer", gone("plb1"))
		nstest.Sh(t, "ip link add plb2 address ee:ee:ee:ee:ee:ee up type veth peer name p2")
		expect(t, events, "made anew", is(hostEnd("plb2")))
	})
}

// A port that leaves a bridge is still there: the bridge's own DELLINK must not
// be taken for the device's.
func TestBridgePortIsNotGone(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "ip link add plb1 type veth peer name p1; ip link add br0 type bridge")
		events := make(chan event, 1000)
		watch(t, newKind(t), func(es []event) {
			for _, e := range es {
				events <- e
			}
		})
		nstest.Sh(t, "ip link set plb1 master br0; ip link set plb1 nomaster; ip link set plb1 up")
		expect(t, events, "up, last of all", func(e event) bool {
			if e.Gone {
				t.Errorf("%s is said to be gone", e.Key)
			}
			return e.Object.Up
		})
	})
}

// The watcher is held up while the kernel has more to say than the socket holds.
func TestWatchComesBackAfterLoss(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "ip link add plb1 type veth peer name p1; ip link add plb2 type veth peer name p2")
		k := newKind(t)
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
		nstest.Sh(t, "ip link set plb1 up")
		<-held
		flood(t, k, "p1")
		nstest.Sh(t, "ip link set plb2 name eth2") // this message is lost
		close(release)
		select {
		case <-again:
		case <-time.After(long):
			t.Fatal("the loss was not noticed")
		}
		for len(events) > 0 {
			<-events
		}
		nstest.Sh(t, "ip link del plb1")
		expect(t, events, "after the loss", func(e event) bool {
			return e.Gone && e.Key == state.Link{Name: "plb1"}.Key()
		})
		if got := read(t, k); len(got) != 0 {
			t.Errorf("read %v", got)
		}
	})
}

// flood makes the kernel announce more than a socket's buffer holds.
func flood(t *testing.T, k *Kind, name string) {
	t.Helper()
	l, err := k.conn.Link(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20_000 {
		mac := []byte{2, 0, 0, 0, byte(i >> 8), byte(i)}
		if err := k.modify(l.Index, change{mac: mac}); err != nil {
			t.Fatal(err)
		}
	}
}
