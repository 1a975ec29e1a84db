package trace

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/trace/facts"
)

// route says a route and where it comes from.
func (w *walker) route(l *facts.Lookup) {
	s := Step{Name: "route", Text: l.Text, Origin: l.Origin}
	if l.Error != "" {
		s.Text = l.Error + ": " + l.Words
		switch {
		case l.Rule != nil:
			s.Text = fmt.Sprintf("ip rule %d: %s  (%s)", l.Rule.Priority, l.Rule.Text, l.Error)
		case l.Text != "":
			s.Text = l.Text + "  (" + l.Error + ")"
		}
	}
	if l.Hops > 1 {
		s.Text += fmt.Sprintf("  (of these, for this packet: via %s dev %s)", l.Via.Gateway, l.Via.Dev)
	}
	if b := l.BGP; b != nil {
		s.Origin = "BGP " + b.Peer
		if b.Address.IsValid() {
			s.Origin += " (" + b.Address.String() + ")"
		}
		s.Origin += asPath(b.ASPath)
		if b.Stale {
			s.Origin += ", stale: the peer restarts"
		}
	}
	w.say(s)
}

func asPath(path []uint32) string {
	if len(path) == 0 {
		return ", AS path empty"
	}
	return ", AS path " + strings.Trim(fmt.Sprint(path), "[]")
}

// routed judges the kernel's answer. It gives false where the packet ends with it.
func (w *walker) routed() bool {
	n := w.n
	l := &n.Lookup
	w.route(l)
	if w.refusedByRule(l, w.packet.Dst, "") || w.refusedSource() {
		return false
	}
	if n.In != nil && l.Error == "EHOSTUNREACH" && l.Text == "" && !w.forwarding() {
		return false // the kernel answers so for what it may not forward
	}
	if l.Text != "" || l.Error != "EACCES" && l.Error != "EINVAL" { // else it is refused, and lacks no route
		w.asWanted()
	}
	if l.Error == "" {
		return true
	}
	e := n.Receiver
	place := "node " + n.Node
	switch {
	case w.uplinkDown():
	case l.Type == state.Blackhole && e != nil && e.State == "pending":
		w.drop(fmt.Sprintf("endpoint %s, which has %s, is pending: %s", e.Name, w.packet.Dst, e.Why), "make the interface, or delete the pod, so that the runtime makes it anew")
	case l.Type == state.Blackhole && e == nil && l.Proto == state.ProtoPlumb:
		w.drop(fmt.Sprintf("nobody has %s: the packet ends in the blackhole of the node's podCIDR %s", w.packet.Dst, l.Dst), "check the address; `plumb status` on "+n.Node+" lists who there is")
	case l.Text != "" && (l.Type == state.Blackhole || l.Error == "EACCES" || l.Error == "EHOSTUNREACH"):
		w.drop("the route is "+l.Text, remove(l))
	case l.Error == "ENETUNREACH", l.Error == "EHOSTUNREACH":
		w.drop(fmt.Sprintf("%s has no route to %s", place, w.packet.Dst), w.routeMend())
	default:
		w.drop("the kernel gives no route: "+l.Words, "`plumb status` on "+n.Node)
	}
	return false
}

// routeMend says whence a route to the destination should come.
func (w *walker) routeMend() string {
	if owner, ok := w.podCIDR(w.packet.Dst); ok {
		return "it is in a podCIDR of " + owner + ": `plumb status` here tells why there is no route to it"
	}
	if _, ok := w.pool(w.packet.Dst); ok {
		return "it is in a pool, but in no node's podCIDR: check the address"
	}
	return "it lies outside all pools: give the node a default route, or a route to it"
}

