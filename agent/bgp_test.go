package agent

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// withTwo is a node with two routers, each on a link of its own.
const withTwo = `apiVersion: plumb/v1
pools: [{cidr: 10.244.0.0/16}, {cidr: "fd00:10:244::/56"}]
nodes:
  - {name: n0, addresses: [192.0.2.1/24, "fd00:a::1/64", 198.51.100.1/24], podCIDRs: [10.244.1.0/24, "fd00:10:244:1::/64"]}
bgp:
  asn: 64512
  gracefulRestart: {restartTime: 60s}
  peers:
    - {name: tor-a, address: 192.0.2.2, asn: 64601}
    - {name: tor-b, address: 198.51.100.2, asn: 64601}
`

// withoutBGP is the same without its last section.
var withoutBGP, _, _ = strings.Cut(withTwo, "bgp:")

// twoRouters makes the node's links, and a BIRD at the end of each.
func twoRouters(t *testing.T) (a, b bgptest.Router) {
	t.Helper()
	nstest.Sh(t, "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad")
	start := func(name, near, far string, more ...string) bgptest.Router {
		nears, fars := []string{near + "/24"}, []string{far + "/24"}
		for i, m := range more {
			if i == 0 {
				nears = append(nears, m)
			} else {
				fars = append(fars, m)
			}
		}
		h := bgptest.NewHost(t, name, nears, fars)
		return bgptest.BIRD(t, h, bgptest.Config{ASN: 64601, RouterID: far, Restart: 30, Peers: []bgptest.Peer{
			{Address: near, Local: far, ASN: 64512, IPv4: true, IPv6: len(more) > 0},
		}})
	}
	a = start("eth0", "192.0.2.1", "192.0.2.2", "fd00:a::1/64", "fd00:a::2/64")
	b = start("eth1", "198.51.100.1", "198.51.100.2")
	return a, b
}

func routes(t *testing.T) string {
	t.Helper()
	return nstest.Sh(t, "ip -4 route show proto 113; ip -6 route show proto 113")
}

func hasRoute(t *testing.T, want bool, text string) {
	t.Helper()
	if !want {
		text = "not: " + text
	}
	bgptest.Eventually(t, text, func() bool {
		return strings.Contains(strings.Join(strings.Fields(routes(t)), " "), strings.TrimPrefix(text, "not: ")) == want
	}, func() string { return routes(t) })
}

func statusOf(t *testing.T) (s Status) {
	t.Helper()
	var text string
	soon(t, "it tells its status", func() bool { var code int; code, text = get(t, "/status"); return code == 200 })
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRoutesFromASessionToTheKernel(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		a, b := twoRouters(t)
		o := options(t, withTwo)
		o.HTTP = "127.0.0.1:9178"
		log := start(t, o)
		for i := range 20 {
			a.Announce(fmt.Sprintf("10.244.%d.0/24", 100+i))
		}
		a.Announce("fd00:10:244:2::/64")
		a.Announce("10.244.1.128/25") // this node's own
		a.Announce("172.16.0.0/12")   // in no pool
		hasRoute(t, true, "10.244.100.0/24 via 192.0.2.2 dev eth0")
		hasRoute(t, true, "10.244.119.0/24 via 192.0.2.2 dev eth0")
		hasRoute(t, true, "fd00:10:244:2::/64 via fd00:a::2 dev eth0 metric 1024")
		if text := routes(t); strings.Contains(text, "172.16") || strings.Contains(text, "10.244.1.") {
			t.Errorf("too much was let in:\n%s", text)
		}
		bgptest.Eventually(t, "the router has the node's podCIDRs", func() bool {
			return a.Has("10.244.1.0/24") && a.Has("fd00:10:244:1::/64") && b.Has("10.244.1.0/24")
		}, a.Status)

		// Two ways that are equally good, one of which goes again.
		b.Announce("10.244.100.0/24")
		hasRoute(t, true, "10.244.100.0/24 nexthop via 192.0.2.2 dev eth0 weight 1 nexthop via 198.51.100.2 dev eth1 weight 1")
		a.Withdraw("10.244.100.0/24")
		hasRoute(t, true, "10.244.100.0/24 via 198.51.100.2 dev eth1")
		b.Withdraw("10.244.100.0/24")
		hasRoute(t, false, "10.244.100.0/24")

		var s Status
		bgptest.Eventually(t, "it is converged and ready", func() bool {
			code, _ := get(t, "/readyz")
			s = statusOf(t)
			return code == 200 && s.Converged && s.BGP != nil && s.BGP.Settled && s.BGP.Learned == 20
		}, func() string { return fmt.Sprintf("%+v", s) }, log.String)
		if len(s.BGP.Sessions) != 2 || s.BGP.Sessions[0].State != bgp.Established || s.BGP.Sessions[0].Name != "tor-a" {
			t.Errorf("sessions: %+v", s.BGP.Sessions)
		}
		if text := log.String(); !strings.Contains(text, "BGP session up") || !strings.Contains(text, "peer=tor-a") {
			t.Errorf("the log does not tell of the session:\n%s", text)
		}

		// Without BGP what was learned goes.
		write(t, o.File, withoutBGP)
		bgptest.Eventually(t, "no learned routes", func() bool { return routes(t) == "" }, log.String)
		bgptest.Eventually(t, "the router lost the node's", func() bool { return !a.Has("10.244.1.0/24") }, a.Status)
		write(t, o.File, withTwo)
		hasRoute(t, true, "10.244.119.0/24 via 192.0.2.2 dev eth0")
	})
}

