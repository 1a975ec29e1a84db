package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// ruleText is a rule's text.
type ruleText struct {
	text  string
	known bool     // text compiles to exactly the rule
	refs  []string // sets ("@NAME"), objects and chains that the rule refers to
}

// decodeRule turns the expressions of a rule, as NFTA_RULE_EXPRESSIONS holds
// them, into text. It never fails: what it does not know is in the text, in
// brackets, and so is the whole rule where the text would compile to another one.
func decodeRule(code []byte) ruleText {
	exprs, err := parseExprs(code)
	if err != nil {
		return ruleText{text: fmt.Sprintf("[unreadable %x]", code)}
	}
	r := ruleText{text: textOf(exprs), refs: references(exprs)}
	// The decompiler looks at what it prints, not at registers and the like;
	// compiling the text again shows whether there is more to the rule.
	if ours, err := compile(r.text); err == nil {
		back, err := parseExprs(ours)
		r.known = err == nil && sameExprs(exprs, back)
	}
	if !r.known {
		r.text = placeholder(r.text, exprs)
	}
	return r
}

// textOf is the expressions in the words of nft(8); what it does not know it puts in
// brackets.
func textOf(exprs []rawExpr) string {
	d := &decompiler{in: exprs, l4proto: -1}
	for d.at < len(d.in) {
		words, n := d.statement()
		if n == 0 {
			words, n = d.in[d.at].String(), 1
		}
		if words != "" {
			d.words = append(d.words, words)
		}
		d.at += n
	}
	return strings.Join(d.words, " ")
}

// placeholder is text with all that it does not say.
func placeholder(text string, exprs []rawExpr) string {
	all := make([]string, len(exprs))
	for i, e := range exprs {
		all[i] = e.String()
	}
	raw := strings.Join(all, " ")
	if text == raw {
		return "[] " + raw
	}
	return "[" + text + "] " + raw
}

func references(exprs []rawExpr) []string {
	var refs []string
	for _, e := range exprs {
		switch e.name {
		case "lookup":
			refs = append(refs, "@"+e.data.str(unix.NFTA_LOOKUP_SET))
		case "dynset":
			refs = append(refs, "@"+e.data.str(unix.NFTA_DYNSET_SET_NAME))
		case "objref":
			refs = append(refs, "@"+e.data.str(nftaObjrefSetName), e.data.str(nftaObjrefImmName))
		}
		if _, chain, ok := e.verdict(); ok && chain != "" {
			refs = append(refs, chain)
		}
	}
	return refs
}

// Of enum nft_objref_attributes, include/uapi/linux/netfilter/nf_tables.h.
const (
	nftaObjrefImmName = 2
	nftaObjrefSetName = 4
)

type decompiler struct {
	in      []rawExpr
	at      int
	words   []string
	nfproto byte // what the compiler would know here
	l4proto int
}

// peek is the expression n after the current one; one without name at the end.
func (d *decompiler) peek(n int) rawExpr {
	if d.at+n >= len(d.in) {
		return rawExpr{}
	}
	return d.in[d.at+n]
}

// cmp is the expression n after the current one as a comparison for (in)equality.
func (d *decompiler) cmp(n int) (op string, data []byte, ok bool) {
	e := d.peek(n)
	if e.name != "cmp" {
		return "", nil, false
	}
	data = e.value(unix.NFTA_CMP_DATA)
	switch expr.CmpOp(e.data.u32(unix.NFTA_CMP_OP)) {
	case expr.CmpOpEq:
		return "", data, len(data) > 0
	case expr.CmpOpNeq:
		return "!= ", data, len(data) > 0
	}
	return "", nil, false
}

// statement prints what begins at the current expression and says how many
// expressions it is made of; 0: it is not known. No words where the following
// statement implies it.
func (d *decompiler) statement() (words string, n int) {
	e := d.peek(0)
	switch e.name {
	case "meta":
		return d.meta(e)
	case "payload":
		switch expr.PayloadBase(e.data.u32(unix.NFTA_PAYLOAD_BASE)) {
		case expr.PayloadBaseNetworkHeader:
			return d.network(e)
		case expr.PayloadBaseTransportHeader:
			return d.transport(e)
		}
	case "ct":
		return d.ct(e)
	case "fib":
		return d.fib(e)
	case "counter":
		return "counter", 1
	case "masq", "immediate":
		return d.final()
	}
	return "", 0
}

