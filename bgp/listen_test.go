package bgp_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
)

// The listen port belongs to another, for one family or for both: sessions that the
// speaker calls come up, it says what is amiss and who has the port, and listens when
// that is free, for those with a password too.
func TestListenPortTaken(t *testing.T) {
	t.Parallel()
	for name, addresses := range map[string][]string{
		"IPv4": {"0.0.0.0:179"},
		"both": {"0.0.0.0:179", "[::]:179"},
	} {
		t.Run(name, func(t *testing.T) {
			alone(t, func(t *testing.T) {
				h := wire(t)
				taken := make([]net.Listener, 0, len(addresses))
				for _, a := range addresses {
					network := "tcp4"
					if a[0] == '[' {
						network = "tcp6"
					}
					l, err := net.Listen(network, a)
					if err != nil {
						t.Fatal(err)
					}
					defer l.Close()
					taken = append(taken, l)
				}
				r := bgptest.BIRD(t, h, bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
				n := open(t, bgp.Options{Restarting: true}) // whose end does not depend on the port either
				n.want(speaker(64512), peer4(64513))
				bgptest.Eventually(t, "up by calling", func() bool { return n.up(far4) }, r.Status)
				bgptest.Eventually(t, "settled", n.isSettled, n.log.String)
				if n.log.has("may see the end of the restart too early") {
					t.Error("the restart depended on the port")
				}
				who := fmt.Sprintf("port 179 is bgp.test's (process %d)", os.Getpid())
				if w := n.Warnings(); len(w) != 1 || !strings.Contains(w[0], who) || !strings.Contains(w[0], "or set bgp.listenPort") {
					t.Errorf("warnings: %q", w)
				}

				for _, l := range taken {
					l.Close()
				}
				bgptest.Eventually(t, "nothing is amiss any more", func() bool { return len(n.Warnings()) == 0 })
				if !n.up(far4) {
					t.Error("the session was reset")
				}
				p := peer4(64513)
				p.Passive = true
				n.want(speaker(64512), p)
				bgptest.Eventually(t, "up by being called", func() bool { return n.up(far4) }, r.Status)
			})
		})
	}
}

// A port that comes late asks those who call for their passwords.
func TestPasswordOnALatePort(t *testing.T) {
	alone(t, func(t *testing.T) {
		h := wire(t)
		taken, err := net.Listen("tcp4", "0.0.0.0:179")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		passwords, err := bgp.OpenPasswords(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		file := t.TempDir() + "/password"
		if err := os.WriteFile(file, []byte("open-sesame\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		n := open(t, bgp.Options{Passwords: passwords})
		p := peer4(64513)
		p.Passive, p.PasswordFile = true, file
		if p.PasswordID, _, err = passwords.Look(file); err != nil {
			t.Fatal(err)
		}
		n.want(speaker(64512), p)
		taken.Close()
		bgptest.Eventually(t, "it listens", func() bool { return len(n.Warnings()) == 0 })
		far := far(64512)
		far.Password = "open-sesame"
		r := bgptest.BIRD(t, h, bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far}})
		bgptest.Eventually(t, "up with the password", func() bool { return n.up(far4) }, r.Status, n.log.String)
	})
}

// A process that has no file descriptor left for a while cannot be called in that
// while, and can afterwards.
func TestOutOfDescriptors(t *testing.T) {
	alone(t, func(t *testing.T) {
		h := wire(t)
		p := peer4(64513)
		p.Passive = true
		s := startProcess(t, t.TempDir(), false, speaker(64512), p)
		s.says("settled")
		pid := fmt.Sprint(s.cmd.Process.Pid)
		limit := func(n int) {
			t.Helper()
			bgptest.Run(t, exec.Command("prlimit", "--pid", pid, fmt.Sprintf("--nofile=%d:", n)))
		}
		limit(3)
		r := bgptest.BIRD(t, h, bgptest.Config{ASN: 64513, RouterID: far4, Peers: []bgptest.Peer{far(64512)}})
		bgptest.Eventually(t, "a call is refused", func() bool { return strings.Contains(s.log.String(), "too many open files") }, s.log.String)
		limit(1024)
		bgptest.Eventually(t, "up", func() bool { return r.Up(near4) }, r.Status, s.log.String)
	})
}
