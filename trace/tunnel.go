package trace

import (
	"fmt"

	"github.com/plumbnet/plumb/trace/facts"
)

// overhead is what a tunnel adds to a packet, in bytes (RFC 7348, RFC 2003).
func overhead(d *facts.Device, outer facts.Packet) int {
	switch {
	case d.Kind == "ipip":
		return 20
	case outer.Dst.Is4():
		return 50
	}
	return 70
}

// intoTunnel follows the outer packet to the node at the tunnel's other end.
func (w *walker) intoTunnel() *step {
	n, t, d := w.n, w.n.Tunnel, w.n.Out
	if !t.Outer.Dst.IsValid() {
		if n.Neighbour == nil || n.Neighbour.MAC == "" {
			w.drop(fmt.Sprintf("%s has no neighbour entry for %s, the other end", d.Name, n.Lookup.Via.Gateway), repair("plumb diff"))
		} else {
			w.drop(fmt.Sprintf("%s has no forwarding entry for %s: nothing says to which node frames to %s go", d.Name, t.MAC, n.Lookup.Via.Gateway), repair(fmt.Sprintf("bridge fdb append %s dev %s dst NODE self permanent", t.MAC, d.Name)))
		}
		return nil
	}
	how := "IP in IP"
	if d.Kind == "vxlan" {
		how = fmt.Sprintf("VXLAN, vni %d, port %d, to %s", d.VNI, d.Port, t.MAC)
	}
	w.say(Step{Name: "tunnel", Text: fmt.Sprintf("%s > %s  (%s)", t.Outer.Src, t.Outer.Dst, how)})
	w.route(&t.Lookup)
	if w.refusedByRule(&t.Lookup, t.Outer.Dst, "") {
		return nil
	}
	if t.Lookup.Error != "" {
		w.drop(fmt.Sprintf("there is no route to the tunnel's other end %s: %s", t.Outer.Dst, t.Lookup.Words), "give the node a route to "+t.Outer.Dst.String())
		return nil
	}
	if !w.chain("output", "", t.Lookup.Via.Dev, t.Outer) {
		return nil
	}
	if o := t.Out; o != nil {
		w.device("out", o)
		switch {
		case !o.Missing && !w.stands(o):
			return nil
		case !o.Missing && o.MTU > 0 && d.MTU+overhead(d, t.Outer) > o.MTU:
			w.warn("%s: %s has mtu %d, and with %d bytes of its header a full packet does not fit %s (mtu %d)", w.hop.Place, d.Name, d.MTU, overhead(d, t.Outer), o.Name, o.MTU)
			w.mark(Odd)
		}
	}
	if t.Neighbour != nil {
		w.neighbour(t.Neighbour)
	}
	node, ok := w.nodeWith(t.Outer.Dst)
	if !ok {
		w.drop("the tunnel's other end "+t.Outer.Dst.String()+" is no node of the file", repair("plumb diff"))
		return nil
	}
	if nb := t.Neighbour; nb != nil && !nb.Known() && n.NotAsked == "" {
		w.drop(fmt.Sprintf("%s does not answer on %s (%s)", nb.Addr, nb.Dev, nb.State), "is "+node+" up, and its uplink?")
		return nil
	}
	if router := t.Lookup.Via.Gateway; router.IsValid() {
		if _, ok := w.nodeWith(router); !ok {
			w.through(router)
		}
	}
	w.outer = &inTunnel{packet: t.Outer, dev: *d, mac: t.MAC, wire: w.below()}
	outer := t.Outer
	return &step{node, facts.Question{Packet: w.packet, Dev: d.Name, Outer: &outer}}
}

// outOfTunnel looks at whether the node takes what was sent to it in a tunnel.
func (w *walker) outOfTunnel(o *inTunnel) bool {
	n, d := w.n, w.n.In
	var wire *facts.Device
	for i := range n.Uplinks {
		if n.Uplinks[i].Has(o.packet.Dst) {
			wire = &n.Uplinks[i]
		}
	}
	in := ""
	if wire != nil {
		in = wire.Name
		w.device("in", wire)
	}
	switch {
	case n.NotAsked != "":
	case wire == nil:
		w.noAddress(o.packet.Dst)
		return false
	case !w.stands(wire), o.wire != nil && !w.sameWire(o.wire, wire):
		return false
	}
	if !w.chain("prerouting", in, "", o.packet) || !w.chain("input", in, "", o.packet) {
		return false
	}
	w.device("tunnel", d)
	if n.NotAsked != "" {
		return true
	}
	from := o.dev
	switch {
	case d.Missing:
		w.drop(fmt.Sprintf("there is no device %s: %s encapsulates, and %s does not", d.Name, o.packet.Src, n.Node),
			"both nodes need the same file with encapsulation for the pool; `plumb status` on "+n.Node)
	case d.Kind != from.Kind:
		w.drop(fmt.Sprintf("%s is a %s here, and a %s at the other end", d.Name, d.Kind, from.Kind), "both nodes need the same file")
	case d.VNI != from.VNI || d.Port != from.Port:
		w.drop(fmt.Sprintf("the two ends do not agree: vni %d, port %d here, and vni %d, port %d at %s", d.VNI, d.Port, from.VNI, from.Port, o.packet.Src),
			"both nodes need the same file (pools: vxlan: vni, port)")
	case d.Kind == "vxlan" && d.MAC != o.mac:
		w.drop(fmt.Sprintf("frames come for %s, and %s has %s", o.mac, d.Name, d.MAC), repair("ip link set "+d.Name+" address "+o.mac))
	default:
		return true
	}
	return false
}
