package bench

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/agent"
	"github.com/plumbnet/plumb/kernel/route"
	"github.com/plumbnet/plumb/state"
)

// buildPlumb builds plumb once.
func buildPlumb(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "plumb")
	cmd := exec.Command("go", "build", "-o", path, "../cmd/plumb")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return path
}

// node is a node's files.
type node struct {
	dir, file, stateDir string
}

func newNode(b *testing.B) node {
	b.Helper()
	dir := b.TempDir()
	return node{dir, filepath.Join(dir, "plumb.yaml"), filepath.Join(dir, "state")}
}

// save puts a state file in place as an editor does: another node, far has the
// next hop 10.99.0.last.
func (n node) save(b *testing.B, last int, more string) {
	b.Helper()
	text := fmt.Sprintf(`apiVersion: plumb/v1
pools: [{cidr: 10.0.0.0/8, natOutgoing: true}, {cidr: 172.16.0.0/12}]
nodes:
  - {name: here, addresses: [10.99.0.1/16], podCIDRs: [10.1.0.0/16]}
  - {name: far, addresses: [10.99.0.%d/16], podCIDRs: [10.2.0.0/16]}
%s`, last, more)
	must(b, os.WriteFile(n.file+".new", []byte(text), 0o644))
	must(b, os.Rename(n.file+".new", n.file))
}

func (n node) agent(b *testing.B, plumb string) *exec.Cmd {
	b.Helper()
	cmd := exec.Command(plumb, "agent", "-f", n.file, "--node", "here", "--state-dir", n.stateDir,
		"--socket", filepath.Join(n.dir, "s"), "--http", "")
	must(b, cmd.Start())
	return cmd
}

func stop(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
}

func (n node) converged(b *testing.B, plumb string) {
	b.Helper()
	for range 600 {
		if exec.Command(plumb, "status", "--socket", filepath.Join(n.dir, "s")).Run() == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.Fatal("the agent does not converge")
}

// watch gives each route that comes, from the kernel's own events.
func watch(b *testing.B) <-chan state.Event[state.Route] {
	b.Helper()
	k, err := route.New(state.TableMain)
	must(b, err)
	events := make(chan state.Event[state.Route], 100_000)
	ctx, cancel := context.WithCancel(context.Background())
	must(b, k.Watch(ctx, func(list []state.Event[state.Route]) {
		for _, e := range list {
			events <- e
		}
	}, func() {}))
	b.Cleanup(func() { cancel(); _ = k.Close() })
	return events
}

func await(b *testing.B, events <-chan state.Event[state.Route], n int, match func(state.Route) bool) {
	b.Helper()
	limit := time.After(30 * time.Second)
	for n > 0 {
		select {
		case e := <-events:
			if !e.Gone && match(e.Object) {
				n--
			}
		case <-limit:
			b.Fatalf("%d routes did not come", n)
		}
	}
}

func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}) }

// BenchmarkFileSave is the time from a save of the state file to the changed
// route in the kernel, on a node that has 10,000 objects.
func BenchmarkFileSave(b *testing.B) {
	plumb := buildPlumb(b)
	for _, c := range []struct {
		name, what, aim string
		more            func() string
		records         int
	}{
		{name: "endpoints", what: "file save to kernel, 10k endpoints", aim: "20 ms", records: 10_000, more: func() string { return "" }},
		{name: "nodes", what: "file save to kernel, 10k nodes in the file", more: nodes},
	} {
		b.Run(c.name, func(b *testing.B) {
			uplink(b)
			sh(b, "ip link add plb0 type veth peer name pod0; ip link set plb0 up; ip link set pod0 up")
			b.Cleanup(func() { sh(b, "ip link del plb0; ip route flush proto 112; nft flush ruleset") })
			n := newNode(b)
			for i := range c.records {
				must(b, agent.Endpoints(n.stateDir).Put(state.Endpoint{
					ID: fmt.Sprintf("c%d/eth0", i), Name: fmt.Sprintf("default/p%d", i), Interface: "plb0", Addresses: []netip.Addr{address(i)},
				}))
			}
			more := c.more()
			n.save(b, 2, more)
			a := n.agent(b, plumb)
			defer stop(a)
			n.converged(b, plumb)
			events := watch(b)
			last := 2
			compare(b, row{what: c.what, aim: c.aim}, func() time.Duration {
				last = 5 - last
				return timed(func() {
					n.save(b, last, more)
					gateway := netip.AddrFrom4([4]byte{10, 99, 0, byte(last)})
					await(b, events, 1, func(r state.Route) bool { return r.Gateway == gateway })
				})
			}, nil)
		})
	}
}

func nodes() string {
	var s strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&s, "  - {name: n%d, addresses: [10.99.%d.%d/16], podCIDRs: [172.%d.%d.%d/28]}\n",
			i, 1+i>>8, i&255, 16+i>>12, i>>4&255, i&15<<4)
	}
	return s.String()
}

// BenchmarkAgentStart is the time from exec of the agent to the routes of 200
// endpoints.
func BenchmarkAgentStart(b *testing.B) {
	const n = 200
	plumb := buildPlumb(b)
	uplink(b)
	here := newNode(b)
	here.save(b, 2, "")
	var batch strings.Builder
	for i := range n {
		fmt.Fprintf(&batch, "link add plb%d type veth peer name pod%d\nlink set plb%d address ee:ee:ee:ee:ee:ee up\nlink set pod%d up\n", i, i, i, i)
		must(b, agent.Endpoints(here.stateDir).Put(state.Endpoint{
			ID: fmt.Sprintf("c%d/eth0", i), Name: fmt.Sprintf("default/p%d", i),
			Interface: fmt.Sprintf("plb%d", i), Addresses: []netip.Addr{address(i)},
		}))
	}
	sh(b, "ip -batch %s", file(b, "links", batch.String()))
	events := watch(b)
	compare(b, row{what: "exec of the agent to 200 endpoint routes", aim: "60 ms"}, func() time.Duration {
		var a *exec.Cmd
		d := timed(func() {
			a = here.agent(b, plumb)
			await(b, events, n, func(r state.Route) bool { return r.Dst.IsSingleIP() && r.Gateway == (netip.Addr{}) })
		})
		here.converged(b, plumb)
		stop(a)
		sh(b, "ip route flush proto 112; nft flush ruleset")
		for len(events) > 0 {
			<-events
		}
		return d
	}, nil)
}
