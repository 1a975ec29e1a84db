package trace

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/plumbnet/plumb/render"
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
		w.noAddress(q.At)
		return false
	case d.Missing:
		w.drop("there is no device "+d.Name, repair("make it"))
		return false
	case !w.stands(d):
		return false
	}
	if l := w.wire; l != nil && q.Dev == "" {
		w.wire = nil
		return w.sameWire(l, d)
	}
	return true
}

func (w *walker) noAddress(a netip.Addr) {
	w.drop("no device of "+w.n.Node+" has the address "+a.String(), fmt.Sprintf("ip address add %s to the node's uplink, or mend its addresses in the file", a))
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
	mend := "sysctl -w " + all + "=1"
	if dev := w.n.In.Name; all == name && w.packet.Dst.Is4() && !render.IsHostEnd(dev) && !state.IsTunnel(dev) {
		mend += " (plumb sets no parameters of " + dev + ", which is not its own; does a file in /etc/sysctl.d?)"
	} else {
		mend = repair(mend)
	}
	w.drop("forwarding is off ("+all+" = 0)", mend)
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
	case !w.stands(d):
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
		within := "nsenter --net=" + p.NetNS + " "
		if n.Out != nil && !p.Device.Missing && !w.sameWire(&wire{place: "node " + n.Node, dev: *n.Out, to: n.Neighbour, within: within}, p.Device) {
			return nil
		}
		switch {
		case p.Lookup.Type == local && p.Lookup.Error == "":
			w.route(&p.Lookup)
		default:
			w.route(&p.Lookup)
			if w.refusedByRule(&p.Lookup, w.packet.Dst, within) {
				return nil
			}
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
