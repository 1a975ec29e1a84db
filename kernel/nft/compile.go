package nft

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Canonical gives rule text in its one canonical form, as Read gives it for a
// rule that was made from expr: what `nft -s list` prints. The text is that of a
// rule in an inet table, in words of nft(8), one space between words. The error
// says which word is not understood. Understood are
//
//	ip|ip6 saddr|daddr [!=] @SET|ADDRESS|PREFIX
//	ip protocol [!=] PROTOCOL
//	iifname|oifname [!=] "NAME"              "NAME*" for a prefix
//	meta nfproto [!=] ipv4|ipv6
//	meta l4proto [!=] PROTOCOL               tcp, udp, icmp, ipv6-icmp …, or a number
//	tcp|udp sport|dport [!=] PORT|LOW-HIGH
//	meta|ct mark [!=] 0x00000001
//	ct state STATE{,STATE}
//	ct status STATUS{,STATUS}
//	fib saddr|daddr|mark|iif|oif{ . …} oif missing|exists
//	fib saddr|daddr|mark|iif|oif{ . …} type [!=] local|unicast|…
//	counter
//	masquerade [to :PORT[-HIGH]] [fully-random|random|persistent{,…}]
//	snat ip|ip6 to ADDRESS[:PORT[-HIGH]] [flags]     [ADDRESS]:PORT for IPv6
//	accept|drop|return|jump CHAIN|goto CHAIN
//
// As with nft, ports to translate to need a match on the transport protocol
// before, and nothing may follow what ends the rule.
func Canonical(expr string) (string, error) {
	code, err := compile(expr)
	if err != nil {
		return "", fmt.Errorf("nftables: %w", err)
	}
	r := decodeRule(code)
	if !r.known {
		return "", fmt.Errorf("nftables: rule %q: would read back as %q", expr, r.text)
	}
	return r.text, nil
}

// compiler turns words into expressions, exactly those that nft(8) makes
// (`nft --debug=netlink`), so that a rule that an operator put back by hand is
// the wanted one.
type compiler struct {
	words   []string
	at      int
	out     []expr.Any
	nfproto byte // known from here on; 0: not
	l4proto int  // known from here on; -1: not
	done    bool // nothing may follow
}

// compile gives the list of expressions as NFTA_RULE_EXPRESSIONS holds it.
func compile(text string) ([]byte, error) {
	c := &compiler{words: strings.Fields(text), l4proto: -1}
	if len(c.words) == 0 {
		return nil, errors.New("rule is empty")
	}
	for c.at < len(c.words) {
		at := c.at
		err := c.statement()
		if err != nil {
			return nil, fmt.Errorf("rule %q: at %q: %w", text, strings.Join(c.words[at:min(c.at, len(c.words))], " "), err)
		}
	}
	return encodeExprs(c.out)
}

func (c *compiler) emit(e ...expr.Any) { c.out = append(c.out, e...) }

// next is the next word, or nothing at the end.
func (c *compiler) next() string {
	c.at++
	if c.at > len(c.words) {
		return ""
	}
	return c.words[c.at-1]
}

func (c *compiler) peek() string {
	if c.at >= len(c.words) {
		return ""
	}
	return c.words[c.at]
}

func (c *compiler) accept(word string) bool {
	if c.peek() != word {
		return false
	}
	c.at++
	return true
}

func (c *compiler) op() expr.CmpOp {
	if c.accept("!=") {
		return expr.CmpOpNeq
	}
	return expr.CmpOpEq
}

func (c *compiler) statement() error {
	w := c.next()
	if c.done {
		return errors.New("nothing may follow what ends a rule")
	}
	switch w {
	case "ip", "ip6":
		return c.network(w)
	case "meta":
		return c.meta()
	case "iifname":
		return c.ifname(expr.MetaKeyIIFNAME)
	case "oifname":
		return c.ifname(expr.MetaKeyOIFNAME)
	case "tcp", "udp":
		return c.port(w)
	case "ct":
		return c.ct()
	case "fib":
		return c.fib()
	case "counter":
		c.emit(&expr.Counter{})
		return nil
	case "masquerade":
		return c.masquerade()
	case "snat":
		return c.snat()
	case "accept", "drop", "return":
		n, _ := verdicts().number(w)
		return c.verdict(expr.VerdictKind(int32(n)), "")
	case "jump", "goto":
		kind := expr.VerdictJump
		if w == "goto" {
			kind = expr.VerdictGoto
		}
		chain := c.next()
		if !validName(chain) {
			return errors.New("want a chain's name")
		}
		return c.verdict(kind, chain)
	}
	return errors.New("not understood")
}

