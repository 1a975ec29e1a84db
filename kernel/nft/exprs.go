package nft

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// encodeExprs gives the expressions as NFTA_RULE_EXPRESSIONS holds them.
func encodeExprs(exprs []expr.Any) ([]byte, error) {
	var out []byte
	for _, e := range exprs {
		b, err := encodeExpr(e)
		if err != nil {
			return nil, err
		}
		out = putAttr(out, unix.NLA_F_NESTED|unix.NFTA_LIST_ELEM, b)
	}
	return out, nil
}

func encodeExpr(e expr.Any) ([]byte, error) {
	if m, ok := e.(*expr.Masq); ok && m.ToPorts {
		return encodeMasqPorts(m), nil
	}
	b, err := expr.Marshal(unix.NFPROTO_INET, e)
	if err != nil {
		return nil, fmt.Errorf("%T: %w", e, err)
	}
	return b, nil
}

// encodeMasqPorts writes a masquerade with ports: the library leaves its flags
// out, also NF_NAT_RANGE_PROTO_SPECIFIED, without which the kernel ignores the
// ports (net/netfilter/nft_masq.c).
func encodeMasqPorts(m *expr.Masq) []byte {
	flags := uint32(unix.NF_NAT_RANGE_PROTO_SPECIFIED)
	for bit, set := range map[uint32]bool{
		unix.NF_NAT_RANGE_PROTO_RANDOM:       m.Random,
		unix.NF_NAT_RANGE_PROTO_RANDOM_FULLY: m.FullyRandom,
		unix.NF_NAT_RANGE_PERSISTENT:         m.Persistent,
	} {
		if set {
			flags |= bit
		}
	}
	b := putString(nil, unix.NFTA_EXPR_NAME, "masq")
	b, data := openAttr(b, unix.NFTA_EXPR_DATA)
	b = putU32(b, unix.NFTA_MASQ_FLAGS, flags)
	b = putU32(b, unix.NFTA_MASQ_REG_PROTO_MIN, m.RegProtoMin)
	b = putU32(b, unix.NFTA_MASQ_REG_PROTO_MAX, m.RegProtoMax)
	return closeAttr(b, data)
}

// rawExpr is one expression as the kernel has it.
type rawExpr struct {
	name string
	data attrs
}

func parseExprs(b []byte) ([]rawExpr, error) {
	list, err := parseAttrs(b)
	if err != nil {
		return nil, err
	}
	out := make([]rawExpr, 0, len(list))
	for _, item := range list {
		e, err := parseAttrs(item.data)
		if err != nil {
			return nil, err
		}
		data, _ := e.get(unix.NFTA_EXPR_DATA)
		as, err := parseAttrs(data)
		if err != nil {
			return nil, err
		}
		out = append(out, rawExpr{e.str(unix.NFTA_EXPR_NAME), as})
	}
	return out, nil
}

// value is the bytes of a nested NFTA_DATA_VALUE.
func (e rawExpr) value(typ uint16) []byte {
	b, _ := e.data.nested(typ).get(unix.NFTA_DATA_VALUE)
	return b
}

// verdict is the verdict that an immediate loads, and its chain.
func (e rawExpr) verdict() (code uint32, chain string, ok bool) {
	if e.name != "immediate" {
		return 0, "", false
	}
	v, ok := e.data.nested(unix.NFTA_IMMEDIATE_DATA).get(unix.NFTA_DATA_VERDICT)
	if !ok {
		return 0, "", false
	}
	as, err := parseAttrs(v)
	if _, has := as.get(unix.NFTA_VERDICT_CODE); err != nil || !has {
		return 0, "", false
	}
	return as.u32(unix.NFTA_VERDICT_CODE), as.str(unix.NFTA_VERDICT_CHAIN), true
}

