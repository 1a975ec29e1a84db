package route

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// monitored runs body and gives the lines that `ip monitor route` printed meanwhile.
func monitored(t *testing.T, body func()) string {
	t.Helper()
	var out buffer
	cmd := exec.Command("stdbuf", "-oL", "ip", "monitor", "route")
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	// It has no way to say that it listens: what it printed is known by two marks.
	mark := func(dst string) {
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
			nstest.Sh(t, "ip route add blackhole "+dst+"; ip route del blackhole "+dst)
			if strings.Contains(out.String(), "Deleted blackhole "+dst) {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatal("ip monitor prints nothing")
	}
	mark("192.0.2.1")
	body()
	mark("192.0.2.2")
	var lines []string
	for line := range strings.Lines(out.String()) {
		// The kernel's own, of addresses, may come long after their device is up.
		kernels := strings.Contains(line, "proto kernel")
		if !kernels && !strings.Contains(line, "192.0.2.1 ") && !strings.Contains(line, "192.0.2.2 ") && strings.TrimSpace(line) != "" {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n")
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestApplyAgainChangesNothing(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t, state.TableMain, 100, 1000)
		must(t, k, add(forms()...))
		events := monitored(t, func() {
			must(t, k, add(forms()...))
			for _, r := range forms() {
				old := r
				old.MTU = 1280 // what plumb believed to be there; the kernel has r already
				if r.Type == state.Unicast {
					must(t, k, mod(old, r))
				}
			}
			must(t, k, del(route("10.200.0.0/16", 112, "10.99.0.2 d0"), route("fd0f::/64", 112, "fd99::2 d0"),
				route("10.200.0.0/16", 112, "10.99.0.2 nosuch")))
		})
		if events != "" {
			t.Errorf("not idempotent; ip monitor saw\n%s", events)
		}
		expect(t, k, forms()...)
	})
}

func TestModifyIsOneEvent(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t, state.TableMain, 100)
		a, b := route("10.1.0.0/24", 113, "10.99.0.2 d0"), route("10.1.0.0/24", 113, "10.99.0.2 d0", "10.98.0.2 d1")
		a6, b6 := route("fd01::/64", 112, " d0"), route("fd01::/64", 112, " d1")
		hidden := a // where the route cannot be looked up
		hidden.Table = 100
		hidden2 := hidden
		hidden2.MTU = 1400
		must(t, k, add(a, a6, hidden))
		events := monitored(t, func() {
			must(t, k, mod(a, b))
			must(t, k, mod(a6, b6))
			must(t, k, mod(hidden, hidden2))
		})
		if strings.Contains(events, "Deleted") || strings.Count(events, "proto 11") != 3 {
			t.Errorf("not three replacements:\n%s", events)
		}
		expect(t, k, b, b6, hidden2)
	})
}

