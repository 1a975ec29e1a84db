package nft

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// watch gives a channel that gets a value when again was called.
func watch(ctx context.Context, t *testing.T, k *Kind) chan struct{} {
	t.Helper()
	called := make(chan struct{}, 1)
	err := k.Watch(ctx, func([]state.Event[state.Object]) { t.Error("changed was called") }, func() {
		select {
		case called <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return called
}

func expectCall(t *testing.T, called chan struct{}, what string) {
	t.Helper()
	select {
	case <-called:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: not noticed", what)
	}
}

// expectNone is for events that are to be passed over: a later one that is not,
// made by sentinel, shows that they have been.
func expectNone(t *testing.T, called chan struct{}, what string) {
	t.Helper()
	select {
	case <-called:
		t.Fatalf("%s: again was called", what)
	case <-time.After(100 * time.Millisecond):
	}
}

// caughtUp waits until the watcher has heard of all that was done so far. On a busy
// machine that takes longer than settle, after which the state is read again.
func caughtUp(t *testing.T, k *Kind) {
	t.Helper()
	gen := generation(t, k)
	eventually(t, "the watcher's news", func() bool {
		k.tracker.mu.Lock()
		defer k.tracker.mu.Unlock()
		// Where events before it are missing, at stays behind although it was heard of.
		heard := k.tracker.at == 0 || int32(k.tracker.at-gen) >= 0
		for later := range k.tracker.clean {
			heard = heard || int32(later-gen) >= 0
		}
		return heard
	})
}

// forget empties called: one operation may have called more than once.
func forget(called chan struct{}) {
	for {
		select {
		case <-called:
		case <-time.After(20 * time.Millisecond):
			return
		}
	}
}

func TestDrift(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		called := watch(t.Context(), t, k)
		want := typical()
		converge(t, k, want)
		drifts := []string{
			"nft flush ruleset",
			"nft delete table inet plumb",
			"nft flush table inet plumb",
			"nft flush chain inet plumb postrouting",
			"nft insert rule inet plumb postrouting drop",
			"nft insert rule inet plumb postrouting ip saddr 10.0.0.1 masquerade",
			"nft add rule inet plumb antispoof accept",
			"nft replace rule inet plumb antispoof handle $(nft -a list chain inet plumb antispoof | sed -n 's/.*missing drop.*handle //p') accept",
			"nft 'flush chain inet plumb postrouting; " +
				"add rule inet plumb postrouting ip6 saddr @pools6 ip6 daddr != @pools6 masquerade fully-random; " +
				"add rule inet plumb postrouting ip saddr @masq4 ip daddr != @pools4 masquerade fully-random'",
			"nft delete rule inet plumb postrouting handle $(nft -a list chain inet plumb postrouting | sed -n 's/.*masq4.*handle //p')",
			"nft add element inet plumb masq4 '{ 192.0.2.0/24 }'",
			"nft delete element inet plumb masq4 '{ 10.99.0.1 }'",
			"nft flush set inet plumb pools4",
			"nft delete chain inet plumb antispoof",
			"nft add chain inet plumb other",
			"nft add chain inet plumb other '{ type filter hook output priority 0; policy drop; }'",
			"nft chain inet plumb antispoof '{ policy drop; }'",
			"nft 'delete chain inet plumb antispoof; add chain inet plumb antispoof { type filter hook input priority 5; }'",
			"nft 'flush chain inet plumb postrouting; delete set inet plumb masq4; add set inet plumb masq4 { type ipv4_addr; }; add element inet plumb masq4 { 1.2.3.4 }'",
			"nft add set inet plumb more '{ type ipv4_addr . inet_service; flags interval; }'",
			"nft add set inet plumb more '{ type ipv4_addr; flags interval; }'; nft add element inet plumb more '{ 1.0.0.0/8 }'",
			"nft add counter inet plumb more",
			"nft add table inet plumb '{ flags dormant; }'",
			"nft 'add chain inet plumb other; add rule inet plumb postrouting jump other; add rule inet plumb other drop'",
			"nft 'add map inet plumb m { type ipv4_addr : verdict; }; add chain inet plumb other; add element inet plumb m { 1.2.3.4 : jump other }; add rule inet plumb postrouting ip saddr vmap @m'",
		}
		for _, drift := range drifts {
			forget(called)
			nstest.Sh(t, drift)
			expectCall(t, called, drift)
			if len(diff(read(t, k), want)) == 0 {
				t.Errorf("%s: no difference", drift)
			}
			converge(t, k, want)
			if t.Failed() {
				t.Fatalf("after %s", drift)
			}
		}
	})
}

// The rules that are put back by hand, in whatever way, are the wanted ones.
func TestRestoredByHand(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		converge(t, k, typical())
		script := filepath.Join(t.TempDir(), "saved")
		nstest.Sh(t, "nft list ruleset > "+script+"; nft flush ruleset; nft -f "+script)
		equal(t, "restored", read(t, k), typical())
	})
}

// Own transactions are not reported, and after them nothing is dumped.
func TestOwnChangesAreSilent(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		called := watch(t.Context(), t, k)
		want, list := withMany(5000)
		read(t, k)
		apply(t, k, diff(nil, want))
		have := k.have
		apply(t, k, deletes(list[:10]))
		apply(t, k, adds(list[:10]))
		apply(t, k, adds(typical().Sorted()))
		apply(t, k, deletes(typical().Sorted()[10:]))
		read(t, k)
		if k.have != have {
			t.Error("the state was read again")
		}
		expectNone(t, called, "own changes")
		// But what others do right after a large one is heard.
		apply(t, k, adds(list))
		nstest.Sh(t, "nft delete table inet plumb")
		expectCall(t, called, "delete")
		equal(t, "deleted", read(t, k), nil)
	})
}