// Next hops that are not on a link of the node, and prefixes that others have.
func TestNextHopsFollowTheHostsRoutes(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		a, _ := twoRouters(t)
		o := options(t, strings.Replace(withTwo, "asn: 64601}", "asn: 64601, multihop: 2}", 1))
		o.HTTP = "127.0.0.1:9178"
		// The peer announces what is behind its loopback address.
		text := strings.ReplaceAll(withTwo, "peers:", "peers:\n    - {name: far, address: 203.0.113.9, asn: 64512}")
		write(t, o.File, text)
		h := bgptest.NewHost(t, "eth2", []string{"100.64.0.1/24"}, []string{"100.64.0.2/24"})
		h.Sh("ip addr add 203.0.113.9/32 dev lo; ip route add 192.0.2.0/24 via 100.64.0.1")
		nstest.Sh(t, "ip link add eth3 type veth peer name p3; ip addr add 100.65.0.1/24 dev eth3; ip link set eth3 up; ip link set p3 up")
		nstest.Sh(t, "ip route add 203.0.113.9 via 100.64.0.2; echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter")
		far := bgptest.BIRD(t, h, bgptest.Config{ASN: 64512, RouterID: "203.0.113.9", Peers: []bgptest.Peer{
			{Address: "100.64.0.1", Local: "203.0.113.9", ASN: 64512, IPv4: true},
		}})
		log := start(t, o)
		far.Announce("10.244.7.0/24")
		far.Announce("10.244.8.0/24")
		hasRoute(t, true, "10.244.7.0/24 via 100.64.0.2 dev eth2")
		var s Status
		is := func(what string, ok func() bool) {
			t.Helper()
			bgptest.Eventually(t, what, func() bool { s = statusOf(t); return ok() }, func() string { return fmt.Sprintf("%+v", s) }, log.String)
		}
		is("converged", func() bool { return s.Converged })

		// The static route moves, and the learned ones with it.
		nstest.Sh(t, "ip route add 203.0.113.8/31 via 100.65.0.7; ip route add 203.0.113.9 via 100.64.0.2 metric 50; ip route del 203.0.113.9 via 100.64.0.2 metric 0")
		hasRoute(t, true, "10.244.7.0/24 via 100.64.0.2 dev eth2")
		nstest.Sh(t, "ip route replace 203.0.113.9 via 100.65.0.9 metric 10")
		hasRoute(t, true, "10.244.7.0/24 via 100.65.0.9 dev eth3")
		hasRoute(t, true, "10.244.8.0/24 via 100.65.0.9 dev eth3")
		nstest.Sh(t, "ip route del 203.0.113.9 metric 10")
		hasRoute(t, true, "10.244.7.0/24 via 100.64.0.2 dev eth2")
		// Through several gateways.
		nstest.Sh(t, "ip route add 203.0.113.9 nexthop via 100.64.0.2 nexthop via 100.65.0.9")
		hasRoute(t, true, "10.244.7.0/24 nexthop via 100.64.0.2 dev eth2 weight 1 nexthop via 100.65.0.9 dev eth3 weight 1")
		nstest.Sh(t, "ip route del 203.0.113.9 metric 0")
		hasRoute(t, true, "10.244.7.0/24 via 100.64.0.2 dev eth2")

		// No way to the next hop: held back, shown, and back when there is one.
		nstest.Sh(t, "ip route add blackhole 203.0.113.9")
		hasRoute(t, false, "10.244.7.0/24")
		is("the status tells", func() bool {
			return !s.Converged && len(s.Pending) == 1 && strings.Contains(s.Pending[0].String(), "2 learned routes, such as 10.244.") &&
				strings.Contains(s.Pending[0].Reason, "next hop 203.0.113.9 cannot be reached: blackhole 203.0.113.9/32")
		})
		nstest.Sh(t, "ip route del blackhole 203.0.113.9")
		hasRoute(t, true, "10.244.7.0/24 via 100.64.0.2 dev eth2")

		// A device that goes down takes the way along without a word.
		nstest.Sh(t, "ip route add 203.0.113.9 via 100.65.0.9")
		hasRoute(t, true, "10.244.7.0/24 via 100.65.0.9 dev eth3")
		nstest.Sh(t, "ip link set eth3 down")
		hasRoute(t, true, "10.244.7.0/24 via 100.64.0.2 dev eth2")

		// Another owner's route to the same prefix stays, whatever its metric; longer
		// and shorter ones are nobody's matter.
		nstest.Sh(t, "ip route add 10.244.7.0/24 via 192.0.2.2 metric 500; ip route add 10.244.8.0/25 via 192.0.2.2")
		hasRoute(t, false, "10.244.7.0/24")
		is("the conflict is told", func() bool {
			return len(s.Conflicts) == 1 && strings.Contains(s.Conflicts[0].Error, "route 10.244.7.0/24: in the way, and not plumb's: 10.244.7.0/24 via 192.0.2.2 dev eth0") &&
				s.Conflicts[0].Origin == "bgp far"
		})
		hasRoute(t, true, "10.244.8.0/24 via 100.64.0.2 dev eth2")
		nstest.Sh(t, "ip route del 10.244.7.0/24 metric 500")
		hasRoute(t, true, "10.244.7.0/24 via 100.64.0.2 dev eth2")
		is("converged", func() bool { return s.Converged })

		// What the node has of its own comes before what is learned.
		a.Announce("10.244.1.0/24")
		write(t, o.File, text+"  advertise: [{cidr: 10.244.7.0/24}]\n")
		hasRoute(t, false, "10.244.7.0/24") // originated here now
		if text := nstest.Sh(t, "ip route show 10.244.1.0/24"); text != "blackhole 10.244.1.0/24 proto 112" {
			t.Errorf("the podCIDR: %s", text)
		}
	})
}

