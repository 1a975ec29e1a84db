// Package render computes what a node's network should be. It is pure: the
// desired-state file, the endpoints and facts about the host go in, objects come
// out, one file of this package per feature. It also prints objects as the input
// of ip(8) and nft(8).
package render

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// Wanted is an object that should be in the kernel, and why: "plumb.yaml:41" or
// "endpoint default/web-1". The origin takes no part in comparisons.
type Wanted struct {
	Object state.Object
	Origin string
}

// Host is what render knows about the host's devices.
type Host struct {
	Interfaces map[string]state.Interface // by name
	// Elsewhere says that the state is rendered away from its node: its devices
	// are not known, so endpoints' interfaces are taken to exist, subnets come
	// from the file, and routes name no device.
	Elsewhere bool
}

// Has says whether one of the host's devices carries one of the node's addresses.
func (h Host) Has(n *desired.Node) bool {
	for _, i := range h.Interfaces {
		for _, p := range i.Addresses {
			for _, a := range n.Addresses {
				if p.Addr() == a.Prefix.Addr() {
					return true
				}
			}
		}
	}
	return false
}

// Warning is something that cannot be made as the file says, with the mend.
// Where names the line of the file or the endpoint.
type Warning struct{ Where, Text string }

func (w Warning) String() string { return w.Where + ": " + w.Text }

// Node renders what the file asks of the node, besides its endpoints.
func Node(f *desired.File, name string, host Host) ([]Wanted, []Warning, error) {
	v, err := NewView(f, name, host)
	if err != nil {
		return nil, nil, err
	}
	wanted, warnings := v.Node()
	for n := range v.Others() {
		more, warned := v.Remote(n)
		wanted, warnings = append(wanted, more...), append(warnings, warned...)
	}
	return wanted, warnings, nil
}

// Find finds the node in the file, or gives an *UnknownNodeError.
func Find(f *desired.File, name string) (*desired.Node, error) {
	if n, ok := f.Node(name); ok {
		return n, nil
	}
	return nil, &UnknownNodeError{Node: name, Known: names(f)}
}

// UnknownNodeError says that the file does not have the node.
type UnknownNodeError struct {
	Node  string
	Known []string
}

func (e *UnknownNodeError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("node %q is not in the file, which has no nodes; add it under nodes", e.Node)
	}
	known := e.Known
	more := ""
	if len(known) > 8 {
		more = fmt.Sprintf(" and %d more", len(known)-8)
		known = known[:8]
	}
	return fmt.Sprintf("node %q is not in the file, which has %s%s; add it, or name another with --node",
		e.Node, strings.Join(known, ", "), more)
}

func names(f *desired.File) []string {
	out := make([]string, 0, len(f.Nodes))
	for _, n := range f.Nodes {
		out = append(out, n.Name)
	}
	return out
}

func addresses(n *desired.Node) string {
	out := make([]string, 0, len(n.Addresses))
	for _, a := range n.Addresses {
		out = append(out, a.Prefix.Addr().String())
	}
	return strings.Join(out, ", ")
}

// rendering gathers what the features give.
type rendering struct {
	wanted   []Wanted
	warnings []Warning
}

func (r *rendering) want(origin string, o state.Object) {
	r.wanted = append(r.wanted, Wanted{Object: o, Origin: origin})
}

func (r *rendering) warn(where, format string, args ...any) {
	r.warnings = append(r.warnings, Warning{Where: where, Text: fmt.Sprintf(format, args...)})
}

// pool finds the pool that holds the prefix.
func pool(f *desired.File, p netip.Prefix) (*desired.Pool, bool) {
	for i := range f.Pools {
		if c := f.Pools[i].CIDR; c.Bits() <= p.Bits() && c.Contains(p.Addr()) {
			return &f.Pools[i], true
		}
	}
	return nil, false
}

// families says which families the node's pods have.
func families(n *desired.Node) (v4, v6 bool) {
	for _, c := range n.PodCIDRs {
		v4 = v4 || c.Prefix.Addr().Is4()
		v6 = v6 || c.Prefix.Addr().Is6()
	}
	return v4, v6
}
