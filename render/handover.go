package render

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/plumbnet/plumb/state"
)

// Tunnels gives the tunnel devices among wanted that are not among others.
func Tunnels(wanted, others []Wanted) map[string]bool {
	out := map[string]bool{}
	for _, w := range wanted {
		if l, ok := w.Object.(state.Link); ok && state.IsTunnel(l.Name) {
			out[l.Name] = true
		}
	}
	for _, w := range others {
		if l, ok := w.Object.(state.Link); ok {
			delete(out, l.Name)
		}
	}
	return out
}

// Hold gives wanted, but with the earlier form of each route that is to move into a
// fresh device, and with what that needs; held says whether there is any.
func Hold(earlier, wanted []Wanted, fresh map[string]bool) (out []Wanted, held bool) {
	if len(fresh) == 0 || len(earlier) == 0 {
		return wanted, false
	}
	before := byKey(earlier)
	for _, w := range wanted {
		if r, ok := w.Object.(state.Route); ok && fresh[r.Dev] {
			if old, ok := before[r.Key()]; ok && old.Object != w.Object {
				w, held = Wanted{old.Object, w.Origin}, true
			}
		}
		out = append(out, w)
	}
	if !held {
		return wanted, false
	}
	now := byKey(wanted)
	for _, w := range earlier {
		if _, both := now[w.Object.Key()]; !both && ofFarEnd(w.Object) {
			out = append(out, w)
		}
	}
	return out, true
}

// HoldRule gives now, but the earlier way where now leads into a fresh device.
func HoldRule(earlier, now NextHopRule, fresh map[string]bool) NextHopRule {
	if now == nil || len(fresh) == 0 {
		return now
	}
	return func(prefix netip.Prefix, nextHop netip.Addr) (state.NextHop, uint32, bool, error) {
		hop, mtu, ok, err := now(prefix, nextHop)
		switch {
		case !ok || err != nil || !fresh[hop.Dev]:
			return hop, mtu, ok, err
		case earlier == nil:
			return state.NextHop{}, 0, false, nil
		}
		return earlier(prefix, nextHop)
	}
}

// StillThrough gives wanted, and of earlier who is at the other end of tunnels that
// are gone: learned routes go through these until they are moved.
func StillThrough(earlier, wanted []Wanted, gone map[string]bool) (out []Wanted, more bool) {
	if len(gone) == 0 {
		return wanted, false
	}
	now := byKey(wanted)
	out = wanted[:len(wanted):len(wanted)]
	for _, w := range earlier {
		if _, both := now[w.Object.Key()]; !both && ofFarEnd(w.Object) && gone[deviceOf(w.Object)] {
			out, more = append(out, w), true
		}
	}
	return out, more
}

// ofFarEnd says whether an object is of a tunnel's other end.
func ofFarEnd(o state.Object) bool {
	switch o := o.(type) {
	case state.FDB, state.Neigh:
		return true
	case state.Route:
		return state.IsTunnel(o.Dev) && o.Dst.IsSingleIP()
	}
	return false
}

// Linger gives wanted, and of earlier the node's own ends of tunnels that are not
// wanted any more, with what keeps strangers out of them.
func Linger(earlier, wanted []Wanted) []Wanted {
	gone := Tunnels(earlier, wanted)
	if len(gone) == 0 {
		return wanted
	}
	now := byKey(wanted)
	out := slices.Clone(wanted)
	rules := map[string][]string{} // of each chain
	for _, w := range wanted {
		if r, ok := w.Object.(state.Rule); ok {
			rules[r.Chain] = append(rules[r.Chain], r.Expr)
		}
	}
	for _, w := range earlier {
		_, both := now[w.Object.Key()]
		switch o := w.Object.(type) {
		case state.Rule:
			// Of the masquerading chain the order counts; the others only drop.
			if o.Chain == "postrouting" || slices.Contains(rules[o.Chain], o.Expr) {
				continue
			}
			o.Pos = len(rules[o.Chain])
			rules[o.Chain] = append(rules[o.Chain], o.Expr)
			out = append(out, Wanted{o, w.Origin})
		case state.Link, state.Address, state.Chain, state.Set, state.Element:
			if !both && lingers(o, gone) {
				out = append(out, w)
			}
		case state.Sysctl:
			if !both && gone[deviceOf(o)] {
				out = append(out, w)
			}
		}
	}
	return out
}

// lingers says whether an object stays with the tunnels that are gone.
func lingers(o state.Object, gone map[string]bool) bool {
	switch o := o.(type) {
	case state.Link:
		return gone[o.Name]
	case state.Address:
		return gone[o.Dev]
	case state.Chain:
		return o.Name == "input" || o.Name == tunnelsChain
	case state.Set:
		return isNodes(o.Name)
	case state.Element:
		return isNodes(o.Set)
	}
	return false
}

// StillFrom gives wanted, and of earlier the addresses from which tunnels take
// packets: what leads to another node, while old tunnels linger.
func StillFrom(earlier, wanted []Wanted) (out []Wanted, more bool) {
	now := byKey(wanted)
	out = wanted[:len(wanted):len(wanted)]
	for _, w := range earlier {
		e, ok := w.Object.(state.Element)
		if _, both := now[w.Object.Key()]; ok && !both && isNodes(e.Set) {
			out, more = append(out, w), true
		}
	}
	return out, more
}

func isNodes(set string) bool { return set == "nodes4" || set == "nodes6" }

// deviceOf is the device that an object belongs to; of a parameter, the one in
// net/ipv4/conf/DEV/forwarding.
func deviceOf(o state.Object) string {
	switch o := o.(type) {
	case state.FDB:
		return o.Dev
	case state.Neigh:
		return o.Dev
	case state.Route:
		return o.Dev
	case state.Sysctl:
		if parts := strings.Split(o.Path, "/"); len(parts) == 5 {
			return parts[3]
		}
	}
	return ""
}

func byKey(list []Wanted) map[state.Key]Wanted {
	m := make(map[state.Key]Wanted, len(list))
	for _, w := range list {
		m[w.Object.Key()] = w
	}
	return m
}
