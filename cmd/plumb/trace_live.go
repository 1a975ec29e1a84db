package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/plumbnet/plumb/agent"
	"github.com/plumbnet/plumb/trace"
	"github.com/plumbnet/plumb/trace/facts"
)

// A watch of nftables ends when nothing was seen for so long after the probe, or
// after so long in any case.
const (
	quietTime = 150 * time.Millisecond
	watchTime = 3 * time.Second
)

// probe sends a real packet, and watches what it meets on the nodes of the trace. One
// that cannot be sent takes nothing from what the trace says.
func (c *cluster) probe(ctx context.Context, t *trace.Trace, start trace.Start) trace.Probe {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := watch{news: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	ready := make(chan struct{}, len(t.Nodes()))
	for _, node := range t.Nodes() {
		w.nodes = append(w.nodes, &trace.Watched{Node: node, Seen: []facts.Seen{}})
	}
	for _, n := range w.nodes {
		wg.Go(func() {
			once := sync.OnceFunc(func() { ready <- struct{}{} })
			defer once()
			err := c.live(ctx, n.Node, t.Alike(), func(l facts.Live) {
				if l.Armed || l.Err != "" {
					once()
				}
				w.take(n, l)
			})
			if err != nil && ctx.Err() == nil {
				w.take(n, facts.Live{Err: err.Error()})
			}
		})
	}
	for range w.nodes {
		select {
		case <-ready:
		case <-time.After(watchTime):
		}
	}
	p := t.Packet
	sent, err := c.send(ctx, start, p)
	w.settle()
	cancel()
	wg.Wait()
	out := trace.Probe{Sent: sent, Nodes: []trace.Watched{}}
	if err != nil {
		out.Err = err.Error()
		out.Text = "not sent"
	}
	for _, n := range w.nodes {
		out.Nodes = append(out.Nodes, *n)
	}
	return out
}

// watch gathers what all nodes say.
type watch struct {
	mu    sync.Mutex
	nodes []*trace.Watched
	news  chan struct{}
}

func (w *watch) take(n *trace.Watched, l facts.Live) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.Seen != nil {
		n.Seen = append(n.Seen, *l.Seen)
	}
	if l.Err != "" {
		n.Err = l.Err
	}
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// settle waits until nothing more comes.
func (w *watch) settle() {
	for end := time.Now().Add(watchTime); time.Now().Before(end); {
		select {
		case <-w.news:
		case <-time.After(quietTime):
			return
		}
	}
}

// live watches one node until ctx ends.
func (c *cluster) live(ctx context.Context, node string, packets []facts.Packet, say func(facts.Live)) error {
	if c.here != nil && node == c.o.node {
		agent.Live(ctx, packets, say)
		return nil
	}
	b, err := json.Marshal(packets)
	if err != nil {
		return err
	}
	client := overSocket(c.socket(node))
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://plumb/live", bytes.NewReader(b))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the agent of %s: %s", node, resp.Status)
	}
	for d := json.NewDecoder(resp.Body); ; {
		var l facts.Live
		if err := d.Decode(&l); err != nil {
			return err
		}
		say(l)
	}
}

func (c *cluster) send(ctx context.Context, start trace.Start, p facts.Packet) (sent facts.Sent, err error) {
	s := facts.Send{Packet: p, Endpoint: start.Endpoint}
	if c.here != nil && start.Node == c.o.node {
		return c.here.Send(ctx, s)
	}
	socket := c.socket(start.Node)
	if socket == "" {
		return sent, errors.New("the sender's node has no agent that can be asked")
	}
	b, err := json.Marshal(s)
	if err != nil {
		return sent, err
	}
	err = callWith(ctx, socket, http.MethodPost, "/probe", bytes.NewReader(b), &sent)
	return sent, err
}
