package agent

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/kernel/nstest"
)

// withRouter is a node with one router, and a session for each family.
const withRouter = `apiVersion: plumb/v1
pools: [{cidr: 10.244.0.0/16}, {cidr: "fd00:10:244::/56"}]
nodes:
  - {name: n0, addresses: [192.0.2.1/24, "fd00:a::1/64"], podCIDRs: [10.244.1.0/24, "fd00:10:244:1::/64"]}
bgp:
  asn: 64512
  gracefulRestart: {restartTime: 60s}
  peers:
    - {name: four, address: 192.0.2.2, asn: 64601, families: [ipv4]}
    - {name: six, address: "fd00:a::2", asn: 64601, families: [ipv6]}
`

// Graceful restart (RFC 4724) both ways, of both families, with each implementation:
// while the router is killed and comes back, and while the agent does, a ping flood to
// what the router announced loses nothing, no learned route is touched, and the router
// keeps what the node announced.
func TestGracefulRestart(t *testing.T) {
	for name, start := range bgptest.Routers {
		t.Run(name, func(t *testing.T) {
			nstest.Run(t, func(t *testing.T) { gracefulRestart(t, start) })
		})
	}
}

func gracefulRestart(t *testing.T, start bgptest.Start) {
	nstest.Sh(t, "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad")
	h := bgptest.NewHost(t, "eth0", []string{"192.0.2.1/24", "fd00:a::1/64"}, []string{"192.0.2.2/24", "fd00:a::2/64"})
	h.Sh("ip addr add 10.244.3.1/32 dev lo; ip addr add fd00:10:244:3::1/128 dev lo nodad")
	r := start(t, h, bgptest.Config{ASN: 64601, RouterID: "192.0.2.2", Restart: 60, Peers: []bgptest.Peer{
		{Address: "192.0.2.1", Local: "192.0.2.2", ASN: 64512, IPv4: true},
		{Address: "fd00:a::1", Local: "fd00:a::2", ASN: 64512, IPv6: true},
	}})
	r.Announce("10.244.3.0/24")
	r.Announce("fd00:10:244:3::/64")
	o := options(t, withRouter)
	p := startProcess(t, o.File)
	hasRoute(t, true, "10.244.3.0/24 via 192.0.2.2 dev eth0")
	hasRoute(t, true, "fd00:10:244:3::/64 via fd00:a::2 dev eth0")
	has := func() bool { return r.Has("10.244.1.0/24") && r.Has("fd00:10:244:1::/64") }
	bgptest.Eventually(t, "the router has the podCIDRs", has, r.Status)
	whole := func(what string) {
		t.Helper()
		bgptest.Eventually(t, what, func() bool {
			code, text := get(t, "/status")
			return code == 200 && strings.Contains(text, `"settled":true`) && strings.Contains(text, `"converged":true`) &&
				strings.Count(text, `"state":"established"`) == 2 && strings.Count(text, `"endOfRIB":true`) == 2
		}, p.log.String, r.Status)
	}
	whole("all is up")

	stops := []func(){flood(t, nil, "10.244.3.1"), flood(t, nil, "fd00:10:244:3::1")}
	heard := monitor(t)
	r.Kill()
	bgptest.Eventually(t, "the agent notices", func() bool { return strings.Count(p.log.String(), "BGP session down") == 2 }, p.log.String)
	r.Restart()
	bgptest.Eventually(t, "the router has the podCIDRs again", has, r.Status, p.log.String)
	whole("all is up after the router's restart")

	kept := make(chan bool)
	end := make(chan struct{})
	go func() {
		for ok := true; ; {
			select {
			case <-end:
				kept <- ok
				return
			case <-time.After(50 * time.Millisecond):
				ok = ok && has()
			}
		}
	}()
	for _, how := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		p.end(how)
		p = startProcess(t, o.File)
		whole("all is up after the agent's restart")
	}
	time.Sleep(time.Second) // for what the end of the restart sets off
	close(end)
	if !<-kept {
		t.Errorf("the router dropped the podCIDRs while the agent restarted:\n%s", r.Status())
	}
	if text := heard(); text != "" {
		t.Errorf("routes were touched:\n%s", text)
	}
	for _, stop := range stops {
		stop()
	}
}

// A node that has learned nothing is restarted, and its peer keeps what it announced: that
// routes were learned is not what tells a restart.
func TestRestartOfANodeThatLearnedNothing(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad")
		h := bgptest.NewHost(t, "eth0", []string{"192.0.2.1/24", "fd00:a::1/64"}, []string{"192.0.2.2/24", "fd00:a::2/64"})
		r := bgptest.BIRD(t, h, bgptest.Config{ASN: 64601, RouterID: "192.0.2.2", Restart: 60, Kernel: true, Peers: []bgptest.Peer{
			{Address: "192.0.2.1", Local: "192.0.2.2", ASN: 64512, IPv4: true},
		}})
		r.Announce("198.51.100.0/24") // in no pool
		o := options(t, strings.Replace(withRouter, `    - {name: six, address: "fd00:a::2", asn: 64601, families: [ipv6]}`, "", 1))
		p := startProcess(t, o.File)
		bgptest.Eventually(t, "the router has the podCIDR", func() bool { return strings.Contains(h.Sh("ip route"), "10.244.1.0/24") }, r.Status)
		settled := func() bool {
			code, text := get(t, "/status")
			return code == 200 && strings.Contains(text, `"settled":true`) && strings.Contains(text, `"state":"established"`)
		}
		bgptest.Eventually(t, "settled", settled, p.log.String)
		var heard logged
		cmd := h.Command("ip", "monitor", "route")
		cmd.Stdout = &heard
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		bgptest.Eventually(t, "the monitor tells", func() bool {
			h.Sh("ip route add blackhole 192.0.2.255; ip route del blackhole 192.0.2.255")
			return strings.Contains(heard.String(), "192.0.2.255")
		})
		for _, how := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			p.end(how)
			p = startProcess(t, o.File)
			bgptest.Eventually(t, "settled after the restart", settled, r.Status, p.log.String)
			time.Sleep(time.Second) // for what the end of the restart sets off
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if strings.Contains(heard.String(), "10.244.1.0/24") {
			t.Errorf("the router dropped the podCIDR while the agent restarted:\n%s", heard.String())
		}
	})
}
