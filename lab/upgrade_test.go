package lab_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/plumbnet/plumb/lab"
)

// An agent is replaced by a new one, in order and by kill -9, while packets go from
// pod to pod and out of the cluster, a thousand a second, and a connection stands. No
// packet is lost, the connection lives, and neither the node's routes, devices nor
// rules are touched.
func TestUpgradeWithoutLoss(t *testing.T) {
	t.Run("static", func(t *testing.T) {
		upgradeWithoutLoss(t, func(*cluster) string { return "topologies/three-nodes.yaml" })
	})
	// Learned routes stay, on this node and on its peers.
	t.Run("bgp", func(t *testing.T) {
		upgradeWithoutLoss(t, func(c *cluster) string { return c.topology() })
	})
	t.Run("bgp-and-vxlan", func(t *testing.T) {
		upgradeWithoutLoss(t, func(c *cluster) string {
			return c.topology("natOutgoing: true", "natOutgoing: true\n      encapsulation: vxlan")
		})
	})
}

func upgradeWithoutLoss(t *testing.T, topology func(*cluster) string) {
	c := newCluster(t, nil)
	file, err := filepath.Abs(topology(c))
	if err != nil {
		t.Fatal(err)
	}
	c.ok("up", "-f", file)
	r := &rig{cluster: c, client: &lab.Client{Dir: c.dir()}}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); r.running.Wait() })

	const pod, outside = "10.244.2.10", "203.0.113.10" // b1, and the host internet
	monitors := map[string]*output{}
	for _, node := range []string{"node1", "node2"} {
		monitors[node+": ip monitor"] = r.background(ctx, node, "ip", "monitor", "route", "link", "address")
		monitors[node+": nft monitor"] = r.background(ctx, node, "nft", "monitor")
	}
	for _, node := range []string{"node1", "node2"} {
		r.monitored(node, monitors)
	}
	echo := r.background(ctx, "b1", os.Args[0], streamListen, pod+":7777")
	c.await("the pod listens", func() bool { return strings.Contains(echo.text(), "listening") })

	stop := make(chan struct{})
	floods := []*flood{
		r.flood(ctx, stop, "a1", pod), r.flood(ctx, stop, "a1", outside), r.flood(ctx, stop, "b1", outside),
		r.flood(ctx, stop, "a1", "fd00:10:244:2::a"), r.flood(ctx, stop, "a1", "2001:db8::10"),
	}
	stream := r.background(ctx, "a1", os.Args[0], streamConnect, pod+":7777")
	c.await("the stream flows", func() bool { return strings.Contains(stream.text(), "\n") })
	for _, f := range floods {
		c.await("the flood from "+f.from+" to "+f.to+" flows", func() bool { sent, _ := f.counts(); return sent > 0 })
	}

	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		for _, node := range []string{"node1", "node2"} {
			r.replace(node, sig)
		}
	}

	close(stop)
	for _, f := range floods {
		f.running.Wait()
		sent, lost := f.counts()
		t.Logf("%s to %s: %d packets", f.from, f.to, sent)
		if lost != "" {
			t.Errorf("%s to %s: %s", f.from, f.to, lost)
		}
	}
	before := strings.Count(stream.text(), "\n")
	c.await("the stream still flows", func() bool { return strings.Count(stream.text(), "\n") > before })
	if strings.Contains(stream.text(), "broken") {
		t.Errorf("the stream: %s", stream.text())
	}
	// What came before the marker has come.
	for _, node := range []string{"node1", "node2"} {
		r.monitored(node, monitors)
	}
	for what, o := range monitors {
		if text := unmarked(o.text()); text != "" {
			t.Errorf("%s is not silent:\n%s", what, text)
		}
	}
}

type rig struct {
	*cluster
	client  *lab.Client
	running sync.WaitGroup
}

