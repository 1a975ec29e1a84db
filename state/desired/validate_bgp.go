package desired

import (
	"fmt"
	"iter"
	"net/netip"
)

func (v *validator) checkBGP() {
	b := v.f.BGP
	v.checkASN()
	filters := v.checkFilters()
	v.checkPeers(filters)
	for i := range b.Advertise {
		a := &b.Advertise[i]
		v.checkSelector(a.Pos, a.NodeSelector)
	}
	clashes(v.pick, len(b.Advertise), func(i int) (netip.Prefix, map[string]string, bool) {
		a := &b.Advertise[i]
		return a.CIDR, a.NodeSelector, a.CIDR.IsValid() && !v.doubtful[a.Pos]
	}, func(c clash) {
		first, second := &b.Advertise[c.first], &b.Advertise[c.second]
		v.fail(v.place(second.Pos, "cidr"), "%s is advertised twice by node %q: first at %s; remove one, or narrow its nodeSelector",
			second.CIDR, v.f.Nodes[c.node].Name, v.place(first.Pos, "cidr"))
	})
}

func (v *validator) checkASN() {
	b := v.f.BGP
	if _, ok := v.set["bgp.asn"]; ok || !v.complete("bgp") || !v.complete("bgp.asn") {
		return
	}
	if len(v.f.Nodes) == 0 && v.complete("nodes") {
		v.fail(b.Pos, "asn is missing in the bgp section; it is required")
		return
	}
	for i := range v.f.Nodes {
		if n := &v.f.Nodes[i]; n.ASN == 0 && !v.doubtful[n.Pos] {
			v.fail(b.Pos, "asn is missing in the bgp section, and node %q at %s has none of its own; set one of them", n.Name, n.Pos)
			return
		}
	}
}

// checkFilters gives the filters by name.
func (v *validator) checkFilters() map[string]*Filter {
	filters := make(map[string]*Filter)
	for i := range v.f.BGP.Filters {
		f := &v.f.BGP.Filters[i]
		if first, ok := filters[f.Name]; f.Name == "" {
			v.broken["bgp.filters"] = true
		} else if ok {
			v.fail(v.place(f.Pos, "name"), "filter %q is defined twice: first at %s; rename or remove one", f.Name, v.origin(first.Pos, "name"))
		} else {
			filters[f.Name] = f
		}
		for j := range f.Rules {
			v.checkMatch(&f.Rules[j].Match)
		}
	}
	return filters
}

func (v *validator) checkMatch(m *Match) {
	if m.Pos.Line == 0 || v.doubtful[m.Pos] {
		return
	}
	if v.has(m.Pos, "length") {
		v.checkLength(m)
	}
	if m.Prefix.IsValid() && m.NextHop.IsValid() && m.Prefix.Addr().Is4() != m.NextHop.Addr().Is4() {
		v.warn(v.place(m.Pos, "nextHop"), "nextHop %s is %s and prefix %s is %s; only routes of a peer that mixes the families match",
			m.NextHop, family(m.NextHop.Addr()), m.Prefix, family(m.Prefix.Addr()))
	}
}

func (v *validator) checkLength(m *Match) {
	at := v.place(m.Pos, "length")
	if !m.Prefix.IsValid() {
		v.fail(at, "length needs a prefix beside it; for any IPv4 route write prefix: 0.0.0.0/0")
		return
	}
	bits := m.Prefix.Addr().BitLen()
	switch {
	case m.MaxLength > bits:
		v.fail(at, "length: must be at most %d, as prefix %s is %s, not %d", bits, m.Prefix, family(m.Prefix.Addr()), m.MaxLength)
	case m.MaxLength < m.Prefix.Bits():
		v.fail(at, "length: %s matches nothing, as prefix %s is longer; use %d-%d",
			spanText(m.MinLength, m.MaxLength), m.Prefix, m.Prefix.Bits(), bits)
	case m.MinLength < m.Prefix.Bits():
		v.fail(at, "length: %s begins before the length of prefix %s; did you mean %s?",
			spanText(m.MinLength, m.MaxLength), m.Prefix, spanText(m.Prefix.Bits(), m.MaxLength))
	}
}

func spanText(first, last int) string {
	if first == last {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d-%d", first, last)
}

// checkSelector warns of a nodeSelector that no node matches: valid, since the
// nodes may come later, but more often a slip.
func (v *validator) checkSelector(item Pos, selector map[string]string) {
	if len(v.f.Nodes) == 0 || !v.complete("nodes") || v.doubtful[item] || len(v.pick.match(selector)) > 0 {
		return
	}
	for i := range v.f.Nodes {
		if v.doubtful[v.f.Nodes[i].Pos] {
			return // its labels may be what could not be read
		}
	}
	v.warn(v.place(item, "nodeSelector"), "nodeSelector matches no node; label one, or change it")
}

// didYouMean ends a message about an unknown name.
func (v *validator) didYouMean(name string, known iter.Seq[string]) string {
	if near, ok := v.spelling.nearest(name, known); ok {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}
