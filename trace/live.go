package trace

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/plumbnet/plumb/trace/facts"
)

// Nodes are the nodes that the packet, and the answer to it, came by, and that could
// be asked, in order and each once.
func (t *Trace) Nodes() []string {
	var out []string
	ways := []*Trace{t}
	if t.Answer != nil {
		ways = append(ways, t.Answer)
	}
	for _, way := range ways {
		for _, h := range way.Hops {
			if h.Facts != nil && h.Facts.NotAsked == "" && !slices.Contains(out, h.Facts.Node) {
				out = append(out, h.Facts.Node)
			}
		}
	}
	return out
}

// Alike are the packets to be watched for: the probe as it starts, and as it is once
// its source was translated, and the answers to both.
func (t *Trace) Alike() []facts.Packet {
	p := t.Packet
	p.Size, p.SrcPort = 0, 0
	out := []facts.Packet{p, p.Back()}
	if a := t.Arrives.Src; a.IsValid() && a != p.Src {
		p.Src = a
		out = append(out, p, p.Back())
	}
	return out
}

// Probe is a real packet that was sent.
type Probe struct {
	facts.Sent
	Err   string    `json:"error,omitempty"` // why it could not be sent
	Nodes []Watched `json:"nodes"`           // what nftables did with it
}

// Watched is what was seen on a node.
type Watched struct {
	Node string       `json:"node"`
	Seen []facts.Seen `json:"seen"`
	Err  string       `json:"error,omitempty"`
}

// Compare holds what happened to a real probe against what the trace foretold. What
// happened counts.
func (t *Trace) Compare(p Probe) {
	t.Probe = &p
	last := ""
	moved, to := t.redirected(p)
	t.Warnings = slices.DeleteFunc(t.Warnings, func(s string) bool { return p.Err == "" && strings.HasSuffix(s, liveShows) })
	for _, w := range p.Nodes {
		if w.Err != "" {
			t.Warnings = append(t.Warnings, "node "+w.Node+": nftables could not be watched: "+w.Err)
		}
		if len(w.Seen) > 0 {
			last = w.Node
		}
		for _, s := range w.Seen {
			if s.Verdict == "drop" {
				t.dropped(w.Node, s)
				return
			}
		}
	}
	switch {
	case p.Err != "": // nothing happened
	case p.Blocked:
		t.blocked("the sender's own netfilter drops the probe")
	case !t.OK():
		if p.Answered {
			t.Warnings = append(t.Warnings, "yet the probe was answered: "+p.Text)
		}
	case p.Answered && moved != "":
		t.Outcome, t.Summary = Delivered, "delivered to "+to+": "+moved+"; probe: "+p.Text
	case p.Answered:
		t.passedOn()
		t.Summary += "; probe: " + p.Text
	case t.Packet.Proto == "udp":
		t.Summary += "; probe: " + p.Text
	case t.staysInside(p):
		t.blocked(p.Text + "; its node saw nothing of it, so it does not leave the pod")
	default:
		where := "nftables saw it nowhere (a node without chains shows nothing)"
		if last != "" {
			where = "nftables dropped it nowhere, and saw it last on node " + last
		}
		t.Outcome = Unanswered
		t.Fault = &Fault{
			Place: "probe", Why: p.Text + "; " + where,
			Mend: "look beyond the nodes: does the destination answer " + proto(t.Packet) + ", and does its answer come back?",
		}
		if len(t.Routers) > 0 {
			t.Fault.Mend = fmt.Sprintf("look at router %s, which plumb cannot look into: has it a route to %s, and one back to %s?", t.routers(), t.Packet.Dst, t.Packet.Src)
		}
		if moved != "" {
			t.Fault.Why, t.Fault.Mend = t.Fault.Why+"; it goes to "+to+": "+moved, "follow it there"
		}
		t.Summary = "unanswered: " + t.Fault.Why
	}
}

// passedOn leaves no doubt of routers where the probe was answered.
func (t *Trace) passedOn() {
	for way := t; way != nil; way = way.Answer {
		t.Summary = strings.Replace(t.Summary, way.ifRouters(), "", 1)
	}
}

// liveShows ends the warnings that a probe makes needless.
const liveShows = "--live shows it"

// redirected says who gave the probe another destination, as kube-proxy does with
// services' addresses; the empty string where nobody did.
func (t *Trace) redirected(p Probe) (how, to string) {
	for _, w := range p.Nodes {
		accepted := map[uint32]facts.Seen{} // the last rule that accepted a packet
		ours := map[uint32]bool{}
		for _, s := range w.Seen {
			switch {
			case s.Dst == t.Packet.Dst && (s.Src == t.Packet.Src || !t.Packet.Src.IsValid()):
				ours[s.ID] = true
				if s.Type == "rule" && s.Verdict == "accept" {
					accepted[s.ID] = s
				}
			case ours[s.ID] && s.Dst != t.Packet.Dst:
				by := "somebody"
				if a, ok := accepted[s.ID]; ok {
					by = "chain " + a.Table + " " + a.Chain
				}
				return fmt.Sprintf("%s of %s sends it there (`plumb trace %s %s` follows it)", by, w.Node, t.From, s.Dst), s.Dst.String()
			}
		}
	}
	return "", ""
}

