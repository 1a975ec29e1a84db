package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/kernel/nstest"
)

// agentFile names the state file of an agent that this test program is to be, in
// place of running tests: a process of its own, which can be killed.
const agentFile = "PLUMB_TEST_AGENT"

func TestMain(m *testing.M) {
	file := os.Getenv(agentFile)
	if file == "" {
		os.Exit(m.Run())
	}
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM) // until the process ends
	drain := make(chan os.Signal, 1)
	signal.Notify(drain, syscall.SIGUSR1)
	if err := Run(ctx, Options{
		File: file, Node: "n0", StateDir: file + ".state", Socket: file + ".sock", HTTP: "127.0.0.1:9178",
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Drain: drain,
	}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// process is an agent in a process of its own.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	log *logged
}

func startProcess(t *testing.T, file string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0]), log: &logged{}}
	p.cmd.Env = append(os.Environ(), agentFile+"="+file)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.end(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("an agent said:\n%s", p.log)
		}
	})
	return p
}

func (p *process) end(s os.Signal) {
	_ = p.cmd.Process.Signal(s)
	_ = p.cmd.Wait()
}

// monitor collects what `ip monitor route` says until it is stopped.
func monitor(t *testing.T) (stop func() string) {
	t.Helper()
	var b logged
	cmd := exec.Command("ip", "monitor", "route")
	cmd.Stdout = &b
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// It has subscribed when it tells of a route of nobody's.
	bgptest.Eventually(t, "the monitor tells", func() bool {
		nstest.Sh(t, "ip route add blackhole 192.0.2.255; ip route del blackhole 192.0.2.255")
		return strings.Contains(b.String(), "192.0.2.255")
	})
	var once sync.Once
	end := func() { once.Do(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) }
	t.Cleanup(end)
	return func() string {
		end()
		var out []string
		for line := range strings.Lines(b.String()) {
			if !strings.Contains(line, "192.0.2.255") && !strings.Contains(line, "fe80::") { // the kernel's own
				out = append(out, strings.TrimSpace(line))
			}
		}
		return strings.Join(out, "\n")
	}
}

// flood pings as fast as answers come, until it is stopped; then none may be lost. from
// is nil for this namespace.
func flood(t *testing.T, from *bgptest.Host, to string) (stop func()) {
	t.Helper()
	cmd := exec.Command("ping", "-q", "-i", "0.002", to)
	if from != nil {
		cmd = from.Command(cmd.Args...)
	}
	var b logged
	cmd.Stdout, cmd.Stderr = &b, &b
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	end := func() { once.Do(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() }) }
	t.Cleanup(end)
	return func() {
		t.Helper()
		end()
		if text := b.String(); !strings.Contains(text, " 0% packet loss") || strings.Contains(text, " 0 received") {
			t.Errorf("packets were lost:\n%s", text)
		}
	}
}

