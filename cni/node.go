package cni

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state/desired"
)

// node is the node as the state file has it.
type node struct {
	file *desired.File
	*desired.Node
}

// stateFile reads the state file. Where the agent has it from a ConfigMap there is
// none on the host; then the conflist names the agent's copy of the last valid one.
func (r *request) stateFile() ([]desired.Source, error) {
	sources, err := desired.Read(r.File)
	if filepath.Base(r.File) == desired.KeptName && errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: no agent has had a valid state file on this node yet", err)
	}
	return sources, err
}

// loadNode reads the state file. Errors name the file, or the place in it.
//
// Of a file that is remembered, only what concerns the node is there: its own
// entry, its endpoints, the pools and the settings.
func (r *request) loadNode(wholeFile bool) (*node, error) {
	sources, err := r.stateFile()
	if err != nil {
		return nil, err
	}
	hash := desired.Hash(sources)
	var file *desired.File
	if !wholeFile {
		file = r.recall(hash)
	}
	if file == nil {
		var problems []desired.Problem
		if file, problems = desired.Parse(sources); file == nil {
			return nil, invalid(problems)
		}
		defer r.remember(hash, file)
	}
	n, err := render.Find(file, r.Node)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.File, err)
	}
	return &node{file, n}, nil
}

func invalid(problems []desired.Problem) error {
	var lines []string
	for _, p := range problems {
		if !p.Warning {
			lines = append(lines, p.String())
		}
	}
	return errors.New(strings.Join(lines, "\n"))
}

// podCIDRs gives the node's podCIDRs by family; a family without any is left out.
func (n *node) podCIDRs() [][]netip.Prefix {
	var v4, v6 []netip.Prefix
	for _, c := range n.PodCIDRs {
		if c.Prefix.Addr().Is4() {
			v4 = append(v4, c.Prefix)
		} else {
			v6 = append(v6, c.Prefix)
		}
	}
	var families [][]netip.Prefix
	for _, f := range [][]netip.Prefix{v4, v6} {
		if len(f) > 0 {
			families = append(families, f)
		}
	}
	return families
}

// taken gives the addresses of the podCIDRs that the state file itself gives
// away: no pod gets one of them.
func (n *node) taken() map[netip.Addr]string {
	out := map[netip.Addr]string{}
	for _, e := range n.file.Endpoints {
		for _, a := range e.Addresses {
			out[a] = fmt.Sprintf("endpoint %s (%s)", e.Name, e.Pos)
		}
	}
	for _, a := range n.Addresses {
		out[a.Prefix.Addr()] = fmt.Sprintf("node %s (%s)", n.Name, n.Pos)
	}
	return out
}

func inPodCIDRs(n *desired.Node, a netip.Addr) bool {
	for _, c := range n.PodCIDRs {
		if c.Prefix.Contains(a) {
			return true
		}
	}
	return false
}

// allows says why a pod on this node cannot have an address that was asked for.
func (n *node) allows(a netip.Addr) error {
	inPool := false
	for _, p := range n.file.Pools {
		inPool = inPool || p.CIDR.Contains(a)
	}
	if !inPool {
		return fmt.Errorf("%s is in no pool of the state file", a)
	}
	for i := range n.file.Nodes {
		other := &n.file.Nodes[i]
		for _, c := range other.PodCIDRs {
			if other.Name != n.Name && c.Prefix.Contains(a) {
				return fmt.Errorf("%s is in podCIDR %s of node %s (%s), and this is node %s", a, c.Prefix, other.Name, c.Pos, n.Name)
			}
		}
	}
	return nil
}
