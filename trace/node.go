package trace

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/trace/facts"
)

// node is what a node does with the packet: it gives who has it next, or nil and
// where it ended.
func (w *walker) node(q facts.Question) (next *step, end *Start) {
	n := w.n
	if !w.comesIn(q) {
		return nil, nil
	}
	if n.In != nil && !w.chain("prerouting", n.In.Name, "", w.packet) {
		return nil, nil
	}
	if n.In == nil && !w.chain("output", "", n.Lookup.Via.Dev, w.packet) {
		return nil, nil
	}
	if !w.routed() {
		return nil, nil
	}
	if n.Lookup.Type == local {
		if n.In != nil && !w.chain("input", n.In.Name, "", w.packet) {
			return nil, nil
		}
		w.arrive(Delivered, "delivered to node "+n.Node)
		return nil, &Start{Node: n.Node, Name: n.Node}
	}
	if n.In != nil && (!w.forwarding() || !w.chain("forward", n.In.Name, n.Lookup.Via.Dev, w.packet)) {
		return nil, nil
	}
	if !w.leaves() || !w.chain("postrouting", "", n.Lookup.Via.Dev, w.packet) {
		return nil, nil
	}
	if n.Tunnel != nil {
		return w.intoTunnel(), nil
	}
	if w.toEndpoint() {
		return nil, w.delivered()
	}
	return w.overTheWire(), nil
}

// comesIn looks at the device that the packet comes in by.
func (w *walker) comesIn(q facts.Question) bool {
	n, d := w.n, w.n.In
	if d == nil {
		return true
	}
	if o := w.outer; q.Dev != "" && o != nil {
		w.outer = nil
		if !w.outOfTunnel(o) {
			return false
		}
	} else {
		w.device("in", d)
	}
	switch {
	case d.Missing && n.NotAsked != "": // the file does not know devices
		if l := w.wire; l != nil && l.to != nil && !l.to.Known() {
			w.drop(fmt.Sprintf("%s is not answered for on %s of %s (%s)", l.to.Addr, l.to.Dev, l.place, l.to.State), "is "+n.Node+" up, and its uplink?")
			return false
		}
		w.wire = nil
		return true
	case d.Missing && q.Dev == "" && q.Endpoint == "":
		w.drop("no device of "+n.Node+" has the address "+q.At.String(), fmt.Sprintf("ip address add %s to the node's uplink, or mend its addresses in the file", q.At))
		return false
	case d.Missing:
		w.drop("there is no device "+d.Name, repair("make it"))
		return false
	case !d.Up:
		w.drop("device "+d.Name+" is down", "ip link set "+d.Name+" up")
		return false
	case !d.Carrier:
		w.drop("device "+d.Name+" has no carrier", "look at the other end of its cable, or veth")
		return false
	}
	if l := w.wire; l != nil && q.Dev == "" {
		w.wire = nil
		return w.sameWire(l, d)
	}
	return true
}

// sameWire compares the two ends of a wire: what one sends must be what the other takes.
func (w *walker) sameWire(l *wire, d *facts.Device) bool {
	if l.to != nil && l.to.MAC != "" && d.MAC != "" && l.to.MAC != d.MAC {
		w.drop(fmt.Sprintf("%s sends to %s, and %s has %s: another device answers for %s, or an old entry was left", l.place, l.to.MAC, d.Name, d.MAC, l.to.Addr),
			fmt.Sprintf("look for a second owner of %s (arping), or on %s: ip neigh del %s dev %s", l.to.Addr, l.place, l.to.Addr, l.to.Dev))
		return false
	}
	if l.to != nil && !l.to.Known() && w.n.NotAsked == "" {
		w.drop(fmt.Sprintf("%s is not answered for on %s of %s (%s)", l.to.Addr, l.to.Dev, l.place, l.to.State),
			fmt.Sprintf("the device is there and up on this side: look at the wire between, and at ARP filters (sysctl arp_ignore, arp_filter) of %s; then on %s: ip neigh flush dev %s", d.Name, l.place, l.to.Dev))
		return false
	}
	if d.MTU == 0 || d.MTU >= l.dev.MTU || w.mtu != 0 && d.MTU >= w.mtu {
		return true
	}
	why := fmt.Sprintf("packets of more than %d bytes vanish: %s has mtu %d, and sends to %s with mtu %d", d.MTU, l.dev.Name+" of "+l.place, l.dev.MTU, d.Name, d.MTU)
	mend := fmt.Sprintf("give both ends the same: ip link set %s mtu %d; or a smaller settings.mtu in the file", d.Name, l.dev.MTU)
	if w.packet.Size > 0 && w.packet.Size <= d.MTU {
		w.warn("%s: %s; %s", w.hop.Place, why, mend)
		w.mark(Odd)
		w.mtu = d.MTU
		return true
	}
	w.drop(why, mend)
	return false
}

// forwarding: a node that comes by packets that are not its own has to be a router.
func (w *walker) forwarding() bool {
	p, name := "net/ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding"
	if w.packet.Dst.Is4() {
		p, name = facts.Of("net/ipv4/conf/%/forwarding", w.n.In.Name), "net.ipv4.conf."+w.n.In.Name+".forwarding"
	}
	v, known := w.n.Sysctl[p]
	if !known {
		return true
	}
	w.say(Step{Name: "forward", Text: name + " = " + v})
	if v != "0" || w.n.Sysctl[facts.Of("net/ipv6/conf/%/force_forwarding", w.n.In.Name)] == "1" {
		return true
	}
	all := name
	if w.n.Sysctl["net/ipv4/ip_forward"] == "0" {
		all = "net.ipv4.ip_forward"
	}
	w.drop("forwarding is off ("+all+" = 0)", repair("sysctl -w "+all+"=1"))
	return false
}

