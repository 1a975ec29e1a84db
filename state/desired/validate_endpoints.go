package desired

import (
	"net/netip"
)

func (v *validator) checkEndpoints() {
	names := make(map[string]Pos, len(v.f.Endpoints))
	type device struct{ node, name string }
	devices := make(map[device]*Endpoint, len(v.f.Endpoints))
	addresses := make(map[netip.Addr]*Endpoint, len(v.f.Endpoints))
	for i := range v.f.Endpoints {
		e := &v.f.Endpoints[i]
		if first, ok := names[e.Name]; ok && e.Name != "" {
			v.fail(v.place(e.Pos, "name"), "endpoint %q is defined twice: first at %s; rename or remove one", e.Name, first)
		} else {
			names[e.Name] = v.place(e.Pos, "name")
		}
		if e.Node != "" && e.Interface != "" {
			d := device{e.Node, e.Interface}
			switch first, ok := devices[d]; {
			case ok && first.Name == e.Name: // the endpoint is there twice, which was said
			case ok:
				v.fail(v.place(e.Pos, "interface"), "interface %s of node %q is that of endpoint %q too, at %s; an interface has one endpoint",
					e.Interface, e.Node, first.Name, v.place(first.Pos, "interface"))
			default:
				devices[d] = e
			}
		}
		node := v.endpointNode(e)
		if len(e.Addresses) == 0 && !v.doubtful[e.Pos] {
			v.fail(v.place(e.Pos, "addresses"), "addresses is empty; an endpoint has at least one address")
		}
		for j, a := range e.Addresses {
			if a.IsValid() {
				v.checkEndpointAddress(e, node, j, addresses)
			}
		}
	}
}

// endpointNode gives the endpoint's node, nil where there is none.
func (v *validator) endpointNode(e *Endpoint) *Node {
	n, ok := v.nodes[e.Node]
	if ok {
		return n
	}
	if e.Node != "" && v.complete("nodes") {
		v.fail(v.place(e.Pos, "node"), "endpoint %q is on node %q, which is not in the file%s", e.Name, e.Node, v.didYouMean(e.Node, v.nodeNames()))
	}
	return nil
}

func (v *validator) checkEndpointAddress(e *Endpoint, n *Node, index int, seen map[netip.Addr]*Endpoint) {
	a := e.Addresses[index]
	at := v.place(e.Pos, "addresses", index)
	if first, ok := seen[a]; ok {
		switch {
		case first == e:
			v.fail(at, "address %s is given twice; remove one", a)
		case first.Name != e.Name: // else the endpoint is there twice, which was said
			v.fail(at, "address %s is that of endpoint %q too, at %s; give each its own", a, first.Name, first.Pos)
		}
		return
	}
	seen[a] = e
	if n == nil || v.doubtful[n.Pos] {
		return
	}
	for _, c := range n.PodCIDRs {
		if c.Prefix.Contains(a) {
			return
		}
	}
	if len(n.PodCIDRs) == 0 {
		v.fail(at, "address %s is on node %q, which has no podCIDRs; give it one at %s", a, n.Name, n.Pos)
		return
	}
	v.fail(at, "address %s lies outside the podCIDRs of node %q at %s; take one from those", a, n.Name, n.PodCIDRs[0].Pos)
}
