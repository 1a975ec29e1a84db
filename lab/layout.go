package lab

import (
	"fmt"
	"net/netip"

	"github.com/plumbnet/plumb/state/desired"
)

// Layout is a topology with every address worked out: the topology says who is
// connected to what, the state file says the addresses.
type Layout struct {
	Segments []Segment
	Hosts    []Host
	Nodes    []Node
	State    *desired.File
}

// Host is a host that runs no agent.
type Host struct {
	Name      string         `json:"name"`
	Segment   string         `json:"segment"`
	Addresses []netip.Prefix `json:"addresses"`
	Loopback  []netip.Prefix `json:"loopback,omitempty"`
	Gateway   bool           `json:"gateway"`
	Also      []Port         `json:"also,omitempty"`
	Bird      string         `json:"-"`
	GoBGPd    string         `json:"-"`
}

// Ports are its connections to segments, the first one first.
func (h Host) Ports() []Port {
	return append([]Port{{h.Segment, h.Addresses}}, h.Also...)
}

// Node is a node and its pods.
type Node struct {
	Name      string         `json:"name"`
	Segment   string         `json:"segment"`
	Addresses []netip.Prefix `json:"addresses"`
	Gateways  []netip.Addr   `json:"gateways,omitempty"` // of its default routes
	Pods      []Pod          `json:"-"`
	State     string         `json:"-"` // its agent's own state file; empty: the lab's
}

// Pod is a pod of a node. A layout has no addresses for a pod whose the CNI plugin
// chooses, and knows no interface; in a running lab, every pod has both.
type Pod struct {
	Name      string       `json:"name"`
	Node      string       `json:"node"`
	Addresses []netip.Addr `json:"addresses"`
	Interface string       `json:"interface,omitempty"` // the host end
}

// The first pod of a node has the address of this number in each podCIDR.
const firstPod = 10

// Layout works the addresses out.
func (t *Topology) Layout() (*Layout, error) {
	file, err := parseState(t.State)
	if err != nil {
		return nil, err
	}
	l := &Layout{Segments: t.Segments, State: file}
	for _, h := range t.Hosts {
		l.Hosts = append(l.Hosts, Host(h))
	}
	for _, tn := range t.Nodes {
		own := file
		if tn.State != "" {
			if own, err = parseState(tn.State); err != nil {
				return nil, fmt.Errorf("node %q: its own %w", tn.Name, err)
			}
		}
		n, ok := own.Node(tn.Name)
		if !ok {
			return nil, fmt.Errorf("node %q: is not among the nodes of the state", tn.Name)
		}
		node := Node{Name: tn.Name, Segment: tn.Segment, State: tn.State}
		for _, a := range n.Addresses {
			node.Addresses = append(node.Addresses, a.Prefix)
			if gw, ok := l.gateway(tn.Segment, a.Prefix); ok {
				node.Gateways = append(node.Gateways, gw)
			}
		}
		for i, name := range tn.Pods {
			pod := Pod{Name: name, Node: tn.Name}
			for _, c := range n.PodCIDRs {
				a, err := numbered(c.Prefix, firstPod+i)
				if err != nil {
					return nil, fmt.Errorf("pod %q: %w", name, err)
				}
				pod.Addresses = append(pod.Addresses, a)
			}
			node.Pods = append(node.Pods, pod)
		}
		// They come behind: what the plugin chooses must not be one of the above.
		for _, name := range tn.AutoPods {
			node.Pods = append(node.Pods, Pod{Name: name, Node: tn.Name})
		}
		if len(node.Pods) > 0 && len(n.PodCIDRs) == 0 {
			return nil, fmt.Errorf("pod %q: node %q has no podCIDRs", node.Pods[0].Name, tn.Name)
		}
		l.Nodes = append(l.Nodes, node)
	}
	return l, nil
}

// gateway finds the gateway on a segment for a node with an address.
func (l *Layout) gateway(segment string, of netip.Prefix) (netip.Addr, bool) {
	for _, h := range l.Hosts {
		for _, p := range h.Ports() {
			for _, a := range p.Addresses {
				if h.Gateway && p.Segment == segment && of.Contains(a.Addr()) {
					return a.Addr(), true
				}
			}
		}
	}
	return netip.Addr{}, false
}

// numbered is the n-th address of a prefix.
func numbered(p netip.Prefix, n int) (netip.Addr, error) {
	a := p.Masked().Addr()
	for range n {
		a = a.Next()
	}
	if !p.Contains(a) {
		return netip.Addr{}, fmt.Errorf("%s has no address number %d; give the node fewer pods or a larger podCIDR", p, n)
	}
	return a, nil
}

// Pods gives the pods of all nodes.
func (l *Layout) Pods() []Pod {
	var pods []Pod
	for _, n := range l.Nodes {
		pods = append(pods, n.Pods...)
	}
	return pods
}
