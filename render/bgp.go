package render

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// Password is what is known of a password file: the ID of the password in it, or
// what is wrong, with the mend. Both where the password can be used all the same.
type Password struct{ ID, Warning string }

// PasswordFiles gives the files that this node's sessions need, sorted.
func PasswordFiles(f *desired.File, node string) []string {
	var out []string
	n, ok := f.Node(node)
	if !ok || f.BGP == nil {
		return nil
	}
	for i := range f.BGP.Peers {
		if p := &f.BGP.Peers[i]; p.PasswordFile != "" && n.Matches(p.NodeSelector) {
			out = append(out, p.PasswordFile)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// BGP renders a node's speaker with its sessions and filters, and the prefixes that
// it originates besides those of endpoints; nothing where the file has no bgp
// section. passwords are by file; nil where they are not known here.
func BGP(f *desired.File, node string, passwords map[string]Password) ([]Wanted, []Warning, error) {
	n, err := Find(f, node)
	if err != nil || f.BGP == nil {
		return nil, nil, err
	}
	r := &bgpRendering{file: f, self: n, passwords: passwords}
	r.speaker()
	r.externalPeers()
	r.mesh()
	r.filters()
	r.prefixes()
	return r.wanted, r.warnings, nil
}

type bgpRendering struct {
	rendering
	file      *desired.File
	self      *desired.Node
	passwords map[string]Password
	names     []string // of filters that sessions use
	unmade    []state.BGPPeer
}

// speaker lets in, where a session has no import filters, what lies in the pools
// that BGP makes known. A static pool is not among them: its routes are the state
// file's, and nobody else's word counts.
func (r *bgpRendering) speaker() {
	b := r.file.BGP
	var pools, own []netip.Prefix
	for i := range r.file.Pools {
		if p := &r.file.Pools[i]; p.Reachability == desired.ByBGP {
			pools = append(pools, p.CIDR)
		}
	}
	for _, c := range r.self.PodCIDRs {
		own = append(own, c.Prefix)
	}
	r.want(b.Pos.String(), state.BGPSpeaker{
		ASN: asn(r.file, r.self), RouterID: routerID(r.self), ListenPort: b.ListenPort,
		Pools: state.NewPrefixes(pools...), Own: state.NewPrefixes(own...),
	})
	if b.Mesh && b.ListenPort < 0 && len(r.file.Nodes) > 1 {
		r.warn(b.Pos.String(), "mesh: true with listenPort: -1: of two nodes one has to be called; set a listenPort")
	}
}

// prefixes gives what the node originates: its podCIDRs in pools of BGP, as they
// are, and what it advertises. A podCIDR that is advertised too has the communities
// of that.
func (r *bgpRendering) prefixes() {
	seen := map[netip.Prefix]bool{}
	for i := range r.file.BGP.Advertise {
		a := &r.file.BGP.Advertise[i]
		if !r.self.Matches(a.NodeSelector) {
			continue
		}
		seen[a.CIDR.Masked()] = true
		r.want(a.Pos.String(), state.BGPPrefix{Prefix: a.CIDR.Masked(), Communities: state.NewCommunities(a.Communities)})
	}
	for _, c := range r.self.PodCIDRs {
		if p, ok := pool(r.file, c.Prefix); ok && p.Reachability == desired.ByBGP && !seen[c.Prefix] {
			r.want(c.Pos.String(), state.BGPPrefix{Prefix: c.Prefix})
		}
	}
}

// EndpointPrefixes gives the prefixes that a node originates for an endpoint that
// is wired: those of its addresses that no podCIDR of the node covers. An address in
// a static pool is not made known.
func EndpointPrefixes(f *desired.File, node string, e state.Endpoint, origin string) []Wanted {
	n, ok := f.Node(node)
	if !ok || f.BGP == nil {
		return nil
	}
	var r rendering
	for _, a := range e.Addresses {
		host := netip.PrefixFrom(a, a.BitLen())
		covered := slices.ContainsFunc(n.PodCIDRs, func(c desired.CIDR) bool { return c.Prefix.Contains(a) })
		p, ok := pool(f, host)
		if covered || ok && p.Reachability != desired.ByBGP {
			continue
		}
		r.want(origin, state.BGPPrefix{Prefix: host})
	}
	return r.wanted
}

// filters gives the filters that sessions of this node use. The file's validation
// sees that they exist.
func (r *bgpRendering) filters() {
	for i := range r.file.BGP.Filters {
		f := &r.file.BGP.Filters[i]
		if !slices.Contains(r.names, f.Name) {
			continue
		}
		rules := make([]state.BGPRule, 0, len(f.Rules))
		for _, rule := range f.Rules {
			rules = append(rules, bgpRule(rule))
		}
		r.want(f.Pos.String(), state.BGPFilter{
			Name: f.Name, Rules: state.NewRules(rules), Accept: f.Default == string(state.Accept),
		})
	}
}

func bgpRule(r desired.FilterRule) state.BGPRule {
	m := r.Match
	return state.BGPRule{
		Prefix: m.Prefix, MinLength: m.MinLength, MaxLength: m.MaxLength,
		Communities: m.Communities, ASPath: m.ASPath, NextHop: m.NextHop, Source: m.Source,
		LocalPref: r.Set.LocalPref, MED: r.Set.MED, AddCommunities: r.Set.AddCommunities, Prepend: r.Set.PrependAS,
		Verdict: state.Verdict(r.Action),
	}
}

// use notes the filters of a session, and gives them as a session names them.
func (r *bgpRendering) use(names []string) string {
	r.names = append(r.names, names...)
	return strings.Join(names, ",")
}

func asn(f *desired.File, n *desired.Node) uint32 {
	if n.ASN != 0 {
		return n.ASN
	}
	return f.BGP.ASN
}

// routerID is the node's BGP identifier. The file's validation sees that there is one.
func routerID(n *desired.Node) netip.Addr {
	if n.RouterID.IsValid() {
		return n.RouterID
	}
	a, _ := first(n, true)
	return a
}