func (d *decompiler) meta(e rawExpr) (string, int) {
	op, data, ok := d.cmp(1)
	if !ok {
		return "", 0
	}
	key := expr.MetaKey(e.data.u32(unix.NFTA_META_KEY))
	switch {
	case key == expr.MetaKeyIIFNAME:
		return ifnameText("iifname ", op, data)
	case key == expr.MetaKeyOIFNAME:
		return ifnameText("oifname ", op, data)
	case key == expr.MetaKeyMARK:
		return markText("meta mark ", op, data)
	case key == expr.MetaKeyNFPROTO && len(data) == 1:
		name, ok := families().name(uint32(data[0]))
		if !ok {
			return "", 0
		}
		known := d.nfproto == data[0]
		if op == "" {
			d.nfproto = data[0]
		}
		if next := d.peek(2); op == "" && !known && next.name == "payload" &&
			expr.PayloadBase(next.data.u32(unix.NFTA_PAYLOAD_BASE)) == expr.PayloadBaseNetworkHeader {
			return "", 2
		}
		return "meta nfproto " + op + name, 2
	case key == expr.MetaKeyL4PROTO && len(data) == 1:
		known := d.l4proto == int(data[0])
		if op == "" {
			d.l4proto = int(data[0])
		}
		if next := d.peek(2); op == "" && !known && next.name == "payload" && (data[0] == unix.IPPROTO_TCP || data[0] == unix.IPPROTO_UDP) &&
			expr.PayloadBase(next.data.u32(unix.NFTA_PAYLOAD_BASE)) == expr.PayloadBaseTransportHeader {
			return "", 2
		}
		return "meta l4proto " + op + protocolName(data[0]), 2
	}
	return "", 0
}

func ifnameText(what, op string, data []byte) (string, int) {
	name := cstring(data)
	if len(name) == len(data) {
		name += "*"
	}
	return what + op + `"` + name + `"`, 2 * isWord(name)
}

func markText(what, op string, data []byte) (string, int) {
	if len(data) != 4 {
		return "", 0
	}
	return fmt.Sprintf("%s%s0x%08x", what, op, binary.NativeEndian.Uint32(data)), 2
}

func (d *decompiler) ct(e rawExpr) (string, int) {
	op, data, ok := d.cmp(1)
	switch key := expr.CtKey(e.data.u32(unix.NFTA_CT_KEY)); {
	case key == expr.CtKeyMARK && ok:
		return markText("ct mark ", op, data)
	case key == expr.CtKeySTATE:
		return d.ctBits("ct state ", ctStates())
	case key == expr.CtKeySTATUS:
		return d.ctBits("ct status ", ctStatuses())
	}
	return "", 0
}

func (d *decompiler) ctBits(what string, known words) (string, int) {
	mask := d.peek(1).value(unix.NFTA_BITWISE_MASK)
	if op, _, ok := d.cmp(2); d.peek(1).name != "bitwise" || !ok || op == "" || len(mask) != 4 {
		return "", 0
	}
	bits := binary.NativeEndian.Uint32(mask)
	var names []string
	for _, s := range known {
		if bits&s.n != 0 {
			names = append(names, s.name)
		}
	}
	return what + strings.Join(names, ","), 3
}