// An address that no podCIDR covers is announced while its endpoint is wired, and a
// password file counts as soon as it is written.
func TestWhatIsAnnouncedAndPasswords(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad")
		h := bgptest.NewHost(t, "eth0", []string{"192.0.2.1/24"}, []string{"192.0.2.2/24"})
		a := bgptest.BIRD(t, h, bgptest.Config{ASN: 64601, RouterID: "192.0.2.2", Peers: []bgptest.Peer{
			{Address: "192.0.2.1", Local: "192.0.2.2", ASN: 64512, IPv4: true, Password: "secret"},
		}})
		o := options(t, "")
		secret := o.StateDir + ".password"
		write(t, o.File, fmt.Sprintf(`apiVersion: plumb/v1
pools: [{cidr: 10.244.0.0/16}]
nodes: [{name: n0, addresses: [192.0.2.1/24], podCIDRs: [10.244.1.0/24]}]
bgp: {asn: 64512, peers: [{name: tor, address: 192.0.2.2, asn: 64601, passwordFile: %s}]}
`, secret))
		o.HTTP = "127.0.0.1:9178"
		log := start(t, o)
		var s Status
		warns := func(what string, words ...string) {
			t.Helper()
			bgptest.Eventually(t, what, func() bool {
				s = statusOf(t)
				text := strings.Join(s.Warnings, "\n")
				for _, w := range words {
					if !strings.Contains(text, w) {
						return false
					}
				}
				return true
			}, func() string { return fmt.Sprintf("%+v", s) }, log.String)
		}
		warns("the missing password is told, with the mend", "no session with peer tor", "no such file", "write the password into it")
		if b := s.BGP; b == nil || len(b.Sessions) != 1 || b.Sessions[0].Name != "tor" || b.Sessions[0].State != "idle" ||
			len(b.Sessions[0].Families) != 1 || !strings.Contains(b.Sessions[0].LastError, "it is not made: password file: open "+secret) {
			t.Errorf("the session is not listed: %+v", b)
		}
		write(t, secret, "wrong\n")
		warns("that others can read it is told", "can be read by others (mode 0644); chmod 600 it")
		nstest.Sh(t, "chmod 600 "+secret)
		bgptest.Eventually(t, "with a wrong password it says why it does not come up", func() bool {
			s = statusOf(t)
			return s.BGP != nil && len(s.BGP.Sessions) == 1 && strings.Contains(s.BGP.Sessions[0].LastError, "is the password the same?")
		}, func() string { return fmt.Sprintf("%+v", s.BGP) })
		write(t, secret, "secret\n")
		bgptest.Eventually(t, "with the right one it does", func() bool { return a.Has("10.244.1.0/24") }, a.Status, log.String)
		nstest.Sh(t, "rm "+secret)
		warns("that it vanished is told", "no such file", "the earlier one stays in use")
		if !a.Up("192.0.2.1") {
			t.Error("the session ended with the password file")
		}
		if text := log.String() + fmt.Sprint(statusOf(t)); strings.Contains(text, "secret\"") || strings.Contains(text, "wrong") {
			t.Errorf("a password is told:\n%s", text)
		}

		// Two addresses of a pod: one from the podCIDR, one that it brought along.
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(Endpoints(o.StateDir).Put(state.Endpoint{
			ID: "a/eth0", Name: "default/a", Interface: "plb1", ContainerID: "a", IfName: "eth0", Network: "plumb",
			Addresses: []netip.Addr{netip.MustParseAddr("10.244.1.5"), netip.MustParseAddr("10.244.7.5")},
		}))
		bgptest.Eventually(t, "the endpoint waits for its interface", func() bool { s = statusOf(t); return len(s.Pending) == 1 })
		if a.Has("10.244.7.5/32") {
			t.Error("it is announced without its interface")
		}
		nstest.Sh(t, "ip link add plb1 type veth peer name pod1; ip link set pod1 up")
		bgptest.Eventually(t, "it is announced", func() bool { return a.Has("10.244.7.5/32") }, a.Status, log.String)
		if a.Has("10.244.1.5/32") {
			t.Error("what the podCIDR covers is announced by itself")
		}
		nstest.Sh(t, "ip link del plb1")
		bgptest.Eventually(t, "it is withdrawn", func() bool { return !a.Has("10.244.7.5/32") }, a.Status, log.String)
	})
}

