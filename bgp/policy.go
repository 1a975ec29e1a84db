package bgp

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/plumbnet/plumb/state"
)

// program is a whole policy, as GoBGP takes it: the statements of import and
// export, and the sets that they name.
type program struct {
	version int
	sets    []*api.DefinedSet
	imports []*api.Statement
	exports []*api.Statement
}

// compiler writes a program. GoBGP has one policy for all peers, and tells them
// apart by sets of neighbours; peers that are treated alike share their statements.
type compiler struct {
	*program
	origins origins
	names   int
	err     error
}

// change is what a policy is compiled for: what is to be, and, while routes of the
// generation before are about, how the sessions that moved were treated then.
type change struct {
	now        *config
	generation int

	before   *config
	previous int             // its generation
	moved    map[string]bool // IDs of sessions whose export changes
}

func compile(version int, o origins, ch change) (*program, error) {
	c := &compiler{program: &program{version: version}, origins: o}
	c.importAll(ch.now, ch.generation)
	still := func(p state.BGPPeer) bool { return !ch.moved[p.Key().ID] }
	moved := func(p state.BGPPeer) bool { return ch.moved[p.Key().ID] }
	for _, g := range ch.now.groups(exporting, still) {
		c.export(ch.now, g, ch.generation, "")
	}
	if len(ch.moved) > 0 {
		for _, g := range ch.now.groups(exporting, moved) {
			c.export(ch.now, g, ch.generation, mark(ch.generation, 0))
		}
		for _, g := range ch.before.groups(exporting, moved) {
			c.export(ch.before, g, ch.previous, "")
		}
	}
	return c.program, c.err
}

// exporting and importing say in words all that decides how a session's routes
// are treated, so that two sessions of the same words are.
func exporting(c *config, p state.BGPPeer) string {
	chain, _ := c.chain(p.Export) // said by check
	rules := ""
	for _, f := range chain {
		rules += fmt.Sprintf("%s %v; ", f.Rules, f.Accept)
	}
	return fmt.Sprint(rules, len(chain) > 0, p.Reflect, p.NextHopSelf, p.NextHop4, p.NextHop6, c.external(p), c.localASN(p), remote(p).Addr().Is4())
}

func importing(c *config, p state.BGPPeer) string {
	chain, _ := c.chain(p.Import)
	rules := ""
	for _, f := range chain {
		rules += fmt.Sprintf("%s %v; ", f.Rules, f.Accept)
	}
	if len(chain) == 0 {
		rules = string(c.speaker.Pools)
	}
	return fmt.Sprint(rules, len(chain) > 0)
}

// groups gives the sessions that are treated alike. A session by address comes
// before the prefixes that hold it, and a longer prefix before a shorter.
func (c *config) groups(how func(*config, state.BGPPeer) string, which func(state.BGPPeer) bool) [][]state.BGPPeer {
	type key struct {
		bits int // of a prefix; an address has most
		how  string
	}
	by := map[key][]state.BGPPeer{}
	for _, p := range c.peers {
		if !which(p) {
			continue
		}
		k := key{129, how(c, p)}
		if p.Prefix.IsValid() {
			k.bits = p.Prefix.Bits()
		}
		by[k] = append(by[k], p)
	}
	keys := make([]key, 0, len(by))
	for k := range by {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(-cmp.Compare(a.bits, b.bits), cmp.Compare(a.how, b.how)) })
	out := make([][]state.BGPPeer, 0, len(keys))
	for _, k := range keys {
		slices.SortFunc(by[k], func(a, b state.BGPPeer) int { return strings.Compare(a.Key().ID, b.Key().ID) })
		out = append(out, by[k])
	}
	return out
}

// name is of a set or statement: unlike those of other versions, so that two
// programs can stand beside each other while one replaces the other.
func (c *compiler) name() string {
	c.names++
	return fmt.Sprintf("%d-%d", c.version, c.names)
}

func (c *compiler) set(s *api.DefinedSet) string {
	s.Name = c.name()
	c.sets = append(c.sets, s)
	return s.Name
}

func (c *compiler) neighbours(list []netip.Prefix) *api.MatchSet {
	s := &api.DefinedSet{DefinedType: api.DefinedType_NEIGHBOR}
	for _, p := range list {
		s.List = append(s.List, p.Masked().String())
	}
	return &api.MatchSet{Name: c.set(s)}
}

// within matches prefixes in p of the given lengths.
func (c *compiler) within(p netip.Prefix, shortest, longest int) *api.MatchSet {
	return &api.MatchSet{Name: c.set(&api.DefinedSet{
		DefinedType: api.DefinedType_PREFIX,
		Prefixes:    []*api.Prefix{{IpPrefix: p.String(), MaskLengthMin: uint32(shortest), MaskLengthMax: uint32(longest)}},
	})}
}

// communities matches routes that have all of the list.
func (c *compiler) communities(kind api.DefinedType, list ...string) *api.MatchSet {
	if len(list) == 0 {
		return nil
	}
	return &api.MatchSet{Type: api.MatchSet_ALL, Name: c.set(&api.DefinedSet{DefinedType: kind, List: list})}
}

// rule gives the conditions of a rule that both directions share: all but the AS
// path, the source and whose session it is.
func (c *compiler) rule(r state.BGPRule, marks ...string) *api.Conditions {
	standard, large := split(r.Communities)
	cond := &api.Conditions{
		CommunitySet:      c.communities(api.DefinedType_COMMUNITY, append(marks, standard...)...),
		LargeCommunitySet: c.communities(api.DefinedType_LARGE_COMMUNITY, large...),
	}
	if r.Prefix.IsValid() {
		shortest, longest := r.MinLength, r.MaxLength
		if shortest == 0 && longest == 0 {
			shortest, longest = r.Prefix.Bits(), r.Prefix.Bits()
		}
		cond.PrefixSet = c.within(r.Prefix, shortest, longest)
	}
	if r.NextHop.IsValid() {
		cond.NextHopInList = []string{r.NextHop.Masked().String()}
	}
	return cond
}

// actions gives what a rule sets, besides its verdict. prepend is the ASN that is
// prepended; 0: the one that the path begins with.
func actions(r state.BGPRule, prepend uint32) *api.Actions {
	a := &api.Actions{}
	if r.LocalPref != nil {
		a.LocalPref = &api.LocalPrefAction{Value: *r.LocalPref}
	}
	if r.MED != nil {
		a.Med = &api.MedAction{Type: api.MedAction_REPLACE, Value: int64(*r.MED)}
	}
	if r.Prepend > 0 {
		a.AsPrepend = &api.AsPrependAction{Asn: prepend, UseLeftMost: prepend == 0, Repeat: uint32(r.Prepend)}
	}
	standard, large := split(r.AddCommunities)
	if len(standard) > 0 {
		a.Community = &api.CommunityAction{Type: api.CommunityAction_ADD, Communities: standard}
	}
	if len(large) > 0 {
		a.LargeCommunity = &api.CommunityAction{Type: api.CommunityAction_ADD, Communities: large}
	}
	return a
}

func split(communities []string) (standard, large []string) {
	for _, s := range communities {
		switch strings.Count(s, ":") {
		case 1:
			standard = append(standard, s)
		case 2:
			large = append(large, s)
		}
	}
	return standard, large
}

func verdict(v state.Verdict) api.RouteAction {
	switch v {
	case state.Accept:
		return api.RouteAction_ACCEPT
	case state.Reject:
		return api.RouteAction_REJECT
	}
	return api.RouteAction_NONE
}

func remotes(group []state.BGPPeer) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(group))
	for _, p := range group {
		out = append(out, remote(p))
	}
	return out
}