// output is what a command has written so far.
type output struct {
	mu sync.Mutex
	b  strings.Builder
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// background runs a command until ctx ends.
func (r *rig) background(ctx context.Context, where string, args ...string) *output {
	r.t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	o := &output{}
	r.running.Go(func() {
		defer read.Close()
		buf := make([]byte, 4096)
		for {
			n, err := read.Read(buf)
			o.mu.Lock()
			o.b.Write(buf[:n])
			o.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	r.running.Go(func() {
		defer write.Close()
		_, _ = r.client.Exec(ctx, lab.Command{Where: where, Args: args, Stdout: write, Stderr: write}) // hung up on in the end
	})
	return o
}

const marker = "198.51.100.77"

// monitored waits until a node's monitors have told of something that is done now; it
// is done again, for one that did not listen yet.
func (r *rig) monitored(node string, monitors map[string]*output) {
	r.t.Helper()
	told := func(o *output) int { return strings.Count(o.text(), marker) + strings.Count(o.text(), "plumbmarker") }
	before := map[*output]int{}
	for what, o := range monitors {
		if strings.HasPrefix(what, node+":") {
			before[o] = told(o)
		}
	}
	r.await("the monitors of "+node+" tell", func() bool {
		r.ok("exec", node, "--", "sh", "-ec", "ip route add blackhole "+marker+"; ip route del blackhole "+marker+
			"; nft add table inet plumbmarker; nft delete table inet plumbmarker")
		for o, n := range before {
			if told(o) == n {
				return false
			}
		}
		return true
	})
}

// unmarked is a monitor's text without what the test itself did.
func unmarked(text string) string {
	var left []string
	for line := range strings.Lines(text) {
		if !strings.Contains(line, marker) && !strings.Contains(line, "plumbmarker") && !strings.HasPrefix(line, "# new generation") {
			left = append(left, line)
		}
	}
	return strings.Join(left, "")
}

// flood are pings, each a millisecond after the one before.
type flood struct {
	from, to string
	running  sync.WaitGroup
	mu       sync.Mutex
	sent     int
	lost     string
}

func (f *flood) counts() (sent int, lost string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent, f.lost
}

var summary = regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`)

// flood pings until stop is closed; it waits for the last reply of each thousand.
func (r *rig) flood(ctx context.Context, stop chan struct{}, from, to string) *flood {
	f := &flood{from: from, to: to}
	f.running.Go(func() {
		for f.lost == "" {
			select {
			case <-stop:
				return
			default:
			}
			out, stderr, _, err := r.client.Output(ctx, from, "ping", "-q", "-i", "0.001", "-c", "1000", "-W", "30", to)
			var sent, received int
			if m := summary.FindStringSubmatch(out); m != nil {
				_, err = fmt.Sscan(m[1]+" "+m[2], &sent, &received)
			}
			f.mu.Lock()
			f.sent += sent
			if err != nil || sent != 1000 || received != sent {
				f.lost = fmt.Sprintf("%v %s%s", err, out, stderr)
			}
			f.mu.Unlock()
		}
	})
	return f
}

// replace ends a node's agent, and waits until the next one has converged.
func (r *rig) replace(node string, sig syscall.Signal) {
	r.t.Helper()
	old := r.agentOf(node).PID
	if err := r.client.Signal(r.t.Context(), node, sig); err != nil {
		r.t.Fatal(err)
	}
	began := time.Now()
	r.await("a new agent on "+node, func() bool { a := r.agentOf(node); return a.PID != old && a.PID != 0 && a.Converged })
	r.t.Logf("%s: replaced after %s in %s", node, sig, time.Since(began).Round(time.Millisecond))
}

func (r *rig) agentOf(node string) lab.NodeStatus {
	r.t.Helper()
	s, err := r.client.Status(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, n := range s.Nodes {
		if n.Name == node {
			return n
		}
	}
	r.t.Fatalf("there is no %s in %+v", node, s)
	return lab.NodeStatus{}
}

// await waits until it is so.
func (c *cluster) await(what string, so func() bool) {
	c.t.Helper()
	for end := time.Now().Add(time.Minute); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("not within a minute: %s", what)
		}
	}
}