// String prints the expression so that no two different ones are alike, and
// that no rule text contains: [name type=value …], a value in hexadecimal or,
// where it is a name, quoted.
func (e rawExpr) String() string {
	var b strings.Builder
	b.WriteString("[" + strconv.Quote(e.name)[1:len(strconv.Quote(e.name))-1])
	if e.name == "counter" {
		return b.String() + "]" // its numbers change all the time
	}
	for _, a := range e.data {
		fmt.Fprintf(&b, " %d=", a.typ)
		if s, ok := printable(a.data); ok {
			b.WriteString(strconv.Quote(s))
		} else {
			fmt.Fprintf(&b, "%x", a.data)
		}
	}
	return b.String() + "]"
}

func printable(b []byte) (string, bool) {
	s, ok := bytes.CutSuffix(b, []byte{0})
	if !ok || len(s) < 2 {
		return "", false
	}
	for _, c := range s {
		if c < ' ' || c > '~' {
			return "", false
		}
	}
	return string(s), true
}

// nestedData says which attributes of an expression hold nested ones; all
// others are plain values, which must not be taken for attributes by accident.
func nestedData(name string, typ uint16) bool {
	switch name {
	case "cmp":
		return typ == unix.NFTA_CMP_DATA
	case "bitwise":
		return typ == unix.NFTA_BITWISE_MASK || typ == unix.NFTA_BITWISE_XOR
	case "immediate":
		return typ == unix.NFTA_IMMEDIATE_DATA
	case "range":
		return typ == unix.NFTA_RANGE_FROM_DATA || typ == unix.NFTA_RANGE_TO_DATA
	}
	return false
}

// mayBeZero says which attributes are 0 where they are absent: either the
// kernel writes them always, or the library does. Elsewhere absence means
// something: a lookup's verdict register is number 0.
func mayBeZero(name string, typ uint16) bool {
	switch name {
	case "lookup":
		return typ == unix.NFTA_LOOKUP_SET_ID || typ == unix.NFTA_LOOKUP_FLAGS
	case "bitwise":
		return typ == nftaBitwiseOp
	case "masq":
		return typ == unix.NFTA_MASQ_FLAGS
	case "nat":
		return typ == unix.NFTA_NAT_FLAGS
	}
	return false
}

const nftaBitwiseOp = 6 // enum nft_bitwise_attributes

// sameExprs says whether the kernel's expressions are those that were compiled.
func sameExprs(kernel, ours []rawExpr) bool {
	return slices.EqualFunc(kernel, ours, func(a, b rawExpr) bool {
		// A counter's attributes are what it counted.
		return a.name == b.name && (a.name == "counter" || covers(a, b) && covers(b, a))
	})
}

// covers says whether all that a has is in b.
func covers(a, b rawExpr) bool {
	return !slices.ContainsFunc(a.data, func(x attr) bool {
		y, ok := b.data.get(x.typ)
		switch {
		case a.name == "nat" && x.typ == unix.NFTA_NAT_FLAGS:
			// Kernels differ in whether they add the flag for 'an address is
			// given' (nft_nat_init), which the registers say anyway.
			return (a.data.u32(x.typ)^b.data.u32(x.typ))&^unix.NF_NAT_RANGE_MAP_IPS != 0
		case !ok:
			return !mayBeZero(a.name, x.typ) || a.data.u32(x.typ) != 0
		}
		return !bytes.Equal(x.data, y) && !(nestedData(a.name, x.typ) && sameNested(x.data, y))
	})
}

// sameNested compares a value or a verdict.
func sameNested(a, b []byte) bool {
	x, errX := parseAttrs(a)
	y, errY := parseAttrs(b)
	if errX != nil || errY != nil || len(x) != 1 || len(y) != 1 || x[0].typ != y[0].typ {
		return false
	}
	if x[0].typ != unix.NFTA_DATA_VERDICT {
		return bytes.Equal(x[0].data, y[0].data)
	}
	v, errV := parseAttrs(x[0].data)
	w, errW := parseAttrs(y[0].data)
	return errV == nil && errW == nil && slices.EqualFunc(v, w, func(p, q attr) bool {
		return p.typ == q.typ && bytes.Equal(p.data, q.data)
	})
}