func TestEachFailureIsItsOwn(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t)
		const n = 30_000
		var changes []state.Change[state.Route]
		var want []state.Route
		for i := range n {
			r := state.NewRoute(netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), 32),
				state.TableMain, 113, state.NextHop{Gateway: netip.MustParseAddr("10.99.0.2"), Dev: "d0"})
			if i%10 == 3 {
				r.Gateway = netip.MustParseAddr("192.0.2.9")
			} else {
				want = append(want, r)
			}
			changes = append(changes, state.Change[state.Route]{Action: state.Add, After: r})
		}
		for i, err := range k.Apply(context.Background(), changes) {
			if bad := i%10 == 3; bad != errors.Is(err, unix.ENETUNREACH) || !bad && err != nil {
				t.Fatalf("change %d: %v", i, err)
			}
		}
		expect(t, k, want...)
	})
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		nstest.Sh(t, "ip link add down0 type veth peer name down1; ip link add no6 type veth peer name no6p; sysctl -qw net.ipv6.conf.no6.disable_ipv6=1; ip link set no6 up")
		k := open(t)
		src := route("10.1.0.0/24", 112, "10.99.0.2 d0")
		src.Src = netip.MustParseAddr("192.0.2.77")
		src6 := route("fd01::/64", 112, "fd99::2 d0")
		src6.Src = netip.MustParseAddr("2001:db8::77")
		for _, c := range []struct {
			r    state.Route
			want string
			is   error
		}{
			{route("10.1.0.0/24", 112, " plbgone"), "interface plbgone does not exist", unix.ENODEV},
			{route("10.1.0.0/24", 112, "172.18.0.9 d0"), "next hop 172.18.0.9 is not on-link", unix.ENETUNREACH},
			{route("10.1.0.0/24", 112, "172.18.0.9 d0", "10.98.0.2 d1"), "one of next hops 10.98.0.2, 172.18.0.9 is not on-link", unix.ENETUNREACH},
			{route("10.1.0.0/24", 112, " down0"), "interface down0 is down", unix.ENETDOWN},
			{route("fd01::/64", 112, "2001:db8::9 d0"), "next hop 2001:db8::9 is not on-link", unix.EHOSTUNREACH},
			{route("fd01::/64", 112, " down0"), "interface down0 is down", unix.ENETDOWN},
			{route("fd01::/64", 112, " no6"), "IPv6 is disabled on interface no6", unix.EACCES},
			{src, "source address 192.0.2.77 is not this node's", unix.EINVAL},
			{src6, "source address 2001:db8::77 is not this node's", unix.EINVAL},
		} {
			err := k.Apply(context.Background(), add(c.r))[0]
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || !errors.Is(err, c.is) {
				t.Errorf("%s: %v\nwant %s… (%v)", state.String(c.r), err, c.want, c.is)
			}
		}
		expect(t, k)
	})
}

func TestLostRepliesAreLookedAfter(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t)
		k.sock.SetReceiveBuffer(4096)
		var changes []state.Change[state.Route]
		for i := range 2000 {
			r := route(fmt.Sprintf("11.0.%d.%d/32", i>>8, i&255), 113, "10.99.0.2 d0")
			if i%2 == 1 {
				r.Gateway = netip.MustParseAddr("192.0.2.9")
			}
			changes = append(changes, state.Change[state.Route]{Action: state.Add, After: r})
		}
		lost := 0
		for i, err := range k.Apply(context.Background(), changes) {
			if (i%2 == 1) != (err != nil) {
				t.Fatalf("change %d: %v", i, err)
			}
			if err != nil && !errors.Is(err, unix.ENETUNREACH) {
				lost++
			}
		}
		if lost == 0 {
			t.Error("no reply was lost: the test tests nothing")
		}
		if got := len(read(t, k)); got != 1000 {
			t.Errorf("%d routes", got)
		}
	})
}

func TestCancelled(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := k.Apply(ctx, add(blackhole("10.1.0.0/24")))[0]; !errors.Is(err, context.Canceled) {
			t.Errorf("apply: %v", err)
		}
		if err := k.Read(ctx, func(state.Route) {}); !errors.Is(err, context.Canceled) {
			t.Errorf("read: %v", err)
		}
		expect(t, k) // the sockets are as usable as before
	})
}

// An IPv6 gateway that is on-link by a flag needs a route that leads to it by that
// device; it may come, and move, in the same list, before or behind.
func TestTheWayToAGatewayInTheSameList(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		k := open(t)
		on := func(dev string) []state.Route {
			net := state.NewRoute(netip.MustParsePrefix("fd0a:1::/64"), state.TableMain, 112,
				state.NextHop{Gateway: netip.MustParseAddr("fd0a:1::"), Dev: dev, OnLink: true})
			return []state.Route{net, state.NewRoute(netip.MustParsePrefix("fd0a:1::/128"), state.TableMain, 112, state.NextHop{Dev: dev})}
		}
		direct := route("fd0a:1::/64", 112, "fd99::2 d0")
		must(t, k, add(direct))
		first, second := on("d1"), on("d0")
		must(t, k, []state.Change[state.Route]{{Action: state.Modify, Before: direct, After: first[0]}, {Action: state.Add, After: first[1]}})
		expect(t, k, first...)
		must(t, k, []state.Change[state.Route]{
			{Action: state.Modify, Before: first[0], After: second[0]}, {Action: state.Modify, Before: first[1], After: second[1]},
		})
		expect(t, k, second...)
	})
}