// Changes of other tables do not lead to a dump, and are not reported.
func TestOtherTables(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		called := watch(t.Context(), t, k)
		converge(t, k, typical())
		forget(called)
		have := k.have
		churn := "nft 'add table ip plumb; add table inet other; add set inet other s { type ipv4_addr; flags interval; }; add element inet other s { 1.2.3.0/24 }';" +
			" nft add chain inet other c '{ type filter hook input priority 0; }'; nft add rule inet other c counter"
		nstest.Sh(t, churn)
		caughtUp(t, k)
		before := nstest.Sh(t, "nft list table inet other; nft list table ip plumb")
		equal(t, "after changes of others", read(t, k), typical())
		apply(t, k, deletes([]state.Object{element("masq4", "10.99.0.1")}))
		nstest.Sh(t, "nft add rule inet other c counter; nft delete rule inet other c handle $(nft -a list chain inet other c | sed -n 's/.*handle //p' | tail -1)")
		caughtUp(t, k)
		apply(t, k, adds([]state.Object{element("masq4", "10.99.0.1")}))
		equal(t, "between changes of others", read(t, k), typical())
		if k.have != have {
			t.Error("the state was read again")
		}
		expectNone(t, called, "changes of others")
		converge(t, k, nil)
		if after := nstest.Sh(t, "nft list table inet other; nft list table ip plumb"); after != before {
			t.Errorf("other tables were\n%s\nand are\n%s", before, after)
		}
	})
}

// A burst that does not fit into the queue is noticed.
func TestOverflow(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		converge(t, k, typical())
		if err := k.events.conn.SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		called := watch(t.Context(), t, k)
		_, list := withMany(3000)
		path := script(t, list)
		nstest.Sh(t, "sed -i s/plumb/other/ "+path)
		// A watcher that gets the processor at the right times loses nothing.
		for deadline := time.Now().Add(time.Minute); len(called) == 0; {
			if time.Now().After(deadline) {
				t.Fatal("overflow: not noticed")
			}
			nstest.Sh(t, "nft -f "+path+"; nft delete table inet other")
		}
		forget(called)
		equal(t, "after the overflow", read(t, k), typical())
		nstest.Sh(t, "nft flush chain inet plumb antispoof")
		expectCall(t, called, "after the overflow")
		converge(t, k, typical())
	})
}

// The goroutine ends with its context, or with the Kind, and another Watch can
// begin.
func TestWatchEnds(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		converge(t, k, typical())
		idle := runtime.NumGoroutine()
		for range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			called := watch(ctx, t, k)
			if err := k.Watch(ctx, nil, nil); err == nil {
				t.Fatal("watched twice")
			}
			nstest.Sh(t, "nft add rule inet plumb postrouting drop")
			expectCall(t, called, "add rule")
			cancel()
			eventually(t, "the end of the watch", func() bool { return !k.watching.Load() })
			nstest.Sh(t, "nft add rule inet plumb postrouting drop")
			converge(t, k, typical())
		}
		other, err := New()
		if err != nil {
			t.Fatal(err)
		}
		watch(t.Context(), t, other)
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the end of the goroutines", func() bool { return runtime.NumGoroutine() <= idle })
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}

// While others change their tables without a pause, reading and changing go on.
func TestUnderChurn(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		called := watch(t.Context(), t, k)
		other := newKind(t) // as another program
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := 0; ctx.Err() == nil; i++ {
				b := newBatch(false)
				if i%2 == 0 {
					b.makeTable(0)
				} else {
					b.deleteTable(0)
				}
				copyTableName(b, "plomb")
				time.Sleep(time.Millisecond)
				if guilty, err := other.commit(b); err != nil || len(guilty) > 0 {
					t.Errorf("%v %v", guilty, err)
					return
				}
			}
		}()
		want, list := withMany(2000)
		for range nstest.Rounds(20) {
			for _, change := range []func(){
				func() { apply(t, k, diff(read(t, k), want)) },
				func() { apply(t, k, deletes(list[:10])) },
				func() { apply(t, k, adds(list[:10])) },
				func() { equal(t, "under churn", read(t, k), want) },
				func() { apply(t, k, diff(want, nil)) },
			} {
				caughtUp(t, k)
				change()
			}
		}
		cancel()
		<-done
		_ = called
	})
}

// copyTableName makes the batch about another table with a name of equal length.
func copyTableName(b *batch, name string) {
	b.b = []byte(strings.ReplaceAll(string(b.b), tableName, name))
}

// Without the right, and where there is no nf_tables, the error says so.
func TestErrorsSayWhatIsMissing(t *testing.T) {
	run(t, func(t *testing.T, k *Kind) {
		err := make(chan error)
		go func() {
			runtime.LockOSThread() // and the thread ends with the goroutine
			h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var none [2]unix.CapUserData
			if e := unix.Capset(&h, &none[0]); e != nil {
				err <- e
				return
			}
			err <- k.Read(context.Background(), func(state.Object) {})
		}()
		if e := <-err; !errors.Is(e, unix.EPERM) || !strings.HasPrefix(e.Error(), "nftables: CAP_NET_ADMIN is missing") {
			t.Error(e)
		}
	})
	for _, errno := range []syscall.Errno{unix.EINVAL, unix.EOPNOTSUPP} {
		if err := explain(&kernelError{errno: errno}); !errors.Is(err, errno) || !strings.Contains(err.Error(), "CONFIG_NF_TABLES") {
			t.Error(err)
		}
	}
}
