package trace

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
	"github.com/plumbnet/plumb/trace/facts"
)

// walker is a packet on its way.
type walker struct {
	ctx    context.Context
	file   *desired.File
	ask    Ask
	t      *Trace
	packet facts.Packet // as it is now
	answer bool         // it is the answer to a packet that was followed

	hop        *Hop
	n          *facts.Node
	seen       map[string]bool
	translated bool
	mtu        int        // what fits so far, in bytes; 0: not known yet
	wire       *wire      // what it left the node before by
	suspects   []Fault    // what is not as plumb wants it, in the order of hops
	outer      *inTunnel  // it comes out of a tunnel next
	last       netip.Addr // the source before it was translated, where both are known
	unasked    []string   // nodes for which the file answered
	// mayTranslate is another owner's chain that may change the destination.
	mayTranslate string
	whyNot       string // why no rule of the chain read last matched
}

type inTunnel struct {
	packet facts.Packet
	dev    facts.Device
	mac    string
	wire   *wire // that it is sent by; nil: by a router, or by what is not known
}

// follow goes from hop to hop. It gives where the packet ended, if that is a place
// that can answer.
func (w *walker) follow(from Start, p facts.Packet) (end *Start, err error) {
	w.packet = p
	node, q := from.Node, facts.Question{Packet: p, Endpoint: from.Endpoint, Local: from.Endpoint == ""}
	for range limit {
		n, err := w.ask(w.ctx, node, q)
		if errors.Is(err, ErrUnreachable) {
			n, err = FromFile(w.file, node, q, err.Error())
		}
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", node, err)
		}
		w.n = n
		if !w.packet.Src.IsValid() {
			w.chooseSource(q)
		}
		var next *step
		if !w.pod(q) {
			return nil, nil
		}
		w.open("node " + node)
		w.hop.Facts = n
		if n.NotAsked != "" {
			w.say(Step{Name: "not asked", Text: n.NotAsked + "; as the file has it:", Mark: Odd})
			w.unasked = append(w.unasked, node)
		}
		if next, end = w.node(q); next == nil {
			w.t.Arrives = w.packet
			return end, nil
		}
		mark := fmt.Sprint(next.node, next.q.At, next.q.Dev)
		if w.seen[mark] {
			w.warn("the packet goes round in a circle, by %s and %s again", node, next.node)
			w.drop("the packet goes round in a circle", "compare the routes of the nodes above with `plumb diff`")
			return nil, nil
		}
		w.seen[mark] = true
		node, q = next.node, next.q
	}
	w.drop("the packet is still on its way after so many hops", "look at the routes above")
	return nil, nil
}

// step is who is asked next.
type step struct {
	node string
	q    facts.Question
}

// chooseSource takes the address that the sender's kernel chose.
func (w *walker) chooseSource(q facts.Question) {
	switch {
	case q.Endpoint != "" && w.n.Sender != nil:
		w.packet.Src = w.n.Sender.Address(w.packet.Dst)
	case w.n.Lookup.Source.IsValid():
		w.packet.Src = w.n.Lookup.Source
	}
	w.t.Packet.Src = w.packet.Src
}

func (w *walker) open(place string) {
	w.t.Hops = append(w.t.Hops, Hop{Place: place})
	w.hop = &w.t.Hops[len(w.t.Hops)-1]
}

func (w *walker) say(s Step) { w.hop.Steps = append(w.hop.Steps, s) }

// mark puts a mark on the step that was said last.
func (w *walker) mark(m Mark) {
	if n := len(w.hop.Steps); n > 0 {
		w.hop.Steps[n-1].Mark = m
	}
}

func (w *walker) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(w.t.Warnings, text) {
		w.t.Warnings = append(w.t.Warnings, text)
	}
}

// suspect notes what is wrong although the packet goes on: if it does not arrive,
// this is why.
func (w *walker) suspect(why, mend string) {
	w.mark(Odd)
	w.suspects = append(w.suspects, Fault{Place: w.hop.Place, Why: why, Mend: mend})
}

// drop ends the packet here. The reason is the first thing on its way that was not
// as plumb wants it, or else what is found here.
func (w *walker) drop(why, mend string) {
	w.mark(Bad)
	f := Fault{Place: w.hop.Place, Why: why, Mend: mend}
	if len(w.suspects) > 0 {
		end := f
		f = w.suspects[0]
		if f.Place != end.Place {
			w.warn("%s, where it ends: %s", end.Place, end.Why)
		}
	}
	w.t.Outcome, w.t.Fault = Dropped, &f
	w.t.Summary = "dropped " + at(f.Place) + ": " + f.Why
	w.t.Arrives = w.packet
}

// arrive ends the packet well.
func (w *walker) arrive(o Outcome, text string) {
	w.t.Outcome, w.t.Summary = o, text
	if o == Delivered && w.last.IsValid() {
		w.t.Summary += fmt.Sprintf(", which sees it come from %s (translated from %s)", w.packet.Src, w.last)
	}
	if len(w.unasked) > 0 {
		are := " is"
		if len(w.unasked) > 1 {
			are = " are"
		}
		w.t.Summary += ", if " + strings.Join(w.unasked, " and ") + are + " as the file has it"
	}
	w.t.Summary += w.t.ifRouters()
	for _, s := range w.suspects {
		w.warn("%s: %s; %s", s.Place, s.Why, s.Mend)
	}
}

