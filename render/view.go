package render

import (
	"iter"

	"github.com/plumbnet/plumb/state/desired"
)

// View is a state file as one node sees it from its host. Its parts are rendered
// each by itself, so that what concerns one other node costs nothing for the rest.
type View struct {
	Paths *Paths
	file  *desired.File
	self  *desired.Node
	host  Host
}

// NewView makes the view of a node that is in the file; else the error is an
// *UnknownNodeError.
func NewView(f *desired.File, node string, host Host) (*View, error) {
	self, err := Find(f, node)
	if err != nil {
		return nil, err
	}
	return &View{NewPaths(f, self, host), f, self, host}, nil
}

// Node renders what the node has whatever others there are.
func (v *View) Node() ([]Wanted, []Warning) {
	var r rendering
	n := v.self
	if !v.host.Elsewhere && !v.host.Has(n) {
		r.warn(n.Pos.String(), "no device of this host has an address of node %s (%s); "+
			"is --node right, and is the address set?", n.Name, addresses(n))
	}
	r.wanted = append(r.wanted, Forwarding(n)...)
	r.tunnelDevices(v.Paths)
	r.blackholes(v.file, n)
	r.notCarriedOut(v.file)
	r.nftables(v.file)
	r.nodeAddresses(v.file, n)
	return r.wanted, r.warnings
}

// Others are the other nodes of the file.
func (v *View) Others() iter.Seq[*desired.Node] {
	return func(yield func(*desired.Node) bool) {
		for i := range v.file.Nodes {
			if n := &v.file.Nodes[i]; n.Name != v.self.Name && !yield(n) {
				return
			}
		}
	}
}

// Remote renders what leads to another node.
func (v *View) Remote(n *desired.Node) ([]Wanted, []Warning) {
	var r rendering
	r.remote(v.Paths, n)
	return r.wanted, r.warnings
}

// SameRemotes says whether Remote gives for equal nodes what it gave in an earlier
// view, which may be nil.
func (v *View) SameRemotes(earlier *View) bool {
	return earlier != nil && v.Paths.same(earlier.Paths)
}
