package state

import (
	"fmt"
	"net/netip"
	"strconv"
)

// NFTTable is the family and the name of the one nftables table that plumb owns.
const NFTTable = "inet plumb"

// Table is plumb's nftables table.
type Table struct{}

// Key is the table's family and name.
func (Table) Key() Key { return Key{KindTable, NFTTable} }

// Fields gives the table's family and name.
func (Table) Fields() []Field { return []Field{{"(table)", NFTTable}} }

// Set is an interval set of addresses in plumb's table.
type Set struct {
	Name string `json:"name"`
	Type string `json:"type"` // ipv4_addr or ipv6_addr
}

// Key is the set's name.
func (s Set) Key() Key { return Key{KindSet, s.Name} }

// Fields prints the set without its elements.
func (s Set) Fields() []Field {
	return []Field{{"(table)", NFTTable}, {"(name)", s.Name}, {"{ type", s.Type + ";"}, {"flags", "interval; }"}}
}

// Element is an element of an interval set: the addresses From to To, both
// included. Elements of one set neither overlap nor touch.
type Element struct {
	Set  string     `json:"set"`
	From netip.Addr `json:"from"`
	To   netip.Addr `json:"to"`
}

// Key is the set and the range.
func (e Element) Key() Key { return Key{KindElement, e.Set + " " + e.Range()} }

// Fields prints the element as nft(8) does.
func (e Element) Fields() []Field {
	return []Field{{"(table)", NFTTable}, {"(set)", e.Set}, {"{", e.Range() + " }"}}
}

// Range is the addresses as nft(8) prints them: one address, a prefix, or FROM-TO.
func (e Element) Range() string {
	if e.From == e.To {
		return e.From.String()
	}
	if p, ok := RangePrefix(e.From, e.To); ok {
		return p.String()
	}
	return e.From.String() + "-" + e.To.String()
}

// Chain is a base chain in plumb's table, without its rules.
type Chain struct {
	Name     string `json:"name"`
	Type     string `json:"type"`     // filter, nat
	Hook     string `json:"hook"`     // prerouting, input, forward, output, postrouting
	Priority int32  `json:"priority"` // NF_IP_PRI_*, 100 is srcnat
	Policy   string `json:"policy"`   // accept, drop
}

// Key is the chain's name.
func (c Chain) Key() Key { return Key{KindChain, c.Name} }

// Fields prints the chain as nft(8) declares it.
func (c Chain) Fields() []Field {
	return []Field{
		{"(table)", NFTTable},
		{"(name)", c.Name},
		{"{ type", c.Type},
		{"hook", c.Hook},
		{"priority", strconv.Itoa(int(c.Priority)) + ";"},
		{"policy", c.Policy + "; }"},
	}
}

// Rule is one rule of a chain. Expr is its text in the words of nft(8), in the
// one form in which plumb's reader prints what the kernel has. Pos counts from
// 0 within the chain.
type Rule struct {
	Chain string `json:"chain"`
	Pos   int    `json:"pos"`
	Expr  string `json:"expr"`
}

// Key is the chain and the position.
func (r Rule) Key() Key { return Key{KindRule, fmt.Sprintf("%s %d", r.Chain, r.Pos)} }

// Fields prints the rule as `nft add rule` takes it, and its position.
func (r Rule) Fields() []Field {
	return []Field{{"(table)", NFTTable}, {"(chain)", r.Chain}, {"index", strconv.Itoa(r.Pos)}, {"(expr)", r.Expr}}
}
