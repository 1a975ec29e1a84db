package bgp_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/state"
)

// process is a speaker in a process of its own, which can be killed.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, log *lines
}

func startProcess(t *testing.T, dir string, restarting bool, objects ...state.Object) *process {
	t.Helper()
	return startProcessOn(t, nil, dir, restarting, objects...)
}

// startProcessOn starts it on another host.
func startProcessOn(t *testing.T, h *bgptest.Host, dir string, restarting bool, objects ...state.Object) *process {
	t.Helper()
	s := state.Snapshot{}
	s.Put(objects...)
	b, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "objects.json"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(os.Args[0]), out: &lines{}, log: &lines{}}
	if h != nil {
		p.cmd = h.Command(os.Args[0])
	}
	p.cmd.Env = append(os.Environ(), processFolder+"="+dir)
	if restarting {
		p.cmd.Env = append(p.cmd.Env, processRestarting+"=1")
	}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("a speaker said:\n%s\nand its log:\n%s", p.out, p.log)
		}
	})
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func (p *process) says(line string) {
	p.t.Helper()
	bgptest.Eventually(p.t, "it says "+line, func() bool { return strings.Contains("\n"+p.out.String(), "\n"+line+"\n") }, p.out.String, p.log.String)
}

// keeps watches that the router has the prefix, without a gap, until it is told to
// stop.
func keeps(t *testing.T, r bgptest.Router, prefix string) (stop func()) {
	t.Helper()
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-end:
				return
			case <-time.After(30 * time.Millisecond):
			}
			if !r.Has(prefix) {
				t.Errorf("%s was gone for a while\n%s\n%s", prefix, r.Show(prefix), r.Status())
				return
			}
		}
	}()
	return func() { close(end); <-done }
}

// The speaker is killed and comes back: the peer keeps its routes all the time, and
// the speaker says when it has everything.
func TestOwnRestart(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		r := start(t, wire(t), bgptest.Config{ASN: 64513, RouterID: far4, Restart: 60, Peers: []bgptest.Peer{far(64512)}})
		r.Announce("10.244.2.0/24")
		dir := t.TempDir()
		objects := []state.Object{
			speaker(64512), peer4(64513), state.BGPPrefix{Prefix: prefix("10.244.1.0/24")}, state.BGPPrefix{Prefix: prefix("fd00:10:244:1::/64")},
		}
		p := startProcess(t, dir, false, objects...)
		p.says("+ 10.244.2.0/24 " + far4)
		p.says("settled")
		has(t, r, "10.244.1.0/24", true)
		has(t, r, "fd00:10:244:1::/64", true)
		stop := keeps(t, r, "10.244.1.0/24")
		stop6 := keeps(t, r, "fd00:10:244:1::/64")
		for range 2 {
			p.kill()
			p = startProcess(t, dir, true, objects...)
			p.says("+ 10.244.2.0/24 " + far4)
			p.says("settled")
		}
		time.Sleep(time.Second) // for what the end of the restart sets off at the peer
		stop()
		stop6()
		p.kill()
		p = startProcess(t, dir, true, objects[:3]...) // one prefix fewer
		p.says("settled")
		has(t, r, "fd00:10:244:1::/64", false)
		has(t, r, "10.244.1.0/24", true)
	})
}

// The peer is killed and comes back: its routes stay here all the time.
func TestPeerRestart(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		r := start(t, wire(t), bgptest.Config{ASN: 64513, RouterID: far4, Restart: 60, Peers: []bgptest.Peer{far(64512)}})
		r.Announce("10.244.2.0/24")
		r.Announce("10.244.3.0/24")
		n := open(t, bgp.Options{})
		n.want(speaker(64512), peer4(64513), state.BGPPrefix{Prefix: prefix("10.244.1.0/24")})
		n.learns("10.244.2.0/24", far4)
		n.learns("10.244.3.0/24", far4)
		ended := func() bool {
			s := n.session(far4)
			return s.State == bgp.Established && s.Families[0].EndOfRIB && !s.Restarting
		}
		bgptest.Eventually(t, "End-of-RIB", ended, r.Status)
		has(t, r, "10.244.1.0/24", true)
		r.Kill()
		bgptest.Eventually(t, "the peer restarts", func() bool { return n.session(far4).Restarting }, r.Status)
		bgptest.Eventually(t, "it is said why", func() bool { return n.log.has(`why="the connection was lost"`) })
		r.Restart()
		bgptest.Eventually(t, "End-of-RIB again", ended, r.Status)
		if n.withdrawn("10.244.2.0/24") || n.withdrawn("10.244.3.0/24") {
			t.Error("a route was gone for a while")
		}
		n.learns("10.244.2.0/24", far4)
		has(t, r, "10.244.1.0/24", true)
	})
}

