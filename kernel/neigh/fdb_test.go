package neigh

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

var _ reconcile.Ops[state.FDB] = (*FDB)(nil)

// setupFDB makes plumb's two VXLAN devices, and one of another owner.
func setupFDB(t testing.TB) *FDB {
	t.Helper()
	nstest.Sh(t, `ip link add eth0 type veth peer name peer0; ip link set eth0 up; ip link set peer0 up
		echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
		ip link add plumb-vxlan type vxlan id 4096 local 172.18.0.3 dev eth0 dstport 4789 nolearning
		ip link add plumb-vxlan-v6 type vxlan id 4096 local fc00::3 dev eth0 dstport 4789 nolearning
		ip link add other type vxlan id 7 local 172.18.0.3 dev eth0 dstport 4789 nolearning
		for i in plumb-vxlan plumb-vxlan-v6 other; do ip link set $i up; done`)
	k, err := NewFDB(state.VXLANDevice, state.VXLANDevice6)
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

func fdb(mac, dev, dst string) state.FDB {
	return state.FDB{MAC: mac, Dev: dev, Dst: netip.MustParseAddr(dst)}
}

func fdbChanges(a state.Action, entries ...state.FDB) []state.Change[state.FDB] {
	var out []state.Change[state.FDB]
	for _, e := range entries {
		c := state.Change[state.FDB]{Action: a, After: e}
		if a == state.Delete {
			c = state.Change[state.FDB]{Action: a, Before: e}
		}
		out = append(out, c)
	}
	return out
}

func mustFDB(t testing.TB, k *FDB, changes []state.Change[state.FDB]) {
	t.Helper()
	for i, err := range k.Apply(context.Background(), changes) {
		if err != nil {
			t.Fatalf("%s %s: %v", changes[i].Action, changes[i], err)
		}
	}
}

func readFDB(t testing.TB, k *FDB) []state.FDB {
	t.Helper()
	var got []state.FDB
	if err := k.Read(context.Background(), func(e state.FDB) { got = append(got, e) }); err != nil {
		t.Fatal(err)
	}
	return got
}

func fdbLines(entries []state.FDB) string {
	var out []string
	for _, e := range entries {
		out = append(out, state.String(e))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func expectFDB(t testing.TB, k *FDB, want ...state.FDB) {
	t.Helper()
	got := readFDB(t, k)
	if fdbLines(got) != fdbLines(want) {
		t.Fatalf("kernel has\n%s\nwant\n%s", fdbLines(got), fdbLines(want))
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Fatalf("read back, not ==:\n%#v\n%#v", got, w)
		}
	}
}

func TestFDBReadsBackAsWritten(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		k := setupFDB(t)
		nstest.Sh(t, "bridge fdb append 02:00:00:00:00:01 dev other dst 172.18.0.9")
		a := fdb("02:00:00:00:00:04", "plumb-vxlan", "172.18.0.4")
		b := fdb("02:00:00:00:00:04", "plumb-vxlan-v6", "fc00::4")
		for range 2 { // twice: Apply is idempotent
			mustFDB(t, k, fdbChanges(state.Add, a, b))
			expectFDB(t, k, a, b)
		}
		if out := nstest.Sh(t, "bridge fdb show dev plumb-vxlan"); out != "02:00:00:00:00:04 dst 172.18.0.4 self permanent" {
			t.Errorf("bridge says: %s", out)
		}
		moved := fdb(a.MAC, a.Dev, "172.18.0.5")
		mustFDB(t, k, []state.Change[state.FDB]{{Action: state.Modify, Before: a, After: moved}})
		expectFDB(t, k, moved, b)
		for range 2 {
			mustFDB(t, k, fdbChanges(state.Delete, moved, b))
		}
		expectFDB(t, k)
		if out := nstest.Sh(t, "bridge fdb show dev other"); !strings.Contains(out, "172.18.0.9") {
			t.Error("another owner's entry is gone")
		}
		nstest.Sh(t, "ip link del plumb-vxlan")
		mustFDB(t, k, fdbChanges(state.Delete, a)) // went with its device
		expectFDB(t, k)
	})
}

