package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/agent"
	"github.com/plumbnet/plumb/bgp"
)

func TestSessionsAsText(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	families := func(received, accepted, sent uint64) []bgp.SessionFamily {
		return []bgp.SessionFamily{
			{Family: "ipv4", Received: received, Accepted: accepted, Sent: sent},
			{Family: "ipv6", Received: received / 2, Accepted: accepted / 2, Sent: sent},
		}
	}
	s := agent.BGPStatus{ASN: 64512, RouterID: netip.MustParseAddr("172.18.0.3"), Settled: true, Learned: 100123, Sessions: []bgp.Session{
		{
			Name: "ip-10-0-12-34.compute.internal", Address: netip.MustParseAddr("172.18.0.4"), ASN: 64512,
			State: bgp.Established, Since: ago(100*time.Hour + 12*time.Minute), Families: families(1000, 1000, 2),
		},
		{
			Name: "nodes", Address: netip.MustParseAddr("172.18.0.77"), Prefix: netip.MustParsePrefix("172.18.0.0/16"), ASN: 64512, State: "idle",
			Restarting: true, Since: ago(3 * time.Second), Families: families(10, 10, 1), LastError: "the connection was lost", ErrorAt: ago(3 * time.Second),
		},
		{
			Name: "tor-a", Address: netip.MustParseAddr("fc00:f853:ccd:e793:1234:5678:9abc:def0"), ASN: 4200000001, State: bgp.Established,
			Since: ago(3 * time.Hour), Families: families(100000, 99998, 2), LastError: "reset by a change of families", ErrorAt: ago(3 * time.Hour),
		},
		{
			Name: "tor-b", Address: netip.MustParseAddr("fc00::12"), ASN: 4200000001, State: "active", Since: ago(3 * time.Minute),
			Families: families(0, 0, 0), LastError: "cannot connect: the peer does not listen, or does not know this node", ErrorAt: ago(4 * time.Second),
		},
		{
			Name: "nodes", Address: netip.MustParseAddr("172.18.0.78"), Prefix: netip.MustParsePrefix("172.18.0.0/16"), ASN: 64512, State: "idle",
			Since: ago(20 * time.Second), Families: families(0, 0, 0)[:1], LastError: "this node ended the session: cease, maximum number of prefixes reached",
			ErrorAt: ago(20 * time.Second), Again: ago(-40 * time.Second),
		},
		{
			Name: "vms", Prefix: netip.MustParsePrefix("192.0.2.0/24"), ASN: 64513, State: "idle", Families: families(0, 0, 0)[:1],
			LastError: "it is not made: password file /etc/plumb/vms is empty; write the password into it",
		},
	}}
	var out strings.Builder
	printSessions(&out, &s, now)
	const want = `
AS 64512, router ID 172.18.0.3, 2 of 6 sessions established, 100123 prefixes learned
NAME                            ADDRESS                                 ASN         STATE             FOR   FAMILY  RECEIVED  ACCEPTED  SENT  LAST ERROR
ip-10-0-12-34.compute.internal  172.18.0.4                              64512       established       4d4h  ipv4    1000      1000      2
                                                                                                            ipv6    500       500       2
nodes                           172.18.0.77                             64512       idle, restarting  3s    ipv4    10        -         -  the connection was lost (3s ago)
                                                                                                            ipv6    5         -         -
tor-a                           fc00:f853:ccd:e793:1234:5678:9abc:def0  4200000001  established       3h0m  ipv4    100000    99998     2  reset by a change of families (3h0m ago)
                                                                                                            ipv6    50000     49999     2
tor-b                           fc00::12                                4200000001  active            3m0s  ipv4    -         -         -  cannot connect: the peer does not listen, or does not know this node (4s ago)
                                                                                                            ipv6    -         -         -
nodes                           172.18.0.78                             64512       idle              20s   ipv4    -         -         -  this node ended the session: cease, maximum number of prefixes reached (20s ago); tried again in 40s
vms                             192.0.2.0/24                            64513       idle              -     ipv4    -         -         -  it is not made: password file /etc/plumb/vms is empty; write the password into it
`
	if got := "\n" + out.String(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestRoutesAsText(t *testing.T) {
	path := func(hop, peer, name string, best bool, why string, ases ...uint32) bgp.RIBPath {
		return bgp.RIBPath{
			NextHop: netip.MustParseAddr(hop), Peer: netip.MustParseAddr(peer), PeerName: name, Best: best, Why: why,
			ASPath: ases, LocalPref: 100, Origin: "igp", Communities: []string{"64512:1", "64512:5:6"},
		}
	}
	route := func(prefix string, installed bool, whyNot string, paths ...bgp.RIBPath) agent.RIBRoute {
		return agent.RIBRoute{
			Destination: bgp.Destination{Prefix: netip.MustParsePrefix(prefix), Paths: paths}, Installed: installed, WhyNot: whyNot,
		}
	}
	var out strings.Builder
	printRoutes(&out, []agent.RIBRoute{
		route("10.244.1.0/24", false, "originated here", bgp.RIBPath{Best: true, Why: "the only path", LocalPref: 100}),
		route("10.244.2.0/24", true, "", path("172.18.0.4", "172.18.0.10", "reflector", true, "the only path")),
		route("203.0.113.0/24", true, "",
			path("172.18.0.11", "172.18.0.11", "tor-a", true, "oldest", 64601, 64602),
			path("172.18.0.12", "172.18.0.12", "tor-b", true, "equal to the best", 64603, 64602),
			path("172.18.0.13", "172.18.0.13", "tor-c", false, "longer AS path", 64601, 64602, 64603)),
		route("fd00:10:244:1234::/64", false, "next hop fc00::12 cannot be reached: no route",
			path("fc00::12", "fc00::12", "tor-a", true, "the only path", 64601)),
	})
	const want = `
    PREFIX                 NEXT HOP     PEER                   AS PATH            PREF  MED  COMMUNITIES        WHY
*   10.244.1.0/24          -            -                      -                  100   0    -                  originated here
*>  10.244.2.0/24          172.18.0.4   reflector 172.18.0.10  -                  100   0    64512:1,64512:5:6  the only path
*>  203.0.113.0/24         172.18.0.11  tor-a                  64601 64602        100   0    64512:1,64512:5:6  oldest
*>                         172.18.0.12  tor-b                  64603 64602        100   0    64512:1,64512:5:6  equal to the best
                           172.18.0.13  tor-c                  64601 64602 64603  100   0    64512:1,64512:5:6  longer AS path
*   fd00:10:244:1234::/64  fc00::12     tor-a                  64601              100   0    64512:1,64512:5:6  not installed: next hop fc00::12 cannot be reached: no route
`
	if got := "\n" + out.String(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