// refusedSource: the kernel drops what comes in from a source that it does not
// believe, by rp_filter (RFC 3704) or since no host could have it. Both are EINVAL,
// or EXDEV before Linux 6.14 (fib_validate_source, net/ipv4/fib_frontend.c).
func (w *walker) refusedSource() bool {
	n, l := w.n, &w.n.Lookup
	if n.In == nil || l.Error != "EXDEV" && l.Error != "EINVAL" || l.Text != "" {
		return false
	}
	dev := n.In.Name
	filter := max(n.Sysctl["net/ipv4/conf/all/rp_filter"], n.Sysctl[facts.Of("net/ipv4/conf/%/rp_filter", dev)])
	way := "there is no route back"
	if n.Back.Error == "" {
		way = "the route back is " + n.Back.Text
	}
	if n.Back.Rule != nil {
		way = fmt.Sprintf("ip rule %d (%s) refuses the way back", n.Back.Rule.Priority, n.Back.Rule.Text)
	}
	switch {
	case filter <= "0" || filter == "1" && n.Back.Error == "" && n.Back.Via.Dev == dev:
		w.drop(fmt.Sprintf("the kernel takes the packet from %s to %s for a martian", w.packet.Src, w.packet.Dst),
			"neither may be the node's own address, loopback or multicast here; sysctl net.ipv4.conf.all.log_martians=1 logs such packets")
	case n.Back.Rule != nil:
		w.drop(fmt.Sprintf("rp_filter of %s drops packets from %s: %s", dev, w.packet.Src, way), ruleMend(n.Back.Rule, w.packet.Src, ""))
	case strings.HasPrefix(dev, state.HostEndPrefix):
		w.drop(fmt.Sprintf("rp_filter of %s drops packets from %s: %s", dev, w.packet.Src, way), "the pod has to send from its own address")
	default:
		w.drop(fmt.Sprintf("rp_filter of %s drops packets from %s: %s", dev, w.packet.Src, way),
			fmt.Sprintf("mend the route back to %s, or: sysctl -w net.ipv4.conf.%s.rp_filter=2 (loose; the larger of this and of all counts)", w.packet.Src, dev))
	}
	return true
}

// refusedByRule: a policy rule ends the packet before any table is looked into. Plumb
// makes none.
func (w *walker) refusedByRule(l *facts.Lookup, dst netip.Addr, within string) bool {
	if l.Rule == nil {
		return false
	}
	w.drop(fmt.Sprintf("ip rule %d refuses the packet: %s", l.Rule.Priority, l.Rule.Text), ruleMend(l.Rule, dst, within))
	return true
}

// ruleMend is how to delete a rule, within a pod's namespace where that is given.
func ruleMend(r *facts.Rule, like netip.Addr, within string) string {
	v := ""
	if like.Is6() {
		v = "-6 "
	}
	return fmt.Sprintf("if it should not: %sip %srule del pref %d %s", within, v, r.Priority, r.Text)
}

// asWanted compares the kernel's route with the one that plumb wants.
func (w *walker) asWanted() {
	l, want := &w.n.Lookup, w.n.Want
	if l.Type == local {
		return
	}
	if want == nil {
		w.nothingWanted()
		return
	}
	ours := l.Proto == state.ProtoPlumb || l.Proto == state.ProtoBGP
	should := want.Text + " (" + want.Origin + ")"
	longer := l.Dst.IsValid() && l.Dst.Bits() > want.Route.Dst.Bits()
	switch {
	case l.Dst == want.Route.Dst && ours:
		if want.Route.Type == state.Unicast && l.Error == "" && l.Hops == 0 && !sameHop(l.Via, want.Route.NextHop) {
			w.suspect("the kernel has "+l.Text+" in place of plumb's "+should, repair(replace(want.Route)))
		}
	case ours && longer, longer && l.Proto == protoKernel:
	case longer, l.Dst == want.Route.Dst:
		w.suspect("another's route, "+l.Text+", is in the way of plumb's "+should, remove(l)+"; plumb leaves it, since it is not plumb's")
	default:
		why := "plumb's " + should + " is missing in the kernel"
		if want.Trouble != "" {
			why += ": " + want.Trouble
		}
		if !w.deviceDown(want.Route.Dev) {
			w.suspect(why, repair(replace(want.Route)))
		}
	}
}