// The agent ends and is killed, and comes back; packets between two routers go on,
// both ways by routes that were learned, and no route is touched.
func TestARestartLosesNoPacket(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter; echo 0 >/proc/sys/net/ipv4/conf/default/rp_filter")
		host := func(name, net string) *bgptest.Host {
			return bgptest.NewHost(t, name, []string{net + ".1/24"}, []string{net + ".2/24"})
		}
		ha, hb := host("eth0", "192.0.2"), host("eth1", "198.51.100")
		router := func(h *bgptest.Host, net string) bgptest.Router {
			return bgptest.BIRD(t, h, bgptest.Config{ASN: 64601, RouterID: net + ".2", Restart: 60, Kernel: true, Peers: []bgptest.Peer{
				{Address: net + ".1", Local: net + ".2", ASN: 64512, IPv4: true},
			}})
		}
		ha.Sh("ip addr add 10.244.3.1/32 dev lo")
		hb.Sh("ip addr add 10.244.4.1/32 dev lo; ip route add 10.244.3.0/24 via 198.51.100.1")
		a, b := router(ha, "192.0.2"), router(hb, "198.51.100")
		a.Announce("10.244.3.0/24")
		b.Announce("10.244.4.0/24")
		a.Announce("10.244.5.0/24")
		b.Announce("10.244.5.0/24")

		o := options(t, withTwo)
		p := startProcess(t, o.File)
		hasRoute(t, true, "10.244.4.0/24 via 198.51.100.2 dev eth1")
		hasRoute(t, true, "10.244.3.0/24 via 192.0.2.2 dev eth0")
		hasRoute(t, true, "10.244.5.0/24 nexthop via 192.0.2.2 dev eth0 weight 1 nexthop via 198.51.100.2 dev eth1 weight 1")
		bgptest.Eventually(t, "BIRD learned the podCIDR", func() bool { return a.Has("10.244.1.0/24") }, a.Status)
		ha.Sh("ip route add 10.244.4.0/24 via 192.0.2.1 src 10.244.3.1")

		stop := flood(t, ha, "10.244.4.1")
		heard := monitor(t)
		for _, how := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			p.end(how)
			if !a.Has("10.244.1.0/24") {
				t.Errorf("after %s the peer dropped the routes", how)
			}
			p = startProcess(t, o.File)
			bgptest.Eventually(t, "the restart is over", func() bool {
				code, text := get(t, "/status")
				return code == 200 && strings.Contains(text, `"settled":true`) && strings.Contains(text, `"converged":true`)
			}, p.log.String, a.Status)
		}
		time.Sleep(time.Second) // for what the end of the restart sets off
		if text := heard(); text != "" {
			t.Errorf("routes were touched:\n%s", text)
		}
		stop()

		// What went meanwhile goes when the restart is over.
		p.end(syscall.SIGKILL)
		b.Withdraw("10.244.5.0/24")
		a.Withdraw("10.244.3.0/24")
		p = startProcess(t, o.File)
		hasRoute(t, false, "10.244.3.0/24")
		hasRoute(t, true, "10.244.5.0/24 via 192.0.2.2 dev eth0")

		// A node whose file has no BGP any more learns nothing again: what it learned goes.
		p.end(syscall.SIGTERM)
		write(t, o.File, withoutBGP)
		startProcess(t, o.File)
		bgptest.Eventually(t, "no learned routes", func() bool { return routes(t) == "" })
	})
}

// Drained, the node announces nothing and keeps its routes; started anew it is back.
func TestDrain(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		a, _ := twoRouters(t)
		o := options(t, withTwo)
		p := startProcess(t, o.File)
		a.Announce("10.244.3.0/24")
		hasRoute(t, true, "10.244.3.0/24 via 192.0.2.2 dev eth0")
		bgptest.Eventually(t, "BIRD learned the podCIDR", func() bool { return a.Has("10.244.1.0/24") }, a.Status)
		_ = p.cmd.Process.Signal(syscall.SIGUSR1)
		bgptest.Eventually(t, "all is withdrawn", func() bool { return !a.Has("10.244.1.0/24") && !a.Up("192.0.2.1") }, a.Status)
		bgptest.Eventually(t, "the status tells", func() bool { s := statusOf(t); return s.BGP != nil && s.BGP.Drained && s.Converged }, p.log.String)
		a.Announce("10.244.6.0/24")
		write(t, o.File, strings.Replace(withTwo, "60s", "61s", 1)) // a change of the file does not end it
		bgptest.Eventually(t, "the file is loaded", func() bool { return strings.Count(p.log.String(), "state file loaded") == 2 }, p.log.String)
		hasRoute(t, true, "10.244.3.0/24 via 192.0.2.2 dev eth0")
		p.end(syscall.SIGTERM)
		startProcess(t, o.File)
		bgptest.Eventually(t, "BIRD learned the podCIDR again", func() bool { return a.Has("10.244.1.0/24") }, a.Status)
		hasRoute(t, true, "10.244.6.0/24 via 192.0.2.2 dev eth0")
	})
}