// Two nodes behind a reflector with dynamic neighbours: when the reflector is
// killed and comes back, neither loses the other's routes, though they come back
// one after the other.
func TestReflectorRestart(t *testing.T) {
	alone(t, func(t *testing.T) {
		routers := map[string]bgptest.Router{}
		for name, start := range map[string]bgptest.Start{"a": bgptest.BIRD, "c": bgptest.FRR} {
			near, far := "192.0.2.1", "192.0.2.2"
			if name == "c" {
				near, far = "198.51.100.1", "198.51.100.2"
			}
			routers[name] = start(t, bgptest.NewHost(t, "host"+name, []string{near + "/24"}, []string{far + "/24"}), bgptest.Config{
				ASN: 64512, RouterID: far, Restart: 60, Peers: []bgptest.Peer{{Address: near, Local: far, ASN: 64512, IPv4: true}},
			})
		}
		routers["a"].Announce("10.244.10.0/24")
		routers["c"].Announce("10.244.11.0/24")
		client := func(p string) state.BGPPeer {
			return state.BGPPeer{
				Name: "nodes-" + p, Prefix: prefix(p), ASN: 64512, ClusterID: addr("192.0.2.1"), Reflect: true, IPv4: true, HoldTime: 90, RestartTime: 60,
			}
		}
		sp := speaker(64512)
		sp.Own = ""
		objects := []state.Object{sp, client("192.0.2.0/24"), client("198.51.100.0/24")}
		dir := t.TempDir()
		p := startProcess(t, dir, false, objects...)
		has(t, routers["a"], "10.244.11.0/24", true)
		has(t, routers["c"], "10.244.10.0/24", true)
		if got := routers["a"].Show("10.244.11.0/24"); !strings.Contains(got, "198.51.100.2") {
			t.Errorf("the next hop was changed:\n%s", got)
		}
		bgptest.Eventually(t, "both neighbours are remembered", func() bool {
			list, _ := os.ReadFile(filepath.Join(dir, "bgp-neighbours.json"))
			return strings.Contains(string(list), "192.0.2.2") && strings.Contains(string(list), "198.51.100.2")
		})
		stopA, stopC := keeps(t, routers["a"], "10.244.11.0/24"), keeps(t, routers["c"], "10.244.10.0/24")
		p.kill()
		p = startProcess(t, dir, true, objects...)
		p.says("settled")
		time.Sleep(time.Second)
		stopA()
		stopC()
		has(t, routers["a"], "10.244.11.0/24", true)
		has(t, routers["c"], "10.244.10.0/24", true)
	})
}

// Drain withdraws and says goodbye in words.
func TestDrain(t *testing.T) {
	each(t, func(t *testing.T, start bgptest.Start) {
		r := start(t, wire(t), bgptest.Config{ASN: 64513, RouterID: far4, Restart: 60, Peers: []bgptest.Peer{far(64512)}})
		n := open(t, bgp.Options{})
		n.want(speaker(64512), peer4(64513), state.BGPPrefix{Prefix: prefix("10.244.1.0/24")})
		has(t, r, "10.244.1.0/24", true)
		if err := n.Drain(t.Context(), "maintenance of rack 7", 100*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		has(t, r, "10.244.1.0/24", false)
		if r.Name() == "bird" { // the others do not say what they were told
			bgptest.Eventually(t, "the message arrives", func() bool { return strings.Contains(r.Status(), "maintenance of rack 7") }, r.Status)
		}
	})
}
