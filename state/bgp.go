package state

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// BGPSpeaker is this node's BGP speaker (RFC 4271); a node has one at most. The
// other BGP objects count for nothing without it.
type BGPSpeaker struct {
	ASN        uint32     `json:"asn"`
	RouterID   netip.Addr `json:"routerID"`   // IPv4
	ListenPort int        `json:"listenPort"` // -1: never listen
	// Pools are what a session without import filters accepts routes within.
	Pools Prefixes `json:"pools,omitempty"`
	// Own are the node's podCIDRs: no route within them is ever accepted.
	Own Prefixes `json:"own,omitempty"`
}

// Key is the same for every speaker: there is one.
func (BGPSpeaker) Key() Key { return Key{KindBGP, "speaker"} }

// Fields prints the speaker.
func (s BGPSpeaker) Fields() []Field {
	listen := strconv.Itoa(s.ListenPort)
	if s.ListenPort < 0 {
		listen = "never"
	}
	f := []Field{
		{"(name)", "speaker"},
		{"asn", decimal(s.ASN)},
		{"router-id", s.RouterID.String()},
		{"listen", listen},
	}
	f = appendText(f, "pools", string(s.Pools))
	return appendText(f, "own", string(s.Own))
}

// Prefixes is a set of prefixes in one comparable value: sorted, none twice,
// separated by commas.
type Prefixes string

// NewPrefixes makes the canonical text of list.
func NewPrefixes(list ...netip.Prefix) Prefixes {
	list = slices.Clone(list)
	for i, p := range list {
		list[i] = p.Masked()
	}
	slices.SortFunc(list, ComparePrefixes)
	words := make([]string, 0, len(list))
	for _, p := range slices.Compact(list) {
		words = append(words, p.String())
	}
	return Prefixes(strings.Join(words, ","))
}

// List gives the prefixes back; what is not one is left out.
func (p Prefixes) List() []netip.Prefix {
	var list []netip.Prefix
	for word := range strings.SplitSeq(string(p), ",") {
		if prefix, err := netip.ParsePrefix(word); err == nil {
			list = append(list, prefix)
		}
	}
	return list
}

// ComparePrefixes orders by address, then the shorter prefix first.
func ComparePrefixes(a, b netip.Prefix) int {
	if d := a.Addr().Compare(b.Addr()); d != 0 {
		return d
	}
	return a.Bits() - b.Bits()
}

// BGPPrefix is a prefix that this node originates.
type BGPPrefix struct {
	Prefix netip.Prefix `json:"prefix"` // masked
	// NextHop is what the session says of itself where it is not valid.
	NextHop netip.Addr `json:"nextHop,omitzero"`
	// Communities are standard (A:B) and large (A:B:C) ones, as NewCommunities
	// writes them.
	Communities string `json:"communities,omitempty"`
}

// Key is the prefix.
func (p BGPPrefix) Key() Key { return Key{KindBGPPrefix, p.Prefix.String()} }

// Fields prints the prefix.
func (p BGPPrefix) Fields() []Field {
	f := []Field{{"(prefix)", p.Prefix.String()}}
	if p.NextHop.IsValid() {
		f = append(f, Field{"next-hop", p.NextHop.String()})
	}
	return appendText(f, "community", p.Communities)
}

// NewCommunities sorts communities, drops repetitions and joins them by commas.
func NewCommunities(list []string) string {
	list = slices.Clone(list)
	slices.SortFunc(list, compareNatural)
	return strings.Join(slices.Compact(list), ",")
}

func appendText(f []Field, name, value string) []Field {
	if value != "" {
		f = append(f, Field{name, value})
	}
	return f
}

func appendFlag(f []Field, name string, set bool) []Field {
	if set {
		f = append(f, Field{name, ""})
	}
	return f
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
