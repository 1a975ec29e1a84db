package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/plumbnet/plumb/agent"
	"github.com/plumbnet/plumb/trace"
	"github.com/plumbnet/plumb/trace/facts"
)

// cluster is the nodes of a state file, as far as they can be asked: this one
// through its agent or directly, the others through their agents' sockets.
type cluster struct {
	o       *options
	sockets string
	loaded  *agent.Loaded
	here    *agent.Once      // this node without an agent; nil: there is one, or this host is not the node
	silent  map[string]error // nodes whose agent does not answer, and why; they are not asked again
}

// greeting is how long an agent may take to say which endpoints it has.
const greeting = 3 * time.Second

func newCluster(ctx context.Context, o *options, sockets string) (*cluster, error) {
	l, err := agent.Load(o.file, o.node)
	if err != nil {
		return nil, err
	}
	c := &cluster{o: o, sockets: sockets, loaded: l, silent: map[string]error{}}
	if c.socket(o.node) != "" {
		return c, nil
	}
	once, err := agent.NewOnce(ctx, l, o.node, o.stateDir, nil)
	if err != nil {
		return nil, err
	}
	if !once.IsNode() {
		once.Close()
		return c, nil
	}
	c.here = once
	return c, nil
}

func (c *cluster) close() {
	if c.here != nil {
		c.here.Close()
	}
}

// socket is that of a node's agent; empty where there is none.
func (c *cluster) socket(node string) string {
	var candidates []string
	if node == c.o.node {
		candidates = append(candidates, c.o.socket)
	}
	if c.sockets != "" {
		candidates = append(candidates, filepath.Join(c.sockets, node+".sock"), filepath.Join(c.sockets, node, "plumb.sock"))
	}
	for _, path := range candidates {
		if info, err := os.Stat(path); err == nil && info.Mode().Type() == os.ModeSocket && answers(path) {
			return path
		}
	}
	return ""
}

// directory asks all nodes for their endpoints.
func (c *cluster) directory(ctx context.Context) *trace.Directory {
	d := &trace.Directory{File: c.loaded.File}
	known := map[string]bool{}
	add := func(node string, list []agent.EndpointStatus) {
		known[node] = true
		for _, e := range list {
			te := trace.Endpoint{Node: node, ID: e.ID, Name: e.Name}
			if e.Namespace != "" {
				te.Name = e.Namespace + "/" + e.Name
			}
			for _, s := range e.Addresses {
				if a, err := netip.ParseAddr(s); err == nil {
					te.Addresses = append(te.Addresses, a)
				}
			}
			d.Endpoints = append(d.Endpoints, te)
		}
	}
	for _, n := range c.loaded.File.Nodes {
		if c.here != nil && n.Name == c.o.node {
			add(n.Name, c.here.Endpoints())
			continue
		}
		if path := c.socket(n.Name); path != "" {
			var s agent.Status
			brief, cancel := context.WithTimeout(ctx, greeting)
			err := call(brief, path, "GET", "/status", &s)
			cancel()
			if err == nil {
				add(n.Name, s.Endpoints)
				continue
			}
			c.silent[n.Name] = err
		}
		d.Missing = append(d.Missing, n.Name)
	}
	for _, e := range c.loaded.File.Endpoints {
		if !known[e.Node] {
			d.Endpoints = append(d.Endpoints, trace.Endpoint{Node: e.Node, ID: "file/" + e.Name, Name: e.Name, Addresses: e.Addresses})
		}
	}
	return d
}

// ask is trace.Ask.
func (c *cluster) ask(ctx context.Context, node string, q facts.Question) (*facts.Node, error) {
	if c.here != nil && node == c.o.node {
		return c.here.Look(ctx, q)
	}
	if err := c.silent[node]; err != nil {
		return nil, fmt.Errorf("%w: %w", trace.ErrUnreachable, err)
	}
	path := c.socket(node)
	if path == "" {
		return nil, fmt.Errorf("%w: no agent of %s answers here (--sockets names a directory of sockets)", trace.ErrUnreachable, node)
	}
	b, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	n := &facts.Node{}
	err = callWith(ctx, path, "POST", "/trace", bytes.NewReader(b), n)
	if errors.Is(err, errNoAnswer) {
		return nil, fmt.Errorf("%w: %w", trace.ErrUnreachable, err)
	}
	return n, err
}
