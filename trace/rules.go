package trace

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/plumbnet/plumb/trace/facts"
)

// reading is a packet at a hook, for which rules are read.
type reading struct {
	n       *facts.Node
	in, out string
	packet  facts.Packet
	used    []facts.Element // that conditions found
}

// verdict is what a rule does with the packet.
type verdict struct {
	matches bool
	because []string   // the conditions, in words
	why     string     // the first condition that does not hold; empty where it is not worth saying
	verdict string     // accept, drop, return, masquerade, snat; empty: the packet goes on to the next rule
	to      netip.Addr // of snat
	unknown string     // the word that is not known
}

// rule reads a rule in the form in which the kernel's rules are printed.
func (r *reading) rule(expr string) verdict {
	t := tokens(expr)
	v := verdict{matches: true}
	for len(t) > 0 {
		holds, because, n := r.condition(t)
		if n == 0 || n > len(t) {
			return r.final(t, v)
		}
		if !holds {
			return verdict{why: because}
		}
		if because != "" {
			v.because = append(v.because, because)
		}
		t = t[n:]
	}
	return v
}

// final reads the statement that ends a rule.
func (r *reading) final(t []string, v verdict) verdict {
	switch t[0] {
	case "accept", "drop", "return", "masquerade":
		v.verdict = t[0]
	case "snat":
		v.verdict = t[0]
		for i, word := range t {
			if word == "to" && i+1 < len(t) {
				host := t[i+1]
				if ap, err := netip.ParseAddrPort(strings.SplitN(host, "-", 2)[0]); err == nil {
					v.to = ap.Addr()
				} else {
					v.to, _ = netip.ParseAddr(host)
				}
			}
		}
	default:
		v.unknown = t[0]
	}
	return v
}

// condition reads one condition at the head of t, of n words; n is 0 where there is
// none, or one that is not known.
func (r *reading) condition(t []string) (holds bool, because string, n int) {
	word := func(i int) string {
		if i < len(t) {
			return t[i]
		}
		return ""
	}
	switch t[0] {
	case "iifname", "oifname":
		not, n := negated(t, 1)
		dev := r.in
		if t[0] == "oifname" {
			dev = r.out
		}
		return glob(strings.Trim(word(n), `"`), dev) != not, "", n + 1
	case "ip", "ip6":
		return r.network(t)
	case "fib":
		return r.fib(t)
	case "meta":
		if word(1) == "l4proto" {
			not, n := negated(t, 2)
			return (word(n) == r.packet.Proto) != not, "", n + 1
		}
		if word(1) == "nfproto" {
			not, n := negated(t, 2)
			return ((word(n) == "ipv4") == r.packet.Dst.Is4()) != not, "", n + 1
		}
	case "ct":
		// A destination that others translate is not followed (mayTranslate).
		if word(1) == "status" && word(2) == "dnat" {
			return false, "", 3
		}
	case "udp", "tcp":
		if word(1) != "dport" && word(1) != "sport" {
			return false, "", 0
		}
		not, n := negated(t, 2)
		port := r.packet.DstPort
		if word(1) == "sport" {
			port = r.packet.SrcPort
		}
		low, high, ok := ports(word(n))
		if !ok {
			return false, "", 0
		}
		in := low <= port && port <= high
		if r.packet.Proto != t[0] {
			return false, "", n + 1
		}
		return in != not, fmt.Sprintf("%s port %d", t[0], port), n + 1
	}
	return false, "", 0
}

