package bgp

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// Who may call without a configuration of its own, and hangs up, leaves nothing behind:
// whoever looks for open ports would fill the memory.
func TestCallersThatHangUp(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		s, err := Open(Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, err := range s.Apply(t.Context(), []state.Change[state.Object]{
			{Action: state.Add, After: state.BGPSpeaker{ASN: 64512, RouterID: netip.MustParseAddr("192.0.2.1"), ListenPort: 179}},
			{Action: state.Add, After: state.BGPPeer{Name: "nodes", Prefix: netip.MustParsePrefix("127.0.0.0/24"), ASN: 64513, IPv4: true, HoldTime: 90, RestartTime: 120}},
		}) {
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, from := range []string{"127.0.0.8", "127.0.0.9"} {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
			c, err := d.DialContext(context.Background(), "tcp4", "127.0.0.1:179")
			if err != nil {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
			if _, err := io.ReadFull(c, make([]byte, 19)); err != nil {
				t.Fatal(err)
			}
			if len(s.dynamic()) == 0 {
				t.Error("nobody is there while it calls")
			}
			c.Close()
		}
		bgptest.Eventually(t, "nobody is left", func() bool { return len(s.dynamic()) == 0 })
		if err := s.softReset("127.0.0.9"); err != nil {
			t.Errorf("what one that has just gone announced cannot be judged anew: %v", err)
		}
		bgptest.Eventually(t, "nobody is known", func() bool {
			s.seenMu.Lock()
			defer s.seenMu.Unlock()
			return len(s.seen) == 0
		})
	})
}
