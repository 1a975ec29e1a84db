package addr

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/state"
)

var _ reconcile.Ops[state.Address] = (*Kind)(nil)

func setup(t *testing.T) *Kind {
	t.Helper()
	nstest.Sh(t, `ip link add plumb-vxlan type vxlan id 4096 dstport 4789
		ip link set plumb-vxlan up
		ip link add eth0 type veth peer name peer0
		ip addr add 172.18.0.3/16 dev eth0`)
	k, err := New(state.IsTunnel)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func on(prefix string) state.Address {
	return state.Address{Prefix: netip.MustParsePrefix(prefix), Dev: state.VXLANDevice}
}

func read(t *testing.T, k *Kind) []string {
	t.Helper()
	var out []string
	if err := k.Read(context.Background(), func(a state.Address) { out = append(out, state.String(a)) }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func expect(t *testing.T, k *Kind, want ...string) {
	t.Helper()
	if got := read(t, k); !slices.Equal(got, want) {
		t.Errorf("read\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func apply(t *testing.T, k *Kind, changes ...state.Change[state.Address]) {
	t.Helper()
	for i, err := range k.Apply(context.Background(), changes) {
		if err != nil {
			t.Fatalf("%s %s: %v", changes[i].Action, changes[i], err)
		}
	}
}

func add(a state.Address) state.Change[state.Address] {
	return state.Change[state.Address]{Action: state.Add, After: a}
}

func del(a state.Address) state.Change[state.Address] {
	return state.Change[state.Address]{Action: state.Delete, Before: a}
}

func TestReadsBackAsWritten(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		k := setup(t)
		four, six := on("10.244.1.0/32"), on("fd00:10:244:1::/128")
		for range 2 { // twice: Apply is idempotent
			apply(t, k, add(four), add(six))
			var got []state.Address
			if err := k.Read(context.Background(), func(a state.Address) { got = append(got, a) }); err != nil {
				t.Fatal(err)
			}
			if len(got) != 2 || !slices.Contains(got, four) || !slices.Contains(got, six) {
				t.Errorf("read %v", got)
			}
		}
		if out := nstest.Sh(t, "ip -6 addr show dev plumb-vxlan"); strings.Contains(out, "::/128 scope global tentative") {
			t.Errorf("the IPv6 address cannot be used yet: %s", out)
		}
		for range 2 {
			apply(t, k, del(four), del(six))
		}
		expect(t, k)
		nstest.Sh(t, "ip link del plumb-vxlan")
		apply(t, k, del(four)) // went with its device
		if out := nstest.Sh(t, "ip addr show dev eth0"); !strings.Contains(out, "172.18.0.3") {
			t.Error("another's address is gone")
		}
	})
}

// What is odd about an address is read, and can be undone.
func TestOddAddresses(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		k := setup(t)
		nstest.Sh(t, `ip addr add 10.244.1.0/32 scope link dev plumb-vxlan
			ip addr add 10.244.2.0/24 dev plumb-vxlan
			ip addr add 10.244.3.0 peer 10.244.3.1/32 dev plumb-vxlan
			ip addr add fd00::1/128 dev plumb-vxlan nodad preferred_lft 0 valid_lft 1000`)
		expect(t, k,
			"address 10.244.1.0/32 dev plumb-vxlan scope link",
			"address 10.244.2.0/24 dev plumb-vxlan",
			"address 10.244.3.0/32 dev plumb-vxlan peer 10.244.3.1",
			"address fd00::1/128 dev plumb-vxlan dynamic deprecated")
		var changes []state.Change[state.Address]
		if err := k.Read(context.Background(), func(a state.Address) {
			plain := a
			plain.Odd = ""
			if a.Peer.IsValid() {
				changes = append(changes, del(a))
				return
			}
			changes = append(changes, state.Change[state.Address]{Action: state.Modify, Before: a, After: plain})
		}); err != nil {
			t.Fatal(err)
		}
		apply(t, k, changes...)
		expect(t, k,
			"address 10.244.1.0/32 dev plumb-vxlan",
			"address 10.244.2.0/24 dev plumb-vxlan",
			"address fd00::1/128 dev plumb-vxlan")
	})
}

func TestErrors(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		k := setup(t)
		nstest.Sh(t, "ip link set plumb-vxlan mtu 1000")
		other, gone := on("10.0.0.1/32"), on("10.0.0.1/32")
		other.Dev, gone.Dev = "eth0", state.IPIPDevice
		for i, err := range k.Apply(context.Background(), []state.Change[state.Address]{
			add(on("10.244.1.0/32")), add(other), add(gone), add(on("fd00::1/128")),
		}) {
			want := []string{"", "eth0 is not plumb's", "plumb-ipip does not exist", "below 1280"}[i]
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("change %d: %v, want %q", i, err, want)
			}
		}
		expect(t, k, "address 10.244.1.0/32 dev plumb-vxlan")
	})
}

func TestWatch(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		k := setup(t)
		var mu sync.Mutex
		seen := map[state.Key]string{}
		again := 0
		nstest.Watch(t, 30*time.Second, func(ctx context.Context) error {
			return k.Watch(ctx, func(events []state.Event[state.Address]) {
				mu.Lock()
				defer mu.Unlock()
				for _, e := range events {
					if delete(seen, e.Key); !e.Gone {
						seen[e.Key] = state.String(e.Object)
					}
				}
			}, func() { mu.Lock(); again++; mu.Unlock() })
		})
		until := func(what string, is func() bool) {
			t.Helper()
			for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				mu.Lock()
				ok := is()
				text := fmt.Sprint(seen, again)
				mu.Unlock()
				if ok {
					return
				}
				if time.Now().After(end) {
					t.Fatalf("%s: %s", what, text)
				}
			}
		}
		four := on("10.244.1.0/32")
		apply(t, k, add(four))
		until("added", func() bool { return seen[four.Key()] == state.String(four) })
		nstest.Sh(t, "ip addr add 10.0.0.1/8 dev eth0; ip addr del 10.244.1.0/32 dev plumb-vxlan; ip addr add fd00::1/128 dev plumb-vxlan nodad")
		until("one deleted, one added", func() bool { return len(seen) == 1 && seen[on("fd00::1/128").Key()] != "" })
		nstest.Sh(t, "ip link del plumb-vxlan")
		until("the device is gone", func() bool { return again > 0 || len(seen) == 0 })
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{2, 32, 0, 0, 1, 0, 0, 0, 8, 0, 2, 0, 10, 0, 0, 1})
	k, err := New(func(string) bool { return true })
	if err != nil {
		f.Fatal(err)
	}
	d := decoder{k.asking.Names(), k.owned}
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, ok := d.decode(b); ok && !a.Prefix.IsValid() {
			t.Error("no address")
		}
	})
}
