package trace

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/trace/facts"
)

// chain has a packet meet plumb's chains at a hook: the rules are read as nft(8)
// would read them. It gives false where it is dropped.
func (w *walker) chain(hook, in, out string, p facts.Packet) bool {
	f := &w.n.NFT
	if f.Err != "" {
		w.say(Step{Name: hook, Text: "not known: " + f.Err, Mark: Odd})
		return true
	}
	chains := slices.Clone(f.Chains)
	slices.SortStableFunc(chains, func(a, b state.Chain) int { return cmp.Compare(a.Priority, b.Priority) })
	for _, c := range chains {
		if c.Hook == hook && f.Table && !w.rules(c, reading{n: w.n, in: in, out: out, packet: p}) {
			return false
		}
	}
	w.foreign(hook)
	return true
}

// foreign names the chains of others that may drop what comes by.
func (w *walker) foreign(hook string) {
	for _, c := range w.n.NFT.Foreign {
		family := strings.Fields(c.Table)[0]
		if c.Hook != hook || c.Rules == 0 && c.Policy != "drop" || family == "ip" && w.packet.Dst.Is6() || family == "ip6" && w.packet.Dst.Is4() {
			continue
		}
		rules := fmt.Sprintf("%d rules", c.Rules)
		if c.Rules == 1 {
			rules = "1 rule"
		}
		text := fmt.Sprintf("not plumb's: chain %s %s, policy %s, %s; --live shows what becomes of a packet there", c.Table, c.Name, c.Policy, rules)
		w.say(Step{Name: hook, Text: text})
		if c.Type == "nat" && (hook == "prerouting" || hook == "output") && w.mayTranslate == "" {
			w.mayTranslate = fmt.Sprintf("chain %s %s of %s", c.Table, c.Name, w.n.Node)
		}
	}
}

// rules goes through one chain.
func (w *walker) rules(c state.Chain, r reading) bool {
	var not []string // why rules of the packet's family do not match
	for _, rule := range w.n.NFT.Rules {
		if rule.Chain != c.Name {
			continue
		}
		v := r.rule(rule.Expr)
		origin := w.n.NFT.Origins[rule.Key().ID]
		if v.unknown != "" {
			w.say(Step{Name: c.Hook, Text: fmt.Sprintf("not known what this rule does (%q): %s", v.unknown, rule.Expr), Mark: Odd})
			continue
		}
		if !v.matches {
			if v.why != "" && !slices.Contains(not, v.why) {
				not = append(not, v.why)
			}
			continue
		}
		because := joined(v.because)
		switch v.verdict {
		case "drop":
			w.say(Step{Name: c.Hook, Text: "drop: " + because, Origin: "rule " + rule.Expr})
			w.drop("nftables chain inet plumb "+c.Name+" drops it: "+because, w.dropMend(r))
			return false
		case "accept", "return":
			w.say(Step{Name: c.Hook, Text: v.verdict + ": " + because, Origin: origin})
			return true
		case "masquerade", "snat":
			if used := w.originOf(r.used); used != "" {
				origin = used
			}
			w.translate(v, because, origin)
			return true
		}
	}
	w.whyNot = strings.Join(not, "; ")
	if len(not) > 0 {
		text := "passes: "
		if c.Type == "nat" {
			text = "no masquerade: "
		}
		w.say(Step{Name: c.Hook, Text: text + w.whyNot, Origin: w.originOf(r.used)})
	}
	return true
}

// joined says in how many sets an address is not, once.
func joined(because []string) string {
	var out []string
	for _, b := range because {
		who, set, ok := strings.Cut(b, " is not in @")
		if n := len(out); ok && n > 0 && strings.HasPrefix(out[n-1], who+" is not in @") {
			out[n-1] += " or @" + set
			continue
		}
		out = append(out, b)
	}
	return strings.Join(out, ", ")
}

// dropMend knows plumb's own rules.
func (w *walker) dropMend(r reading) string {
	if strings.HasPrefix(r.in, state.HostEndPrefix) && !r.routedBack() {
		if rule := w.n.Back.Rule; rule != nil {
			return ruleMend(rule, w.packet.Src, "")
		}
		if e := w.n.Sender; e != nil && e.Interface != r.in {
			return fmt.Sprintf("%s is the address of %s: the pod has to send from its own", w.packet.Src, e.Name)
		}
		return "the pod has to send from one of its own addresses, or the endpoint has to be given this one"
	}
	if o := w.outer; o != nil || r.packet.DstPort != 0 {
		return "tunnelled packets are taken from nodes of the file alone: is the sender in it, with the address " + r.packet.Src.String() + "?"
	}
	return "see `nft list chain inet plumb` on " + w.n.Node
}

// translate changes the packet's source.
func (w *walker) translate(v verdict, because, origin string) {
	to := v.to
	if !to.IsValid() {
		to = w.masqueradeAddress()
	}
	text := v.verdict
	if to.IsValid() {
		text += " as " + to.String()
		if !w.translated {
			w.last = w.packet.Src
		}
		w.packet.Src = to
	}
	w.translated = true
	w.say(Step{Name: "postrouting", Text: text + ": " + because, Origin: origin})
}

// masqueradeAddress is the one that the kernel takes: of the device that the packet
// leaves by, in the next hop's subnet, else the first (inet_select_addr,
// net/ipv4/devinet.c; nf_nat_masquerade_ipv6).
func (w *walker) masqueradeAddress() netip.Addr {
	d := w.n.Out
	if d == nil {
		return netip.Addr{}
	}
	var first netip.Addr
	for _, p := range d.Addresses {
		a := p.Addr()
		if a.Is4() != w.packet.Dst.Is4() || a.IsLinkLocalUnicast() {
			continue
		}
		if p.Contains(w.n.Lookup.Via.Gateway) {
			return a
		}
		if !first.IsValid() {
			first = a
		}
	}
	return first
}

func (w *walker) originOf(elements []facts.Element) string {
	for _, e := range elements {
		if e.Origin != "" {
			return e.Origin
		}
	}
	return ""
}