func (d *decompiler) fib(e rawExpr) (string, int) {
	flags := e.data.u32(unix.NFTA_FIB_FLAGS)
	var names []string
	for _, f := range fibFlags() {
		if flags&f.n != 0 {
			names = append(names, f.name)
		}
	}
	op, data, ok := d.cmp(1)
	if !ok {
		return "", 0
	}
	text := "fib " + strings.Join(names, " . ")
	switch e.data.u32(unix.NFTA_FIB_RESULT) {
	case unix.NFT_FIB_RESULT_OIF:
		if name, ok := presence().name(uint32(data[0])); op == "" && ok {
			return text + " oif " + name, 2
		}
	case unix.NFT_FIB_RESULT_ADDRTYPE:
		if len(data) == 4 {
			if name, ok := addrTypes().name(binary.NativeEndian.Uint32(data)); ok {
				return text + " type " + op + name, 2
			}
		}
	}
	return "", 0
}

func (d *decompiler) network(e rawExpr) (string, int) {
	family, h := "ip ", headerOf("ip")
	if d.nfproto == unix.NFPROTO_IPV6 {
		family, h = "ip6 ", headerOf("ip6")
	}
	if d.nfproto != h.family {
		return "", 0
	}
	offset, size := e.data.u32(unix.NFTA_PAYLOAD_OFFSET), int(e.data.u32(unix.NFTA_PAYLOAD_LEN))
	op, data, isCmp := d.cmp(1)
	if offset == protocolOffset && size == 1 && isCmp && len(data) == 1 && h.size == 4 {
		if op == "" {
			d.l4proto = int(data[0])
		}
		return "ip protocol " + op + protocolName(data[0]), 2
	}
	var field string
	switch offset {
	case h.saddr:
		field = "saddr "
	case h.daddr:
		field = "daddr "
	default:
		return "", 0
	}
	switch next := d.peek(1); {
	case next.name == "lookup":
		if next.data.u32(unix.NFTA_LOOKUP_FLAGS) == unix.NFT_LOOKUP_F_INV {
			op = "!= "
		}
		set := next.data.str(unix.NFTA_LOOKUP_SET)
		return family + field + op + "@" + set, 2 * isWord(set)
	case next.name == "bitwise":
		mask := next.value(unix.NFTA_BITWISE_MASK)
		op, data, ok := d.cmp(2)
		if !ok || len(mask) != h.size || len(data) != h.size {
			return "", 0
		}
		return family + field + op + prefixText(data, onesOf(mask)), 3
	case isCmp && size == len(data) && size <= h.size:
		return family + field + op + prefixText(append(slices.Clone(data), make([]byte, h.size-size)...), size*8), 2
	}
	return "", 0
}

// onesOf counts the leading ones.
func onesOf(mask []byte) int {
	n := 0
	for n < len(mask)*8 && mask[n/8]&(0x80>>(n%8)) != 0 {
		n++
	}
	return n
}

func prefixText(addr []byte, bits int) string {
	a, _ := netip.AddrFromSlice(addr)
	if bits == a.BitLen() {
		return a.String()
	}
	return netip.PrefixFrom(a, bits).String()
}

func (d *decompiler) transport(e rawExpr) (string, int) {
	field, ok := ports().name(e.data.u32(unix.NFTA_PAYLOAD_OFFSET))
	if !ok || d.l4proto != unix.IPPROTO_TCP && d.l4proto != unix.IPPROTO_UDP {
		return "", 0
	}
	text := protocolName(byte(d.l4proto)) + " " + field + " "
	if op, data, ok := d.cmp(1); ok && len(data) == 2 {
		return text + op + portsText(data, data), 2
	}
	next, after := d.peek(1), d.peek(2)
	switch {
	case next.name == "range":
		return text + "!= " + portsText(next.value(unix.NFTA_RANGE_FROM_DATA), next.value(unix.NFTA_RANGE_TO_DATA)), 2
	case next.name == "cmp" && after.name == "cmp":
		return text + portsText(next.value(unix.NFTA_CMP_DATA), after.value(unix.NFTA_CMP_DATA)), 3
	}
	return "", 0
}

func portsText(low, high []byte) string {
	if len(low) != 2 || len(high) != 2 {
		return "?"
	}
	l, h := binary.BigEndian.Uint16(low), binary.BigEndian.Uint16(high)
	if l == h {
		return strconv.Itoa(int(l))
	}
	return fmt.Sprintf("%d-%d", l, h)
}