// blocked: the probe did not come as far as to the chains that are watched. Those of a pod
// are not, and iptables in its legacy form is none of nftables.
func (t *Trace) blocked(why string) {
	place, within := "probe", ""
	if len(t.Hops) > 0 {
		place = t.Hops[0].Place
	}
	if n := t.first(); n != nil && n.SenderPod != nil {
		within = "nsenter --net=" + n.SenderPod.NetNS + " "
	}
	t.Outcome = Dropped
	t.Fault = &Fault{Place: place, Why: why, Mend: fmt.Sprintf("look for its rule in a chain at the hook output or postrouting: %[1]snft -a list ruleset; %[1]siptables-legacy-save", within)}
	t.Summary = "dropped " + at(place) + ": " + why
}

// first is what the sender's node answered.
func (t *Trace) first() *facts.Node {
	for _, h := range t.Hops {
		if h.Facts != nil {
			return h.Facts
		}
	}
	return nil
}

// staysInside says whether a pod's probe was not seen by its own node, whose chains plumb
// has: then it did not leave the pod. Of TCP the sender is told nothing (tcp_connect).
func (t *Trace) staysInside(p Probe) bool {
	n := t.first()
	if n == nil || n.SenderPod == nil || !n.NFT.Table || len(p.Nodes) == 0 {
		return false
	}
	return !slices.ContainsFunc(p.Nodes, func(w Watched) bool { return w.Err != "" || len(w.Seen) > 0 })
}

func (t *Trace) dropped(node string, s facts.Seen) {
	what := fmt.Sprintf("nftables chain %s %s drops the probe", s.Table, s.Chain)
	mend := fmt.Sprintf("`nft -a list chain %s %s` on %s shows it", s.Table, s.Chain, node)
	switch s.Type {
	case "policy":
		what += ": its policy is drop"
		mend = fmt.Sprintf("let it through there: nft add rule %s %s ip daddr %s accept", s.Table, s.Chain, t.Packet.Dst)
		if t.Packet.Dst.Is6() {
			mend = strings.Replace(mend, "ip daddr", "ip6 daddr", 1)
		}
	default:
		if s.Rule != "" {
			what += ": " + plain(s.Rule)
		}
		if s.Table != "inet plumb" {
			mend = fmt.Sprintf("if it should not: nft delete rule %s %s handle %d, or put an accept before it", s.Table, s.Chain, s.Handle)
		} else if t.Fault != nil {
			mend = t.Fault.Mend
		}
	}
	t.Outcome = Dropped
	t.Fault = &Fault{Place: "node " + node, Why: what, Mend: mend}
	t.Summary = "dropped at node " + node + ": " + what
}

// steps prints what was seen, one line for each thing met.
func (p *Probe) steps(b *strings.Builder, paint Paint) {
	b.WriteString("\n" + paint(Place, "probe") + "\n")
	b.WriteString("  " + paint(Name, pad("sent", nameWidth)) + p.Text + "\n")
	if p.Err != "" {
		return
	}
	for _, w := range p.Nodes {
		b.WriteString("\n" + paint(Place, "node "+w.Node+", as nftables saw it") + "\n")
		if len(w.Seen) == 0 {
			b.WriteString("  nothing\n")
		}
		said := map[string]bool{} // the packets of one connection meet the same
		ends, chains := 0, 0
		for _, s := range w.Seen {
			ends = max(ends, len(between(s))+2)
			chains = max(chains, len(s.Table+s.Chain)+3)
		}
		for _, s := range w.Seen {
			if s.Verdict == "continue" && s.Rule == "" {
				continue // the beginning of a chain, or its end
			}
			text := plain(s.Rule)
			if s.Type != "rule" {
				text = s.Type
			}
			sign, colour := " ", Name
			if s.Verdict == "drop" {
				sign, colour = "x", Fail
			}
			way := strings.TrimSpace(in("iif ", s.In) + in(" oif ", s.Out))
			line := fmt.Sprintf("%s %s%s%s: %s", sign, pad(between(s), ends), pad(s.Table+" "+s.Chain, chains), s.Verdict, text)
			if said[line+way] {
				continue
			}
			said[line+way] = true
			b.WriteString(paint(colour, line))
			if way != "" {
				b.WriteString("  " + paint(Source, way))
			}
			b.WriteByte('\n')
		}
	}
}

// raw is what plumb cannot read of another owner's rule: [name type=value …].
var raw = regexp.MustCompile(`\[(\w+)((?: \d+=(?:[0-9a-f]+|"[^"]*"))*)\]`)

// plain leaves the values away: with them it is in the JSON, and in nft's own words by
// the rule's handle. A few expressions need none to be understood.
func plain(rule string) string {
	return raw.ReplaceAllStringFunc(rule, func(s string) string {
		name := raw.FindStringSubmatch(s)[1]
		switch name {
		case "reject", "counter", "log":
			return name
		case "nat":
			return "[dnat or snat]"
		}
		return "[" + name + "]"
	})
}

func between(s facts.Seen) string { return s.Src.String() + " > " + s.Dst.String() }

func in(word, dev string) string {
	if dev == "" {
		return ""
	}
	return word + dev
}
