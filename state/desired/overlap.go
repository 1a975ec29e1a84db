package desired

import (
	"cmp"
	"net/netip"
	"slices"
)

// placedPrefix is a prefix, where it stands, and whose it is.
type placedPrefix struct {
	prefix netip.Prefix
	pos    Pos
	owner  *Node // nil for a pool
}

// overlaps calls report for prefixes that overlap an earlier one: a stands
// before b in the files. Prefixes either nest or are disjoint, so one pass in
// the order of addresses, with a stack of those that are still open, finds at
// least one partner of each.
func overlaps(list []placedPrefix, report func(a, b placedPrefix)) {
	slices.SortFunc(list, func(a, b placedPrefix) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()), comparePos(a.pos, b.pos))
	})
	var open []placedPrefix
	for _, p := range list {
		for len(open) > 0 && !open[len(open)-1].prefix.Overlaps(p.prefix) {
			open = open[:len(open)-1]
		}
		if len(open) > 0 {
			a, b := open[len(open)-1], p
			if comparePos(a.pos, b.pos) > 0 {
				a, b = b, a
			}
			report(a, b)
			if a.prefix == b.prefix {
				continue // the first one speaks for all of them
			}
		}
		open = append(open, p)
	}
}

// prefixTable finds the prefixes that cover another one. The zero value is ready.
type prefixTable[V any] struct {
	values map[netip.Prefix]V
	bits   []int // the lengths that occur, falling
}

// put adds p; of equal prefixes the first one stays.
func (t *prefixTable[V]) put(p netip.Prefix, val V) {
	if t.values == nil {
		t.values = make(map[netip.Prefix]V)
	}
	if _, ok := t.values[p]; ok {
		return
	}
	t.values[p] = val
	i, ok := slices.BinarySearchFunc(t.bits, p.Bits(), func(a, b int) int { return b - a })
	if !ok {
		t.bits = slices.Insert(t.bits, i, p.Bits())
	}
}

// covering gives the value of the longest prefix that has all of p in it.
func (t *prefixTable[V]) covering(p netip.Prefix) (V, bool) {
	for _, bits := range t.bits {
		if bits > p.Bits() {
			continue
		}
		q, err := p.Addr().Prefix(bits)
		if err != nil {
			continue // a length of IPv6, and p is IPv4
		}
		if val, ok := t.values[q]; ok {
			return val, true
		}
	}
	var zero V
	return zero, false
}
