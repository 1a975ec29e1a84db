package trace

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/plumbnet/plumb/state/desired"
)

// Endpoint is an endpoint of some node.
type Endpoint struct {
	Node, ID  string
	Name      string // default/web-1
	Addresses []netip.Addr
}

// Directory knows who is where.
type Directory struct {
	File      *desired.File
	Endpoints []Endpoint // of the nodes that could be asked, and of the file
	Missing   []string   // nodes that could not be asked
}

// End is what FROM or TO stands for.
type End struct {
	Name      string
	Node      string // empty: outside the cluster, or a pod of a node that cannot be asked
	Endpoint  string // ID; empty: the node itself
	Addresses []netip.Addr
}

// Find finds who is meant by an address, the name of a pod (namespace/name, or the
// name alone where there is but one), of another endpoint or of a node.
func (d *Directory) Find(s string) (End, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return d.address(a.Unmap()), nil
	}
	var found []Endpoint
	for _, e := range d.Endpoints {
		if e.Name == s {
			return end(e), nil
		}
		if _, name, ok := strings.Cut(e.Name, "/"); ok && name == s {
			found = append(found, e)
		}
	}
	n, node := d.File.Node(s)
	switch {
	case len(found) > 1, len(found) == 1 && node:
		var names []string
		for _, e := range found {
			names = append(names, e.Name)
		}
		if node {
			return End{}, fmt.Errorf("%q is a node and a pod (%s); give the pod with its namespace, or the node's address", s, names[0])
		}
		slices.Sort(names)
		return End{}, fmt.Errorf("%q is the name of several pods (%s); give one with its namespace", s, strings.Join(names, ", "))
	case len(found) == 1:
		return end(found[0]), nil
	case node:
		e := End{Name: n.Name, Node: n.Name}
		for _, a := range n.Addresses {
			e.Addresses = append(e.Addresses, a.Prefix.Addr())
		}
		return e, nil
	}
	more := d.unknown("give an address")
	return End{}, fmt.Errorf("%q is no address, no pod that is known (namespace/name, as `plumb status` lists them), and no node of the file%s", s, more)
}

// Elsewhere says that an end may be a pod of a node that could not be asked; empty where
// it cannot.
func (d *Directory) Elsewhere(e End) string {
	for _, a := range e.Addresses {
		if owner, _ := ownerOf(d.File, a); owner != nil && slices.Contains(d.Missing, owner.Name) {
			return d.unknown("run this on " + owner.Name)
		}
	}
	return ""
}

// unknown says whose pods are not known, and what to do; empty where all are.
func (d *Directory) unknown(mend string) string {
	if len(d.Missing) == 0 {
		return ""
	}
	return "; the pods of " + strings.Join(d.Missing, ", ") + " are not known here: " + mend
}

func end(e Endpoint) End {
	return End{Name: e.Name, Node: e.Node, Endpoint: e.ID, Addresses: e.Addresses}
}

func (d *Directory) address(a netip.Addr) End {
	e := End{Name: a.String(), Addresses: []netip.Addr{a}}
	for _, x := range d.Endpoints {
		if slices.Contains(x.Addresses, a) {
			e = end(x)
			e.Addresses = []netip.Addr{a}
			return e
		}
	}
	for _, n := range d.File.Nodes {
		for _, c := range n.Addresses {
			if c.Prefix.Addr() == a {
				e.Name, e.Node = n.Name, n.Name
			}
		}
	}
	return e
}

// Addresses gives an address of each end in one family: 4, 6, or 0 for the first
// that both have, IPv4 before IPv6.
func Addresses(from, to End, family int) (src, dst netip.Addr, err error) {
	for _, f := range []int{4, 6} {
		if family != 0 && family != f {
			continue
		}
		of := func(e End) netip.Addr {
			for _, a := range e.Addresses {
				if a.Is4() == (f == 4) {
					return a
				}
			}
			return netip.Addr{}
		}
		if src, dst = of(from), of(to); src.IsValid() && dst.IsValid() {
			return src, dst, nil
		}
	}
	return src, dst, fmt.Errorf("%s (%s) and %s (%s) have no address of one family", from.Name, list(from.Addresses), to.Name, list(to.Addresses))
}

func list(addresses []netip.Addr) string {
	if len(addresses) == 0 {
		return "none"
	}
	var out []string
	for _, a := range addresses {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}
