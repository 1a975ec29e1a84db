package state

import (
	"math/bits"
	"net/netip"
	"slices"
)

// LastAddr is the last address of p.
func LastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// RangePrefix gives the prefix that holds exactly the addresses from to to,
// where there is one.
func RangePrefix(from, to netip.Addr) (netip.Prefix, bool) {
	a, b := from.AsSlice(), to.AsSlice()
	if len(a) != len(b) {
		return netip.Prefix{}, false
	}
	n := 0
	for n/8 < len(a) && a[n/8] == b[n/8] {
		n += 8
	}
	if n < len(a)*8 {
		n += bits.LeadingZeros8(a[n/8] ^ b[n/8])
	}
	p := netip.PrefixFrom(from, n).Masked()
	return p, p.Addr() == from && LastAddr(p) == to
}

// MergeRanges gives the elements that cover exactly what prefixes cover, sorted,
// none overlapping or touching another: what an interval set can hold.
func MergeRanges(set string, prefixes []netip.Prefix) []Element {
	sorted := slices.Clone(prefixes)
	slices.SortFunc(sorted, func(a, b netip.Prefix) int { return a.Masked().Addr().Compare(b.Masked().Addr()) })
	var out []Element
	for _, p := range sorted {
		from, to := p.Masked().Addr(), LastAddr(p.Masked())
		if n := len(out); n > 0 && out[n-1].From.BitLen() == from.BitLen() &&
			(!out[n-1].To.Next().IsValid() || from.Compare(out[n-1].To.Next()) <= 0) {
			if to.Compare(out[n-1].To) > 0 {
				out[n-1].To = to
			}
			continue
		}
		out = append(out, Element{Set: set, From: from, To: to})
	}
	return out
}
