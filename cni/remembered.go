package cni

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/state/desired"
	"github.com/plumbnet/plumb/state/endpoint"
)

// remembered is what an ADD needs of a state file: parsing one with a thousand
// nodes takes ten times as long as wiring a pod. It counts for as long as the
// file's content, the node and the plugin are the same; whatever is amiss with it,
// the state file is parsed.
type remembered struct {
	Hash    string `json:"hash"`
	Program string `json:"program"`

	// Nodes are this one, and of the others the first with each set of address
	// families: these decide over which tunnels the pods' packets may go, and so
	// over their MTU.
	Nodes     []desired.Node     `json:"nodes"`
	Pools     []desired.Pool     `json:"pools"`
	Endpoints []desired.Endpoint `json:"endpoints"` // with addresses of the node's podCIDRs
	Settings  desired.Settings   `json:"settings"`
}

func (r *request) rememberedPath() string { return filepath.Join(r.StateDir, "cni-node.json") }

// recall gives what is remembered of the sources; nil where nothing is.
func (r *request) recall(hash string) *desired.File {
	b, err := os.ReadFile(r.rememberedPath())
	if err != nil {
		return nil
	}
	var m remembered
	if json.Unmarshal(b, &m) != nil || m.Hash != hash || len(m.Nodes) == 0 || m.Nodes[0].Name != r.Node || m.Program != program() {
		return nil
	}
	return &desired.File{Nodes: m.Nodes, Pools: m.Pools, Endpoints: m.Endpoints, Settings: m.Settings}
}

// remember writes down the part of a valid file that concerns the node. That it
// cannot is no trouble: the next call parses the file again.
func (r *request) remember(hash string, f *desired.File) {
	n, ok := f.Node(r.Node)
	if !ok {
		return
	}
	m := remembered{Hash: hash, Program: program(), Nodes: onePerFamilies(f, n), Pools: f.Pools, Settings: f.Settings}
	for _, e := range f.Endpoints {
		for _, a := range e.Addresses {
			if inPodCIDRs(n, a) {
				m.Endpoints = append(m.Endpoints, e)
				break
			}
		}
	}
	b, err := json.Marshal(m)
	if err == nil {
		_ = endpoint.WriteFile(r.rememberedPath(), b)
	}
}

func onePerFamilies(f *desired.File, self *desired.Node) []desired.Node {
	nodes, seen := []desired.Node{*self}, map[[2]bool]bool{}
	for _, n := range append([]desired.Node{*self}, f.Nodes...) {
		var has [2]bool // IPv4, IPv6
		for _, a := range n.Addresses {
			has[0], has[1] = has[0] || a.Prefix.Addr().Is4(), has[1] || a.Prefix.Addr().Is6()
		}
		if !seen[has] && n.Name != self.Name {
			nodes = append(nodes, n)
		}
		seen[has] = true
	}
	return nodes
}

// program tells one build of the plugin from another, so that what one remembers
// is never read by another that has a different idea of it.
func program() string {
	var s unix.Stat_t
	if err := unix.Stat("/proc/self/exe", &s); err != nil {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d.%d", s.Dev, s.Ino, s.Size, s.Ctim.Nano())
}
