package bgp

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/plumbnet/plumb/state"
)

// config is everything that the speaker is told. It is a value: what is to be is
// made beside what is, and the two are compared.
type config struct {
	speaker  *state.BGPSpeaker
	filters  map[string]filter
	peers    map[string]state.BGPPeer // by the ID of the key
	prefixes map[netip.Prefix]state.BGPPrefix
}

// filter is a filter with its rules parsed.
type filter struct {
	state.BGPFilter
	rules []state.BGPRule
}

func newConfig() *config {
	return &config{
		filters: map[string]filter{}, peers: map[string]state.BGPPeer{},
		prefixes: map[netip.Prefix]state.BGPPrefix{},
	}
}

func (c *config) clone() *config {
	return &config{
		speaker: c.speaker, filters: maps.Clone(c.filters),
		peers: maps.Clone(c.peers), prefixes: maps.Clone(c.prefixes),
	}
}

// objects gives everything back as it was put in.
func (c *config) objects(yield func(state.Object)) {
	if c.speaker != nil {
		yield(*c.speaker)
	}
	for _, f := range c.filters {
		yield(f.BGPFilter)
	}
	for _, p := range c.prefixes {
		yield(p)
	}
	for _, p := range c.peers {
		yield(p)
	}
}

// change puts an object in, or takes it out. An object that cannot be is refused,
// and nothing is changed.
func (c *config) change(ch state.Change[state.Object]) error {
	remove := ch.Action == state.Delete
	switch o := ch.Object().(type) {
	case state.BGPSpeaker:
		c.speaker = nil
		if !remove {
			c.speaker = &o
		}
	case state.BGPFilter:
		if remove {
			delete(c.filters, o.Name)
			return nil
		}
		rules, err := checkFilter(o)
		if err != nil {
			return fmt.Errorf("%s: %w", o.Key(), err)
		}
		c.filters[o.Name] = filter{o, rules}
	case state.BGPPeer:
		if remove {
			delete(c.peers, o.Key().ID)
			return nil
		}
		if err := checkPeer(o); err != nil {
			return fmt.Errorf("%s: %w", o.Key(), err)
		}
		c.peers[o.Key().ID] = o
	case state.BGPPrefix:
		delete(c.prefixes, o.Prefix)
		if !remove {
			c.prefixes[o.Prefix] = o
		}
	default:
		return fmt.Errorf("%s: not an object of BGP", o.Key())
	}
	return nil
}

// asBoundary is what _ stands for in a regular expression over AS paths, as with
// other implementations of BGP.
const asBoundary = `(^|[,{}() ]|$)`

func checkFilter(f state.BGPFilter) ([]state.BGPRule, error) {
	rules, err := f.Rules.List()
	if err != nil {
		return nil, err
	}
	for _, r := range rules {
		if _, err := asRegexp(r.ASPath); err != nil {
			return nil, fmt.Errorf("as-path: %w", err)
		}
		for _, community := range slices.Concat(r.Communities, r.AddCommunities) {
			if isMark(community) {
				return nil, fmt.Errorf("community %s is reserved; use another", community)
			}
		}
	}
	return rules, nil
}

func asRegexp(expression string) (*regexp.Regexp, error) {
	return regexp.Compile(strings.ReplaceAll(expression, "_", asBoundary))
}

func checkPeer(p state.BGPPeer) error {
	switch {
	case p.Address.IsValid() == p.Prefix.IsValid():
		return errors.New("it needs either an address or a prefix")
	case p.ASN == 0:
		return errors.New("it has no ASN")
	case !p.IPv4 && !p.IPv6:
		return errors.New("it has no family")
	case p.TTL != 0 && p.MinTTL != 0:
		return errors.New("TTL security and a TTL of its own exclude each other") // GoBGP ends the process
	case p.HoldTime < 3:
		return errors.New("the hold time is at least 3 s") // RFC 4271, 4.2; 0 breaks GoBGP's sending
	}
	return nil
}

// remote is where the peer is: its address as a prefix, or the prefix.
func remote(p state.BGPPeer) netip.Prefix {
	if p.Prefix.IsValid() {
		return p.Prefix
	}
	return netip.PrefixFrom(p.Address, p.Address.BitLen())
}

func (c *config) localASN(p state.BGPPeer) uint32 {
	if p.LocalASN != 0 {
		return p.LocalASN
	}
	return c.speaker.ASN
}

func (c *config) external(p state.BGPPeer) bool { return c.localASN(p) != p.ASN }

// chain gives the filters of a list of names; one that is missing is an error, for
// a session must not do without.
func (c *config) chain(names string) ([]filter, error) {
	var out []filter
	for _, name := range state.Filters(names) {
		f, ok := c.filters[name]
		if !ok {
			return nil, fmt.Errorf("filter %q does not exist", name)
		}
		out = append(out, f)
	}
	return out, nil
}