func (c *compiler) verdict(kind expr.VerdictKind, chain string) error {
	c.done = true
	c.emit(&expr.Verdict{Kind: kind, Chain: chain})
	return nil
}

// validName says whether s can be the name of a set or a chain. nft's names
// begin with a letter; those with "__" are the kernel's for anonymous sets.
func validName(s string) bool {
	if s == "" || len(s) >= unix.NFT_SET_MAXNAMELEN {
		return false
	}
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789/\\_.-", r)) {
			return false
		}
	}
	return true
}

func (c *compiler) meta() error {
	switch key := c.next(); key {
	case "nfproto":
		op := c.op()
		n, ok := families().number(c.next())
		if !ok {
			return errors.New("want ipv4 or ipv6")
		}
		return c.family(op, byte(n))
	case "l4proto":
		op := c.op()
		p, err := parseProtocol(c.next())
		if err != nil {
			return err
		}
		return c.transport(op, p)
	case "mark":
		return c.mark(&expr.Meta{Key: expr.MetaKeyMARK, Register: 1})
	case "iifname":
		return c.ifname(expr.MetaKeyIIFNAME)
	case "oifname":
		return c.ifname(expr.MetaKeyOIFNAME)
	}
	return errors.New("not understood")
}

func (c *compiler) family(op expr.CmpOp, family byte) error {
	if op == expr.CmpOpEq {
		if c.nfproto != 0 && c.nfproto != family {
			return errors.New("the rule is about the other family already")
		}
		c.nfproto = family
	}
	c.emit(&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: []byte{family}})
	return nil
}

// needFamily is the match on the family that `ip …` implies in an inet table.
func (c *compiler) needFamily(family byte) error {
	if c.nfproto == family {
		return nil
	}
	return c.family(expr.CmpOpEq, family)
}

func (c *compiler) transport(op expr.CmpOp, proto byte) error {
	c.emit(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: []byte{proto}})
	return c.setTransport(op, proto)
}

func (c *compiler) setTransport(op expr.CmpOp, proto byte) error {
	if op != expr.CmpOpEq {
		return nil
	}
	if c.l4proto >= 0 && c.l4proto != int(proto) {
		return errors.New("the rule is about another transport protocol already")
	}
	c.l4proto = int(proto)
	return nil
}

func (c *compiler) mark(load expr.Any) error {
	op := c.op()
	n, err := parseMark(c.next())
	if err != nil {
		return err
	}
	c.emit(load, &expr.Cmp{Op: op, Register: 1, Data: native32(n)})
	return nil
}

func (c *compiler) ct() error {
	switch c.next() {
	case "mark":
		return c.mark(&expr.Ct{Key: expr.CtKeyMARK, Register: 1})
	case "state":
		return c.ctBits(expr.CtKeySTATE, ctStates())
	case "status":
		return c.ctBits(expr.CtKeySTATUS, ctStatuses())
	}
	return errors.New("not understood")
}

// ctBits matches where any of the named bits is set.
func (c *compiler) ctBits(key expr.CtKey, names words) error {
	var bits uint32
	for s := range strings.SplitSeq(c.next(), ",") {
		bit, ok := names.number(s)
		if !ok {
			return fmt.Errorf("unknown state %q", s)
		}
		bits |= bit
	}
	zero := native32(0)
	c.emit(
		&expr.Ct{Key: key, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native32(bits), Xor: zero},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: zero})
	return nil
}

func (c *compiler) fib() error {
	var flags []string
	for {
		w := c.next()
		if _, ok := fibFlags().number(w); !ok || slices.Contains(flags, w) {
			return fmt.Errorf("unexpected %q", w)
		}
		flags = append(flags, w)
		if !c.accept(".") {
			break
		}
	}
	has := func(f string) bool { return slices.Contains(flags, f) }
	if has("saddr") == has("daddr") {
		return errors.New("want one of saddr and daddr")
	}
	f := &expr.Fib{
		Register:  1,
		FlagSADDR: has("saddr"), FlagDADDR: has("daddr"), FlagMARK: has("mark"), FlagIIF: has("iif"), FlagOIF: has("oif"),
	}
	switch c.next() {
	case "oif":
		f.ResultOIF, f.FlagPRESENT = true, true
		n, ok := presence().number(c.next())
		if !ok {
			return errors.New("want missing or exists")
		}
		c.emit(f, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{byte(n), 0, 0, 0}})
		return nil
	case "type":
		op := c.op()
		n, ok := addrTypes().number(c.next())
		if !ok {
			return errors.New("unknown type of address")
		}
		f.ResultADDRTYPE = true
		c.emit(f, &expr.Cmp{Op: op, Register: 1, Data: native32(n)})
		return nil
	}
	return errors.New("want oif or type")
}
