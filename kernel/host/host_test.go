package host

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// long is how long the tests wait for what must come; none waits for what must not.
const long = 30 * time.Second

func open(t *testing.T) *Host {
	t.Helper()
	h, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func interfaces(t *testing.T, h *Host) []state.Interface {
	t.Helper()
	list, err := h.Interfaces(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// text is an interface without its number: "eth0 veth up 1500 172.18.0.3/16".
func text(i state.Interface) string {
	up := "down"
	if i.Up {
		up = "up"
	}
	words := []string{i.Name, i.Type, up, fmt.Sprint(i.MTU)}
	for _, a := range i.Addresses {
		words = append(words, a.String())
	}
	return strings.Join(words, " ")
}

// quiet keeps the kernel from adding addresses of its own.
const quiet = "echo 1 > /proc/sys/net/ipv6/conf/default/addr_gen_mode; "

func TestInterfaces(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, quiet+`
			ip link add eth0 mtu 1400 type veth peer name p0
			ip link set eth0 up
			ip address add 172.18.0.3/16 dev eth0
			ip address add 172.18.0.2/16 dev eth0
			ip address add fe80::1/64 dev eth0
			ip address add fc00:f853:ccd:e793::3/64 dev eth0
			ip address add 192.0.2.1 peer 192.0.2.2/32 dev eth0
			ip link add br0 type bridge`)
		var got []string
		for _, i := range interfaces(t, open(t)) {
			got = append(got, text(i))
		}
		want := []string{
			"br0 bridge down 1500",
			"eth0 veth up 1400 172.18.0.2/16 172.18.0.3/16 192.0.2.1/32 fc00:f853:ccd:e793::3/64 fe80::1/64",
			"lo  up 65536 127.0.0.1/8 ::1/128",
			"p0 veth down 1500",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// change is one call of Watch's callback.
type change struct {
	now  []state.Interface
	gone []string
}

// watch collects changes until the test ends; then it sees that the watch leaves
// no goroutine behind.
func watch(t *testing.T, h *Host, changed func([]state.Interface, []string)) (again chan struct{}) {
	t.Helper()
	again = make(chan struct{}, 100)
	nstest.Watch(t, long, func(ctx context.Context) error {
		return h.Watch(ctx, changed, func() { again <- struct{}{} })
	})
	return again
}

// follow is what a user of Watch does: keep interfaces by name, as told.
type follow map[string]state.Interface

func (f follow) take(c change) {
	for _, name := range c.gone {
		delete(f, name)
	}
	for _, i := range c.now {
		f[i.Name] = i
	}
}

// until takes changes until all interfaces but lo are as want says.
func (f follow) until(t *testing.T, changes <-chan change, want ...string) {
	t.Helper()
	deadline := time.After(long)
	for {
		var got []string
		for _, i := range f {
			if i.Name != "lo" {
				got = append(got, text(i))
			}
		}
		slices.Sort(got)
		if slices.Equal(got, want) {
			return
		}
		select {
		case c := <-changes:
			f.take(c)
		case <-deadline:
			t.Fatalf("followed to\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestWatchFollows(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, quiet+"ip link add eth0 type veth peer name p0")
		h := open(t)
		changes := make(chan change, 10_000)
		watch(t, h, func(now []state.Interface, gone []string) { changes <- change{now, gone} })
		f := follow{}
		f.take(change{now: interfaces(t, h)})
		for _, step := range []struct {
			do   string
			want []string
		}{
			{"ip link set eth0 up", []string{"eth0 veth up 1500", "p0 veth down 1500"}},
			{"ip address add 10.0.0.2/24 dev eth0", []string{"eth0 veth up 1500 10.0.0.2/24", "p0 veth down 1500"}},
			{"ip address add 10.0.0.1/24 dev eth0", []string{"eth0 veth up 1500 10.0.0.1/24 10.0.0.2/24", "p0 veth down 1500"}},
			{"ip address add fd00::1/64 dev eth0", []string{"eth0 veth up 1500 10.0.0.1/24 10.0.0.2/24 fd00::1/64", "p0 veth down 1500"}},
			// Without promote_secondaries the second address of a subnet goes with the first.
			{"ip address del 10.0.0.2/24 dev eth0", []string{"eth0 veth up 1500 fd00::1/64", "p0 veth down 1500"}},
			{"ip link set eth0 mtu 1400", []string{"eth0 veth up 1400 fd00::1/64", "p0 veth down 1500"}},
			{"ip link add br0 type bridge; ip link set p0 master br0; ip link set p0 nomaster", []string{"br0 bridge down 1500", "eth0 veth up 1400 fd00::1/64", "p0 veth down 1500"}},
			{"ip link del br0; ip link set eth0 down", []string{"eth0 veth down 1400", "p0 veth down 1500"}},
			{"ip address add 10.0.0.1/24 dev eth0; ip link set eth0 name uplink", []string{"p0 veth down 1500", "uplink veth down 1400 10.0.0.1/24"}},
			{"ip link set uplink name tmp; ip link set p0 name uplink; ip link set tmp name p0", []string{"p0 veth down 1400 10.0.0.1/24", "uplink veth down 1500"}},
			{"ip link del p0", nil},
			{"ip link add p0 mtu 1300 type bridge", []string{"p0 bridge down 1300"}},
		} {
			t.Log(step.do)
			nstest.Sh(t, step.do)
			f.until(t, changes, step.want...)
			if got := interfaces(t, h); len(got) != len(f) {
				t.Errorf("%d interfaces, %d followed", len(got), len(f))
			}
			for _, i := range interfaces(t, h) {
				if !equal(f[i.Name], i) {
					t.Errorf("%s is %v, followed to %v", i.Name, i, f[i.Name])
				}
			}
		}
	})
}

// Only what changed is reported, and what was handed out is not touched again.
func TestWatchReportsOnlyTheTouched(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, quiet+"ip link add eth0 type veth peer name p0; ip address add 10.0.0.5/24 dev eth0; ip link set eth0 up; ip link set p0 up")
		changes := make(chan change, 10_000)
		watch(t, open(t), func(now []state.Interface, gone []string) { changes <- change{now, gone} })
		nstest.Sh(t, `
			ip address change 10.0.0.5/24 dev eth0 valid_lft 1000 preferred_lft 1000
			ip link set eth0 txqueuelen 5
			ip address add 10.0.1.5/24 dev eth0
			ip address add 10.0.0.4/24 dev eth0
			ip address del 10.0.1.5/24 dev eth0`)
		var seen [][]netip.Prefix
		var texts []string
		for len(texts) == 0 || texts[len(texts)-1] != "eth0 veth up 1500 10.0.0.4/24 10.0.0.5/24" {
			select {
			case c := <-changes:
				if len(c.now) != 1 || c.now[0].Name != "eth0" || len(c.gone) != 0 {
					t.Fatalf("changed: %v", c)
				}
				seen = append(seen, c.now[0].Addresses)
				texts = append(texts, text(c.now[0]))
			case <-time.After(long):
				t.Fatalf("changes: %v", texts)
			}
		}
		for i, addresses := range seen {
			if got := fmt.Sprint(addresses); strings.Count(texts[i], "/24") != len(addresses) || !strings.HasSuffix(texts[i], strings.Trim(got, "[]")) {
				t.Errorf("handed out %q, which is now %s", texts[i], got)
			}
		}
		if slices.Contains(texts, "eth0 veth up 1500 10.0.0.5/24") {
			t.Errorf("what did not change was reported: %v", texts)
		}
	})
}

// Messages from before the first read: a name that a device gave up, and another
// took, must not end as gone.
func TestMessagesOlderThanTheRead(t *testing.T) {
	w := &watcher{}
	w.reset(table{2: {Index: 2, Name: "eth0"}})
	f := follow{"eth0": {Index: 2, Name: "eth0"}}
	old := link(unix.RTM_NEWLINK, 1, "eth0")
	for _, m := range []func() ([]state.Interface, []string){
		func() ([]state.Interface, []string) { return w.take(old) },
		func() ([]state.Interface, []string) { return w.take(link(unix.RTM_DELLINK, 1, "eth0")) },
		func() ([]state.Interface, []string) { return w.take(link(unix.RTM_NEWLINK, 2, "eth0")) },
	} {
		now, gone := m()
		f.take(change{now, gone})
	}
	if f["eth0"].Index != 2 {
		t.Errorf("followed to %v", f)
	}
}

// The watcher is held up while the kernel has more to say than the socket holds.
func TestWatchComesBackAfterLoss(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, quiet+"ip link add eth0 type veth peer name p0")
		h := open(t)
		changes := make(chan change, 100_000)
		held, release := make(chan struct{}), make(chan struct{})
		first := true
		again := watch(t, h, func(now []state.Interface, gone []string) {
			if first {
				first = false
				close(held)
				<-release
			}
			changes <- change{now, gone}
		})
		nstest.Sh(t, "ip link set p0 up")
		<-held
		nstest.Sh(t, `i=0; while [ $i -lt 10000 ]; do echo "link set p0 mtu $((1400 + i % 2))"; i=$((i+1)); done | ip -batch -`)
		nstest.Sh(t, "ip link set eth0 name uplink; ip address add 10.0.0.1/24 dev uplink") // lost
		close(release)
		select {
		case <-again:
		case <-time.After(long):
			t.Fatal("the loss was not noticed")
		}
		f := follow{}
		f.take(change{now: interfaces(t, h)})
		for len(changes) > 0 {
			<-changes
		}
		nstest.Sh(t, "ip address add 10.0.0.2/24 dev uplink")
		f.until(t, changes, "p0 veth up 1401", "uplink veth down 1500 10.0.0.1/24 10.0.0.2/24")
		nstest.Sh(t, "ip link del uplink")
		f.until(t, changes)
	})
}
