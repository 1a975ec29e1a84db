package agent

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/kernel/nstest"
)

// Another program listens on the port: the status names it, sessions that the node
// calls are up and their routes are in the kernel; when the port is free, the node is
// called, and nothing is amiss any more. The metrics tell the same story.
func TestListenPortTaken(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		taken, err := net.Listen("tcp4", "0.0.0.0:179")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		a, b := twoRouters(t)
		o := options(t, strings.Replace(withTwo, "198.51.100.2, asn: 64601", "198.51.100.2, asn: 64601, passive: true", 1))
		o.HTTP = "127.0.0.1:9178"
		log := start(t, o)
		a.Announce("10.244.2.0/24")
		a.Announce("fd00:10:244:2::/64")
		b.Announce("10.244.3.0/24")
		hasRoute(t, true, "10.244.2.0/24 via 192.0.2.2 dev eth0")
		hasRoute(t, true, "fd00:10:244:2::/64 via fd00:a::2 dev eth0")
		var s Status
		who := fmt.Sprintf("port 179 is agent.test's (process %d)", os.Getpid())
		bgptest.Eventually(t, "the status names the port and who has it", func() bool {
			s = statusOf(t)
			return len(s.Warnings) == 1 && strings.Contains(s.Warnings[0], who)
		}, func() string { return fmt.Sprintf("%q", s.Warnings) }, log.String)
		hasMetrics(t, log, `plumb_bgp_sessions{state="established"} 1`, `plumb_bgp_sessions{state="active"} 1`,
			`plumb_bgp_prefixes{address="192.0.2.2",family="ipv4",peer="tor-a",what="received"} 1`,
			`plumb_bgp_prefixes{address="192.0.2.2",family="ipv6",peer="tor-a",what="accepted"} 1`,
			`plumb_bgp_prefixes{address="192.0.2.2",family="ipv4",peer="tor-a",what="sent"} 1`,
			"plumb_bgp_learned_prefixes 2", "plumb_bgp_settled 1")
		up := log.count("BGP session up")

		taken.Close()
		hasRoute(t, true, "10.244.3.0/24 via 198.51.100.2 dev eth1")
		bgptest.Eventually(t, "nothing is amiss", func() bool { s = statusOf(t); return len(s.Warnings) == 0 && s.Converged },
			func() string { return fmt.Sprintf("%+v", s) })
		if n := log.count("BGP session up"); n != up+1 || log.count("BGP session down") > 0 {
			t.Errorf("the session that was up was touched:\n%s", log)
		}
		hasMetrics(t, log, `plumb_bgp_sessions{state="established"} 2`, "plumb_bgp_learned_prefixes 3")

		// A router that goes without a word: its routes count until its restart time is over.
		b.Kill()
		hasMetrics(t, log, `plumb_bgp_sessions{state="established"} 1`, "plumb_bgp_learned_prefixes 3")
		write(t, o.File, withoutBGP)
		bgptest.Eventually(t, "without BGP there are no metrics of it", func() bool {
			_, text := get(t, "/metrics")
			return !strings.Contains(text, "plumb_bgp_")
		})
	})
}

func (l *logged) count(text string) int { return strings.Count(l.String(), text) }

// hasMetrics waits until each line is there.
func hasMetrics(t *testing.T, log *logged, lines ...string) {
	t.Helper()
	var text string
	bgptest.Eventually(t, strings.Join(lines, "\n"), func() bool {
		_, text = get(t, "/metrics")
		for _, l := range lines {
			if !strings.Contains(text, "\n"+l+"\n") {
				return false
			}
		}
		return true
	}, func() string {
		return strings.Join(regexp.MustCompile("(?m)^plumb_bgp.*$").FindAllString(text, -1), "\n")
	}, log.String)
}