// deviceDown: routes go with their device.
func (w *walker) deviceDown(dev string) bool {
	for i := range w.n.Uplinks {
		if d := &w.n.Uplinks[i]; d.Name == dev && !d.Up {
			w.suspect("uplink "+dev+" is down, and its routes are gone with it", "ip link set "+dev+" up")
			return true
		}
	}
	return false
}

// uplinkDown: without its uplink the node has no routes to others.
func (w *walker) uplinkDown() bool {
	for i := range w.n.Uplinks {
		if d := &w.n.Uplinks[i]; !d.Up && w.n.Lookup.Error == "ENETUNREACH" {
			w.drop("uplink "+d.Name+" is down, and its routes are gone with it", "ip link set "+d.Name+" up")
			return true
		}
	}
	return false
}

// nothingWanted: plumb has no route to what is another node's podCIDR.
func (w *walker) nothingWanted() {
	owner, ok := w.podCIDR(w.packet.Dst)
	l := &w.n.Lookup
	if !ok || l.Proto == state.ProtoBGP || l.Dst.Bits() > 0 {
		return
	}
	for i := range w.file.Pools {
		p := &w.file.Pools[i]
		if !p.CIDR.Contains(w.packet.Dst) {
			continue
		}
		why := fmt.Sprintf("plumb has no route to %s's podCIDR with %s", owner, w.packet.Dst)
		if p.Reachability == "bgp" {
			w.notLearned(why)
			return
		}
		if !w.anyUplinkDown() {
			w.suspect(why, "`plumb validate`, and `plumb render --node "+w.n.Node+"`, say why (a warning)")
		}
		return
	}
}

// notLearned: the pool's routes come by BGP, and this one did not.
func (w *walker) notLearned(why string) {
	why += ", and learned none by BGP"
	var down []string
	for _, s := range w.n.Sessions {
		if s.State != "established" {
			down = append(down, strings.TrimSuffix(fmt.Sprintf("%s (%s) is %s: %s", s.Name, s.Address, s.State, s.Error), ": "))
		}
	}
	mend := "`plumb bgp routes " + w.packet.Dst.String() + "` on " + w.n.Node + " shows what came; do its peers announce it, and do the import filters take it?"
	if len(down) > 0 {
		why += "; peer " + strings.Join(down, ", peer ")
		mend = "`plumb bgp peers` on " + w.n.Node + ", and look at the peer: is it up, does it expect this node's address, AS and password?"
	}
	w.suspect(why, mend)
}

func (w *walker) anyUplinkDown() bool {
	for i := range w.n.Uplinks {
		if w.deviceDown(w.n.Uplinks[i].Name) {
			return true
		}
	}
	return false
}

// sameHop: what is rendered away from the node names no device.
func sameHop(have, want state.NextHop) bool {
	return have.Gateway == want.Gateway && (want.Dev == "" || have.Dev == want.Dev)
}

// protoKernel is RTPROT_KERNEL: routes that come with an address.
const protoKernel = 2

// replace is the command that makes a route, as ip(8) takes it everywhere.
func replace(r state.Route) string {
	return "ip " + strings.TrimSpace(render.IP([]state.Object{r}))
}

// words are the route's, without the name of the kind.
func words(text string) string { return strings.TrimPrefix(text, "route ") }

// remove is how to delete a foreign route: with its protocol, so that no other goes.
func remove(l *facts.Lookup) string {
	v := ""
	if l.Dst.Addr().Is6() {
		v = "-6 "
	}
	t := ""
	if l.Table != 0 && l.Table != state.TableMain {
		t = fmt.Sprintf(" table %d", l.Table)
	}
	typ := ""
	if l.Type != state.Unicast {
		typ, _, _ = strings.Cut(l.Text, " ")
		typ += " "
	}
	return fmt.Sprintf("ip %sroute del %s%s proto %d%s", v, typ, prefix(l.Dst), l.Proto, t)
}

func prefix(p netip.Prefix) string {
	if p.Bits() == 0 {
		return "default"
	}
	return p.String()
}