// leaves looks at the device that the packet leaves by, and at its neighbour there.
func (w *walker) leaves() bool {
	n := w.n
	d := n.Out
	if d == nil {
		return true
	}
	w.device("out", d)
	switch {
	case d.Missing:
		return true // the file names none
	case !d.Up:
		w.drop("device "+d.Name+" is down", "ip link set "+d.Name+" up")
		return false
	case !d.Carrier:
		w.drop("device "+d.Name+" has no carrier", "look at the other end of its cable, or veth")
		return false
	}
	mtu := d.MTU
	if m := n.Lookup.MTU; m > 0 && m < mtu {
		mtu = m
	}
	switch {
	case mtu == 0:
	case w.packet.Size > mtu:
		w.drop(fmt.Sprintf("the packet of %d bytes is larger than the mtu %d of %s: the sender is told 'fragmentation needed'", w.packet.Size, mtu, d.Name),
			fmt.Sprintf("send less than that, or: ip link set %s mtu %d", d.Name, w.packet.Size))
		return false
	case w.mtu > mtu:
		w.warn("%s: packets of more than %d bytes are answered 'fragmentation needed' (%s); the sender has mtu %d", w.hop.Place, mtu, d.Name, w.mtu)
		w.mark(Odd)
		w.mtu = mtu
	case w.mtu == 0:
		w.mtu = mtu
	}
	if n.Neighbour != nil {
		w.neighbour(n.Neighbour)
	}
	return true
}

func (w *walker) toEndpoint() bool {
	n := w.n
	return n.Receiver != nil && n.Receiver.Interface == n.Lookup.Via.Dev || strings.HasPrefix(n.Lookup.Via.Dev, state.HostEndPrefix)
}

// delivered looks at the end of the way, in the pod.
func (w *walker) delivered() *Start {
	n, e := w.n, w.n.Receiver
	if nb := n.Neighbour; nb != nil && !nb.Known() && n.NotAsked == "" {
		w.drop(fmt.Sprintf("the pod does not answer for %s on %s (%s)", nb.Addr, nb.Dev, nb.State), "look at the interface and the addresses in the pod, or delete the pod, so that it is made anew")
		return nil
	}
	if e == nil {
		who := n.Lookup.Via.Dev + ", whose endpoint plumb does not know"
		if n.NotAsked != "" {
			who = "the pod with " + w.packet.Dst.String() + " on " + n.Node
		}
		w.arrive(Delivered, "delivered to "+who)
		return nil
	}
	w.open(kindOf(e) + e.Name)
	if p := n.ReceiverPod; p != nil && p.Err == "" {
		w.device("interface", p.Device)
		w.sameMTU(p.Device)
		switch {
		case p.Lookup.Type == local && p.Lookup.Error == "":
			w.route(&p.Lookup)
		default:
			w.route(&p.Lookup)
			w.drop("the pod does not have the address "+w.packet.Dst.String(), "delete the pod, so that it is made anew")
			return nil
		}
	} else if p != nil {
		w.say(Step{Name: "inside", Text: "not looked at: " + p.Err, Origin: e.Origin})
	} else {
		w.say(Step{Name: "inside", Text: "not looked at: its record names no network namespace", Origin: e.Origin})
	}
	w.arrive(Delivered, "delivered to "+e.Name)
	return &Start{Node: n.Node, Endpoint: e.ID, Name: e.Name}
}

// sameMTU: the pod's end of the veth takes no larger packets than its own MTU.
func (w *walker) sameMTU(d *facts.Device) {
	out := w.n.Out
	if out == nil || d.Missing || d.MTU == 0 || d.MTU >= out.MTU || w.mtu != 0 && d.MTU >= w.mtu {
		return
	}
	w.warn("%s: packets of more than %d bytes vanish: %s has mtu %d on the node, and %d in the pod", w.hop.Place, d.MTU, out.Name, out.MTU, d.MTU)
	w.mark(Odd)
}

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
	w.outside(hop)
	return nil
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

func (w *walker) device(name string, d *facts.Device) {
	text := d.Name
	if d.Missing {
		w.say(Step{Name: name, Text: text + " is not there"})
		if w.n.NotAsked != "" {
			w.hop.Steps[len(w.hop.Steps)-1].Text = text
		}
		return
	}
	switch {
	case !d.Up:
		text += " down"
	case !d.Carrier:
		text += " up, no carrier"
	default:
		text += " up"
	}
	if d.MTU > 0 {
		text += ", mtu " + strconv.Itoa(d.MTU)
	}
	if d.VNI != 0 {
		text += fmt.Sprintf(", vni %d, port %d", d.VNI, d.Port)
	}
	w.say(Step{Name: name, Text: text, Origin: d.Origin})
}

func (w *walker) neighbour(n *facts.Neighbour) {
	text := n.Addr.String()
	if n.MAC != "" {
		text += " lladdr " + n.MAC
	}
	text += " " + n.State
	s := Step{Name: "neighbour", Text: text}
	if n.Asked && n.Known() {
		s.Text += " (asked for just now)"
	}
	if !n.Known() {
		s.Mark = Odd
	}
	w.say(s)
}