// What others put there is read with all that is odd about it, and can be undone.
func TestFDBOfOthers(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		k := setupFDB(t)
		nstest.Sh(t, `
			bridge fdb add 02:00:00:00:00:05 dev plumb-vxlan dst 172.18.0.5 port 8472
			bridge fdb add 02:00:00:00:00:06 dev plumb-vxlan dst 172.18.0.6 vni 9
			bridge fdb add 02:00:00:00:00:07 dev plumb-vxlan dst 172.18.0.7 dynamic
			bridge fdb add 02:00:00:00:00:08 dev plumb-vxlan dst 172.18.0.8 static
			ip nexthop add id 12 via 172.18.0.9 fdb
			ip nexthop add id 102 group 12 fdb
			bridge fdb add 02:00:00:00:00:09 dev plumb-vxlan nhid 102
			bridge fdb append 00:00:00:00:00:00 dev plumb-vxlan dst 172.18.0.5
			bridge fdb append 00:00:00:00:00:00 dev plumb-vxlan dst 172.18.0.6`)
		got := readFDB(t, k)
		want := `fdb 00:00:00:00:00:00 dev plumb-vxlan dst 172.18.0.5 self permanent
fdb 00:00:00:00:00:00 dev plumb-vxlan dst 172.18.0.6 self permanent
fdb 02:00:00:00:00:05 dev plumb-vxlan dst 172.18.0.5 self port 8472
fdb 02:00:00:00:00:06 dev plumb-vxlan dst 172.18.0.6 self vni 9
fdb 02:00:00:00:00:07 dev plumb-vxlan dst 172.18.0.7 self dynamic
fdb 02:00:00:00:00:08 dev plumb-vxlan dst 172.18.0.8 self static
fdb 02:00:00:00:00:09 dev plumb-vxlan self nhid 102`
		if fdbLines(got) != want {
			t.Errorf("read\n%s\nwant\n%s", fdbLines(got), want)
		}
		var mends []state.Change[state.FDB]
		var mended []state.FDB
		keys := map[state.Key]bool{}
		for i, e := range got {
			if keys[e.Key()] {
				t.Errorf("%s twice", e.Key())
			}
			keys[e.Key()] = true
			if e.Odd != "" {
				after := fdb(e.MAC, e.Dev, fmt.Sprintf("172.18.1.%d", i))
				mends = append(mends, state.Change[state.FDB]{Action: state.Modify, Before: e, After: after})
				mended = append(mended, after)
			} else {
				mends = append(mends, fdbChanges(state.Delete, e)...)
			}
		}
		mustFDB(t, k, mends)
		expectFDB(t, k, mended...)
	})
}

func TestFDBErrors(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		k := setupFDB(t)
		good := fdb("02:00:00:00:00:04", "plumb-vxlan", "172.18.0.4")
		nstest.Sh(t, "ip link del plumb-vxlan-v6")
		for i, err := range k.Apply(context.Background(), fdbChanges(state.Add, good,
			fdb("02:00:00:00:00:04", "plumb-vxlan-v6", "fc00::4"),
			fdb("02:00:00:00:00:04", "other", "172.18.0.4"),
			fdb("02:00", "plumb-vxlan", "172.18.0.4"),
			fdb("02:00:00:00:00:05", "plumb-vxlan", "fc00::5"),
		)) {
			want := []string{"", "plumb-vxlan-v6 does not exist", "other is not plumb's", "is no MAC address", "refused by the kernel"}[i]
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("change %d: %v, want %q", i, err, want)
			}
		}
		expectFDB(t, k, good)
	})
}

