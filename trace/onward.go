package trace

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
	"github.com/plumbnet/plumb/trace/facts"
)

// overTheWire finds whose the next hop is.
func (w *walker) overTheWire() *step {
	n := w.n
	hop := n.Lookup.Via.Gateway
	if !hop.IsValid() {
		hop = w.packet.Dst
	}
	if node, ok := w.nodeWith(hop); ok {
		if n.Out != nil {
			w.wire = &wire{place: w.hop.Place, dev: *n.Out, to: n.Neighbour}
		}
		return &step{node, facts.Question{Packet: w.packet, At: hop}}
	}
	if owner, _ := ownerOf(w.file, w.packet.Dst); n.NotAsked != "" && owner != nil && owner.Name != n.Node {
		return w.asIfSent(owner)
	}
	if nb := n.Neighbour; nb != nil && !nb.Known() && n.NotAsked == "" {
		w.drop(fmt.Sprintf("%s does not answer on %s (%s)", nb.Addr, nb.Dev, nb.State), "is the host up, and is it on this wire? the route's next hop must be")
		return nil
	}
	if owner := w.behind(); owner != nil {
		w.through(hop)
		return w.asIfSent(owner)
	}
	w.outside(hop)
	return nil
}

// behind is the node that a router has the packet for, where plumb itself sends it to
// that router: by a route that it wants. A node's address is reached by routes of the
// host's own.
func (w *walker) behind() *desired.Node {
	n, l := w.n, &w.n.Lookup
	if name, ok := w.nodeWith(w.packet.Dst); ok && name != n.Node && l.Via.Gateway.IsValid() {
		owner, _ := w.file.Node(name)
		return owner
	}
	owner, _ := ownerOf(w.file, w.packet.Dst)
	if owner == nil || owner.Name == n.Node || slices.ContainsFunc(w.suspects, func(f Fault) bool { return f.Place == w.hop.Place }) {
		return nil
	}
	switch {
	case n.Want != nil && l.Proto == n.Want.Route.Protocol:
		return owner
	case n.Want == nil && l.Proto == state.ProtoBGP && w.learns(w.packet.Dst): // there is no agent that knows what it learned
		return owner
	}
	return nil
}

// through notes a router between two nodes.
func (w *walker) through(router netip.Addr) {
	w.say(Step{Name: "next", Text: fmt.Sprintf("through router %s, which plumb cannot look into", router)})
	if !slices.Contains(w.t.Routers, router) {
		w.t.Routers = append(w.t.Routers, router)
	}
}

// learns says whether routes to an address come by BGP.
func (w *walker) learns(a netip.Addr) bool {
	return slices.ContainsFunc(w.file.Pools, func(p desired.Pool) bool { return p.CIDR.Contains(a) && p.Reachability == "bgp" })
}

// outside: the packet goes to a host that is no node.
func (w *walker) outside(hop netip.Addr) {
	n := w.n
	dev := n.Lookup.Via.Dev
	if p, ok := w.pool(w.packet.Dst); ok {
		whose, mend := "is in a pool, and in no node's podCIDR", fmt.Sprintf("check the address; or is its node not in the file yet? (pool %s)", p)
		if owner, ok := w.podCIDR(w.packet.Dst); ok {
			whose = "is a pod's address, of node " + owner
			mend = fmt.Sprintf("there has to be a route to it here; `plumb diff` tells what is missing (pool %s)", p)
		}
		w.say(Step{Name: "next", Text: hop.String() + ", which is no node of the file"})
		w.drop(fmt.Sprintf("the packet goes to %s on %s, which is no node; but %s %s", hop, dev, w.packet.Dst, whose), mend)
		return
	}
	if !w.unmasqueraded() {
		return
	}
	by := "by " + hop.String()
	switch {
	case n.NotAsked != "" && !n.Lookup.Dst.IsValid():
		by = "by a route of its own"
	case hop == w.packet.Dst:
		by = "to its neighbour " + hop.String()
	}
	text := fmt.Sprintf("leaves the cluster %s on %s of %s", by, dev, n.Node)
	if p, ok := w.pool(w.packet.Src); w.last.IsValid() {
		text += fmt.Sprintf(", as %s (translated from %s)", w.packet.Src, w.last)
	} else if w.translated {
		text += ", masqueraded"
	} else if ok {
		text += fmt.Sprintf(" with its pod's address %s, which the outside has to know a route to (pool %s)", w.packet.Src, p)
	}
	w.arrive(Left, text)
	if chain := w.mayTranslate; chain != "" {
		w.warn("%s may be a service's address, which %s translates; %s", w.t.Packet.Dst, chain, liveShows)
	}
}

// unmasqueraded: what the file has masqueraded has to be.
func (w *walker) unmasqueraded() bool {
	if w.translated {
		return true
	}
	for i := range w.file.Pools {
		p := &w.file.Pools[i]
		if !p.NATOutgoing || !p.CIDR.Contains(w.packet.Src) {
			continue
		}
		for _, c := range w.file.NAT.Exclude {
			if c.Prefix.Contains(w.packet.Dst) {
				w.say(Step{Name: "masquerade", Text: "none: " + c.Prefix.String() + " is excluded (nat.exclude)", Origin: c.Pos.String()})
				return true
			}
		}
		why := w.whyNot
		if !w.n.NFT.Table {
			why = "table " + state.NFTTable + " is missing"
		}
		w.say(Step{Name: "masquerade", Text: "none, though pool " + p.CIDR.String() + " has natOutgoing: " + why, Origin: p.Pos.String()})
		w.drop(fmt.Sprintf("the packet leaves with its pod's address %s, which nobody outside answers: %s", w.packet.Src, why),
			repair("plumb render -o nft | nft -f -"))
		return false
	}
	return true
}

func (w *walker) nodeWith(a netip.Addr) (string, bool) {
	for _, n := range w.file.Nodes {
		for _, c := range n.Addresses {
			if c.Prefix.Addr() == a {
				return n.Name, true
			}
		}
	}
	return "", false
}

func (w *walker) podCIDR(a netip.Addr) (string, bool) {
	for _, n := range w.file.Nodes {
		for _, c := range n.PodCIDRs {
			if c.Prefix.Contains(a) {
				return n.Name, true
			}
		}
	}
	return "", false
}

func (w *walker) pool(a netip.Addr) (netip.Prefix, bool) {
	for _, p := range w.file.Pools {
		if p.CIDR.Contains(a) {
			return p.CIDR, true
		}
	}
	return netip.Prefix{}, false
}
