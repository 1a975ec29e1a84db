package monitor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// drops adds up what the kernel tells of rtnetlink sockets in this namespace, whose
// all are the test's.
func drops(t *testing.T) (sum int) {
	t.Helper()
	table, err := os.ReadFile("/proc/self/net/netlink")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		var socket, pid, groups string
		var protocol, rmem, wmem, dump, locks, dropped int
		_, err := fmt.Sscan(line, &socket, &protocol, &pid, &groups, &rmem, &wmem, &dump, &locks, &dropped)
		if err == nil && protocol == unix.NETLINK_ROUTE {
			sum += dropped
		}
	}
	return sum
}

// flood has the kernel announce more than a subscription's buffer holds.
func flood(t *testing.T) {
	t.Helper()
	var b strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&b, "link set p1 address 02:00:00:00:%02x:%02x\n", i>>8, i&255)
	}
	file := filepath.Join(t.TempDir(), "batch")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	nstest.Sh(t, "ip -batch "+file)
}

// What did not fit is counted by the kernel for as long as the socket is open: so it is
// that socket which goes on, twice here, and nothing that comes later is missed.
func TestAnOverflowStaysCounted(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "ip link add p1 type veth peer name p2")
		held, release, lost := make(chan struct{}), make(chan struct{}), make(chan int)
		names := make(chan string, 100_000)
		starts, first := 0, true // belong to whoever calls the listener
		err := Watch(t.Context(), Listener{
			Start: func() error { starts++; return nil },
			Messages: func(msgs []Message) {
				if first {
					held <- struct{}{}
					<-release
				}
				first = false
				for _, m := range msgs {
					if l, ok, _ := DecodeLink(m.Data); ok {
						names <- l.Name
					}
				}
			},
			Lost: func() { first = starts < 3; lost <- starts },
		}, unix.RTNLGRP_LINK)
		if err != nil {
			t.Fatal(err)
		}
		before := 0
		for i := range 2 {
			nstest.Sh(t, "ip link set p1 up; ip link set p1 down")
			<-held
			flood(t)
			release <- struct{}{}
			select {
			case n := <-lost:
				if n != i+2 {
					t.Errorf("%d. overflow: it was begun anew %d times", i+1, n-1)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("the loss was not noticed")
			}
			if now := drops(t); now <= before {
				t.Errorf("%d. overflow: %d drops are counted, and were %d before", i+1, now, before)
			} else {
				before = now
			}
		}
		nstest.Sh(t, "ip link set p1 name later")
		for end := time.After(30 * time.Second); ; {
			select {
			case name := <-names:
				if name == "later" {
					return
				}
			case <-end:
				t.Fatal("what comes later is not heard")
			}
		}
	})
}