// Many, also where the replies of failures are lost.
func TestFDBMany(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		k := setupFDB(t)
		var all []state.FDB
		for i := range 5000 {
			all = append(all, fdb(fmt.Sprintf("02:00:00:00:%02x:%02x", i>>8, i&255), "plumb-vxlan", fmt.Sprintf("10.9.%d.%d", i>>8, i&255)))
		}
		mustFDB(t, k, fdbChanges(state.Add, all...))
		expectFDB(t, k, all...)
		mustFDB(t, k, fdbChanges(state.Delete, all...))
		expectFDB(t, k)
		k.sock.SetReceiveBuffer(2048)
		mustFDB(t, k, fdbChanges(state.Delete, all...))
	})
}

func TestFDBWatch(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		k := setupFDB(t)
		var mu sync.Mutex
		seen := map[state.Key]state.FDB{} // what one who only listens believes to be there
		again := 0
		nstest.Watch(t, 30*time.Second, func(ctx context.Context) error {
			return k.Watch(ctx, func(events []state.Event[state.FDB]) {
				mu.Lock()
				defer mu.Unlock()
				for _, e := range events {
					if e.Gone {
						delete(seen, e.Key)
					} else {
						seen[e.Key] = e.Object
					}
				}
			}, func() { mu.Lock(); again++; mu.Unlock() })
		})
		until := func(what string, want ...state.FDB) {
			t.Helper()
			var got string
			for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
				mu.Lock()
				var list []state.FDB
				for _, e := range seen {
					list = append(list, e)
				}
				mu.Unlock()
				if got = fdbLines(list); got == fdbLines(want) {
					return
				}
			}
			t.Fatalf("%s: believed to be there\n%s\nwant\n%s", what, got, fdbLines(want))
		}
		a, b := fdb("02:00:00:00:00:04", "plumb-vxlan", "172.18.0.4"), fdb("02:00:00:00:00:04", "plumb-vxlan-v6", "fc00::4")
		mustFDB(t, k, fdbChanges(state.Add, a, b))
		until("own additions", a, b)
		nstest.Sh(t, "bridge fdb replace 02:00:00:00:00:04 dev plumb-vxlan dst 172.18.0.9; bridge fdb add 02:00:00:00:00:04 dev other dst 172.18.0.9")
		until("another destination", fdb(a.MAC, a.Dev, "172.18.0.9"), b)
		nstest.Sh(t, "bridge fdb del 02:00:00:00:00:04 dev plumb-vxlan")
		until("deleted", b)
		nstest.Sh(t, "ip link del plumb-vxlan-v6")
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			mu.Lock()
			known := again > 0 || len(seen) == 0
			mu.Unlock()
			if known {
				break
			}
			if time.Now().After(end) {
				t.Fatal("a device went with its entries, unsaid")
			}
		}
	})
}

func FuzzDecodeFDB(f *testing.F) {
	f.Add([]byte{7, 0, 0, 0, 1, 0, 0, 0, 0x80, 0, 2, 0, 8, 0, 1, 0, 10, 0, 0, 1, 10, 0, 2, 0, 2, 0, 0, 0, 0, 1, 0, 0})
	f.Fuzz(func(_ *testing.T, b []byte) { decodeFDB(b) })
}

// The entries of a bridge that the device was put into are not the device's.
func TestFDBOfADeviceInABridge(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		k := setupFDB(t)
		want := fdb("02:00:00:00:00:01", "plumb-vxlan", "192.0.2.5")
		mustFDB(t, k, fdbChanges(state.Add, want))
		nstest.Sh(t, "ip link add br0 type bridge; ip link set plumb-vxlan master br0; ip link set br0 up")
		if out := nstest.Sh(t, "bridge fdb show dev plumb-vxlan"); !strings.Contains(out, "master br0") {
			t.Fatalf("the bridge has no entry: %s", out)
		}
		var got []state.FDB
		if err := k.Read(t.Context(), func(e state.FDB) { got = append(got, e) }); err != nil || !slices.Equal(got, []state.FDB{want}) {
			t.Errorf("read %v: %v", got, err)
		}
	})
}