// A route whose next hop is a node takes the tunnel of its pool, as a static one would.
func TestLearnedRoutesTakeTunnels(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad")
		h := bgptest.NewHost(t, "eth0", []string{"192.0.2.1/24"}, []string{"192.0.2.2/24"})
		a := bgptest.BIRD(t, h, bgptest.Config{ASN: 64512, RouterID: "192.0.2.2", Peers: []bgptest.Peer{
			{Address: "192.0.2.1", Local: "192.0.2.2", ASN: 64512, IPv4: true},
		}})
		const text = `apiVersion: plumb/v1
pools: [{cidr: 10.244.0.0/16, encapsulation: vxlan}, {cidr: 10.245.0.0/16}]
nodes:
  - {name: n0, addresses: [192.0.2.1/24], podCIDRs: [10.244.1.0/24]}
  - {name: n1, addresses: [192.0.2.2/24], podCIDRs: [10.244.2.0/24, 10.245.2.0/24]}
bgp: {asn: 64512, mesh: true}
`
		o := options(t, text)
		log := start(t, o)
		a.Announce("10.244.2.0/24")
		a.Announce("10.245.2.0/24")
		hasRoute(t, true, "10.244.2.0/24 via 10.244.2.0 dev plumb-vxlan onlink")
		hasRoute(t, true, "10.245.2.0/24 via 192.0.2.2 dev eth0")
		write(t, o.File, strings.Replace(text, "encapsulation: vxlan", "encapsulation: none", 1))
		hasRoute(t, true, "10.244.2.0/24 via 192.0.2.2 dev eth0")
		write(t, o.File, text)
		hasRoute(t, true, "10.244.2.0/24 via 10.244.2.0 dev plumb-vxlan onlink")
		if strings.Contains(log.String(), "BGP session down") {
			t.Error("a change of the pool ended the session")
		}
	})
}