// kindOf: what a container runtime made is a pod.
func kindOf(e *facts.Endpoint) string {
	if e.ContainerID != "" {
		return "pod "
	}
	return "endpoint "
}

// pod is the sender's own namespace. It gives false where the packet ends there.
func (w *walker) pod(q facts.Question) bool {
	e, p := w.n.Sender, w.n.SenderPod
	if q.Endpoint == "" || e == nil {
		return true
	}
	w.open(kindOf(e) + e.Name)
	if e.State == "pending" {
		w.say(Step{Name: "endpoint", Text: "pending: " + e.Why, Origin: e.Origin})
		w.drop("endpoint "+e.Name+" is pending: "+e.Why, "delete the pod, so that the runtime makes it anew; or make the interface")
		return false
	}
	if p == nil || p.Err != "" {
		why := "its record names no network namespace"
		if p != nil {
			why = p.Err
		}
		w.say(Step{Name: "inside", Text: "not looked at: " + why, Origin: e.Origin})
		return true
	}
	return w.podRoute(e, p)
}

func (w *walker) podRoute(e *facts.Endpoint, p *facts.Pod) bool {
	const anew = "delete the pod, so that the runtime makes it anew"
	inPod := "nsenter --net=" + p.NetNS + " "
	l, d := &p.Lookup, p.Device
	if !d.Missing && d.Up && !d.Carrier {
		w.device("interface", d)
		if in := w.n.In; in != nil && !in.Missing && !in.Up {
			w.drop("the pod's host end "+in.Name+" is down", repair("ip link set "+in.Name+" up"))
		} else {
			w.drop(d.Name+" in the pod has no carrier: its host end "+e.Interface+" is gone or down", anew)
		}
		return false
	}
	w.route(l)
	switch {
	case d.Missing:
		w.drop("there is no "+d.Name+" in the pod", anew)
		return false
	case !d.Up:
		w.drop(d.Name+" in the pod is down", inPod+"ip link set "+d.Name+" up, or "+anew)
		return false
	case w.refusedByRule(l, w.packet.Dst, inPod):
		return false
	case l.Error != "":
		gw, v := "169.254.1.1", ""
		if w.packet.Dst.Is6() {
			gw, v = "fe80::ecee:eeff:feee:eeee", "-6 "
		}
		w.drop("the pod has no route to "+w.packet.Dst.String()+" ("+l.Words+")",
			fmt.Sprintf("%sip %sroute add default via %s dev %s onlink, or %s", inPod, v, gw, d.Name, anew))
		return false
	case l.Type == local:
		w.arrive(Delivered, "delivered to itself, in the pod")
		return false
	}
	w.device("interface", d)
	if l.Via.Dev != d.Name {
		w.warn("%s: the packet leaves the pod by %s, which plumb knows nothing of", w.hop.Place, l.Via.Dev)
	}
	if !d.Has(w.packet.Src) {
		w.say(Step{Name: "source", Text: w.packet.Src.String() + " is not an address of the pod", Mark: Odd})
	}
	w.mtu = d.MTU
	if l.MTU > 0 {
		w.mtu = min(w.mtu, l.MTU)
	}
	if w.packet.Size > w.mtu && w.mtu > 0 {
		w.drop(fmt.Sprintf("the packet of %d bytes is larger than the mtu %d of %s in the pod, which cannot send it whole", w.packet.Size, w.mtu, d.Name),
			"send less than that, or give pods a larger settings.mtu in the file, as far as all nodes' uplinks have it")
		return false
	}
	w.wire = &wire{place: w.hop.Place, dev: *d, to: p.Neighbour}
	nb := p.Neighbour
	if nb == nil {
		return true
	}
	w.neighbour(nb)
	if nb.Known() {
		return true
	}
	if v := facts.Of("net/ipv4/conf/%/proxy_arp", e.Interface); nb.Addr.Is4() && w.n.Sysctl[v] == "0" && w.n.Sysctl["net/ipv4/conf/all/proxy_arp"] == "0" {
		w.drop(fmt.Sprintf("nobody tells the pod the MAC address of its gateway %s: its permanent neighbour entry is gone, and proxy_arp is off on %s", nb.Addr, e.Interface),
			repair("sysctl -w net.ipv4.conf."+e.Interface+".proxy_arp=1")+"; and "+inPod+"ip neigh replace "+nb.Addr.String()+" lladdr "+state.HostEndMAC+" nud permanent dev "+d.Name)
		return false
	}
	why := fmt.Sprintf("nobody tells the pod the MAC address of its gateway %s (%s)", nb.Addr, nb.State)
	if nb.Addr.Is4() && nb.Addr.IsLinkLocalUnicast() {
		// arp_process, net/ipv4/arp.c: it answers for what it would forward.
		why += ": its permanent neighbour entry is gone, and proxy ARP answers only where the node has a route to that by another device, such as a default route"
	}
	w.drop(why,
		inPod+"ip neigh replace "+nb.Addr.String()+" lladdr "+state.HostEndMAC+" nud permanent dev "+d.Name)
	return false
}

// local is RTN_LOCAL (rtnetlink(7)).
const local state.RouteType = 2

// repair is the mend of what plumb itself keeps.
func repair(byHand string) string {
	return "`plumb apply` puts it right, and a running agent does so by itself (`plumb status`); by hand: " + byHand
}