// network: ip saddr, ip daddr and ip protocol.
func (r *reading) network(t []string) (holds bool, because string, n int) {
	if len(t) < 3 {
		return false, "", 0
	}
	family := (t[0] == "ip") == r.packet.Dst.Is4()
	not, n := negated(t, 2)
	if n >= len(t) {
		return false, "", 0
	}
	var a netip.Addr
	switch t[1] {
	case "saddr":
		a = r.packet.Src
	case "daddr":
		a = r.packet.Dst
	case "protocol":
		number := map[string]string{"ipip": "4", "tcp": "6", "udp": "17", "icmp": "1"}[r.packet.Proto]
		return family && (t[n] == number || t[n] == r.packet.Proto) != not, "protocol " + r.packet.Proto, n + 1
	default:
		return false, "", 0
	}
	if !family {
		return false, "", n + 1
	}
	if set, ok := strings.CutPrefix(t[n], "@"); ok {
		in, text := r.inSet(set, a)
		return in != not, text, n + 1
	}
	p, err := netip.ParsePrefix(t[n])
	if err != nil {
		one, err := netip.ParseAddr(t[n])
		if err != nil {
			return false, "", 0
		}
		p = netip.PrefixFrom(one, one.BitLen())
	}
	text := a.String() + " is in " + p.String()
	if !p.Contains(a) {
		text = a.String() + " is not in " + p.String()
	}
	return p.Contains(a) != not, text, n + 1
}

func (r *reading) inSet(set string, a netip.Addr) (bool, string) {
	for _, e := range r.n.NFT.Elements {
		if e.Set == set && a.BitLen() == e.From.BitLen() && e.From.Compare(a) <= 0 && a.Compare(e.To) <= 0 {
			r.used = append(r.used, e)
			return true, fmt.Sprintf("%s is in @%s (%s)", a, set, e.Range())
		}
	}
	return false, fmt.Sprintf("%s is not in @%s", a, set)
}

// fib: what the kernel's routes say of an address (nft(8), FIB expressions).
func (r *reading) fib(t []string) (holds bool, because string, n int) {
	rest := strings.Join(t[1:], " ")
	has := func(s string) bool { return rest == s || strings.HasPrefix(rest, s+" ") }
	switch {
	case has("saddr . iif oif missing"):
		if r.routedBack() {
			return false, fmt.Sprintf("%s is routed back to %s", r.packet.Src, r.in), 6
		}
		way := "there is no route back to it"
		if rule := r.n.Back.Rule; rule != nil {
			way = fmt.Sprintf("ip rule %d refuses the way back: %s", rule.Priority, rule.Text)
		} else if r.n.Back.Text != "" {
			way = "the route back to it is " + r.n.Back.Text
		}
		return true, fmt.Sprintf("source %s is not routed back to %s: %s", r.packet.Src, r.in, way), 6
	case has("saddr type local"):
		return r.n.Local, localText(r.packet.Src, "this node", r.n.Local), 4
	case has("saddr type != local"):
		return !r.n.Local, localText(r.packet.Src, "this node", r.n.Local), 5
	case has("saddr . oif type != local"):
		on := r.n.Out != nil && r.n.Out.Has(r.packet.Src)
		return !on, localText(r.packet.Src, r.out, on), 7
	}
	return false, "", 0
}

func localText(a netip.Addr, of string, is bool) string {
	if is {
		return fmt.Sprintf("%s is an address of %s", a, of)
	}
	return fmt.Sprintf("%s is no address of %s", a, of)
}

// routedBack says whether the route to the source leads to where it came in.
func (r *reading) routedBack() bool {
	return r.n.Back.Error == "" && r.n.Back.Via.Dev == r.in
}

// negated reads an optional != (or ==) at t[i], and gives where the value is.
func negated(t []string, i int) (not bool, value int) {
	if i < len(t) && (t[i] == "!=" || t[i] == "==") {
		return t[i] == "!=", i + 1
	}
	return false, i
}

func glob(pattern, name string) bool {
	if p, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, p)
	}
	return pattern == name
}

func ports(s string) (low, high uint16, ok bool) {
	from, to, ranged := strings.Cut(s, "-")
	if !ranged {
		to = from
	}
	a, err1 := strconv.ParseUint(from, 10, 16)
	b, err2 := strconv.ParseUint(to, 10, 16)
	return uint16(a), uint16(b), err1 == nil && err2 == nil
}

// tokens splits a rule into words; what is in quotes is one.
func tokens(s string) []string {
	var out []string
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		end := strings.IndexByte(s, ' ')
		if s[0] == '"' {
			if i := strings.IndexByte(s[1:], '"'); i >= 0 {
				end = i + 2
			}
		}
		if end < 0 || end >= len(s) {
			return append(out, s)
		}
		out = append(out, s[:end])
		s = s[end:]
	}
	return out
}
