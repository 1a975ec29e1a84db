package agent

import (
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// The words that systemd hears, in order, from the start to the end.
func TestTheServiceManagerIsTold(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		heard := make(chan string, 1000)
		address := filepath.Join(t.TempDir(), "notify")
		l, err := net.ListenPacket("unixgram", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			buf := make([]byte, 4096)
			for {
				n, _, err := l.ReadFrom(buf)
				if err != nil {
					return
				}
				heard <- string(buf[:n])
			}
		}()
		next := func(pattern string) {
			t.Helper()
			re, limit := regexp.MustCompile(pattern), time.After(10*time.Second)
			for {
				select {
				case text := <-heard:
					if re.MatchString(text) {
						return
					}
				case <-limit:
					t.Fatalf("not heard: %s", pattern)
				}
			}
		}
		// The agent's end is seen by who listens until the last cleanup.
		t.Cleanup(func() { next("^STOPPING=1$") })
		t.Setenv("NOTIFY_SOCKET", address)
		t.Setenv("WATCHDOG_USEC", "100000")
		o := options(t, "")
		start(t, o)
		next("^READY=1\nSTATUS=waiting for a valid state file at " + regexp.QuoteMeta(o.File) + "$")
		write(t, o.File, small)
		next(`^RELOADING=1\nMONOTONIC_USEC=\d+$`)
		next("^READY=1\nSTATUS=(converged|converging)$")
		next("^WATCHDOG=1$")
		write(t, o.File, strings.Replace(small, "10.244.1.0/24", "10.245.1.0/24", 1))
		next("STATUS=the state file is invalid, the last good state is in force$")
		next("^WATCHDOG=1$")
	})
}
