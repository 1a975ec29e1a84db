package state

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// BGPFilter is a named list of rules for routes that come in or go out.
type BGPFilter struct {
	Name  string `json:"name"`
	Rules Rules  `json:"rules,omitempty"`
	// Accept is what becomes of a route that no rule decides on, in the last
	// filter of a session's list; in the others the next filter has it then.
	Accept bool `json:"accept,omitempty"`
}

// Key is the name.
func (f BGPFilter) Key() Key { return Key{KindBGPFilter, f.Name} }

// Fields prints the filter.
func (f BGPFilter) Fields() []Field {
	verdict := Reject
	if f.Accept {
		verdict = Accept
	}
	out := []Field{{"(name)", f.Name}}
	if f.Rules != "" {
		out = append(out, Field{"(rules)", "{ " + string(f.Rules) + " }"})
	}
	return append(out, Field{"default", string(verdict)})
}

// Verdict is what a rule does with a route in the end.
type Verdict string

// The verdicts. Next goes on with the following rule.
const (
	Accept Verdict = "accept"
	Reject Verdict = "reject"
	Next   Verdict = "next"
)

// BGPRule is one rule of a filter: a route that matches all that is set is changed,
// and meets the verdict.
type BGPRule struct {
	Prefix netip.Prefix // the route's prefix lies in it …
	// … and is of one of these lengths; both 0: it is exactly Prefix.
	MinLength, MaxLength int
	Communities          []string     // the route has all of them
	ASPath               string       // a regular expression over "64496 64500"; _ is a boundary
	NextHop              netip.Prefix // holds the route's next hop
	Source               netip.Prefix // holds the address of the peer that the route came from

	LocalPref, MED *uint32
	AddCommunities []string
	Prepend        int // so many times this node's ASN
	Verdict        Verdict
}

// Rules is the rules of a filter in one comparable value, one after the other:
// "prefix 10.0.0.0/8 16-24 as-path \"^64496\" local-pref 200 accept; reject".
type Rules string

// NewRules makes the canonical text.
func NewRules(rules []BGPRule) Rules {
	texts := make([]string, 0, len(rules))
	for _, r := range rules {
		texts = append(texts, r.String())
	}
	return Rules(strings.Join(texts, "; "))
}

func (r BGPRule) String() string {
	var w []string
	if r.Prefix.IsValid() {
		w = append(w, "prefix", r.Prefix.String())
		if r.MinLength != 0 || r.MaxLength != 0 {
			w = append(w, fmt.Sprintf("%d-%d", r.MinLength, r.MaxLength))
		}
	}
	if len(r.Communities) > 0 {
		w = append(w, "community", NewCommunities(r.Communities))
	}
	if r.ASPath != "" {
		w = append(w, "as-path", strconv.Quote(r.ASPath))
	}
	if r.NextHop.IsValid() {
		w = append(w, "next-hop", r.NextHop.String())
	}
	if r.Source.IsValid() {
		w = append(w, "source", r.Source.String())
	}
	if r.LocalPref != nil {
		w = append(w, "local-pref", decimal(*r.LocalPref))
	}
	if r.MED != nil {
		w = append(w, "med", decimal(*r.MED))
	}
	if len(r.AddCommunities) > 0 {
		w = append(w, "add-community", NewCommunities(r.AddCommunities))
	}
	if r.Prepend != 0 {
		w = append(w, "prepend", strconv.Itoa(r.Prepend))
	}
	return strings.Join(append(w, string(r.Verdict)), " ")
}

// List gives the rules back, or an error where the text is not one that
// NewRules wrote.
func (r Rules) List() ([]BGPRule, error) {
	words, err := ruleWords(string(r))
	if err != nil {
		return nil, fmt.Errorf("rules %q: %w", r, err)
	}
	var list []BGPRule
	var rule BGPRule
	for len(words) > 0 {
		used, done, err := rule.take(words)
		if err != nil {
			return nil, fmt.Errorf("rules %q: %w", r, err)
		}
		words = words[used:]
		if done {
			list = append(list, rule)
			rule = BGPRule{}
		}
	}
	if !rule.isZero() {
		return nil, fmt.Errorf("rules %q: the last has no verdict", r)
	}
	return list, nil
}

func (r BGPRule) isZero() bool { return r.String() == "" }

// take reads one attribute from the front of words; done says that it was the
// verdict, which ends the rule.
func (r *BGPRule) take(words []string) (used int, done bool, err error) {
	switch v := Verdict(strings.TrimSuffix(words[0], ";")); v {
	case Accept, Reject, Next:
		r.Verdict = v
		return 1, true, nil
	}
	if len(words) < 2 {
		return 0, false, fmt.Errorf("unexpected %q", words[0])
	}
	value := words[1]
	switch words[0] {
	case "prefix":
		r.Prefix, err = netip.ParsePrefix(value)
		if err == nil && len(words) > 2 && words[2][0] >= '0' && words[2][0] <= '9' {
			_, err = fmt.Sscanf(words[2], "%d-%d", &r.MinLength, &r.MaxLength)
			return 3, false, err
		}
	case "community":
		r.Communities, err = communities(value)
	case "as-path":
		r.ASPath, err = strconv.Unquote(value)
	case "next-hop":
		r.NextHop, err = netip.ParsePrefix(value)
	case "source":
		r.Source, err = netip.ParsePrefix(value)
	case "local-pref":
		r.LocalPref, err = numberPointer(value)
	case "med":
		r.MED, err = numberPointer(value)
	case "add-community":
		r.AddCommunities, err = communities(value)
	case "prepend":
		r.Prepend, err = strconv.Atoi(value)
	default:
		err = fmt.Errorf("unexpected %q", words[0])
	}
	return 2, false, err
}

// communities reads what NewCommunities wrote: A:B and A:B:C.
func communities(s string) ([]string, error) {
	list := strings.Split(s, ",")
	for _, c := range list {
		parts := strings.Split(c, ":")
		for _, p := range parts {
			if _, err := strconv.ParseUint(p, 10, 32); err != nil || len(parts) < 2 || len(parts) > 3 {
				return nil, fmt.Errorf("%q is not a community", c)
			}
		}
	}
	return list, nil
}

func numberPointer(s string) (*uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	v := uint32(n)
	return &v, err
}

// ruleWords splits at spaces, but not within quotation marks.
func ruleWords(s string) ([]string, error) {
	var words []string
	for s = strings.TrimLeft(s, " "); s != ""; s = strings.TrimLeft(s, " ") {
		n := strings.IndexByte(s, ' ')
		if n < 0 {
			n = len(s)
		}
		if s[0] == '"' {
			quoted, err := strconv.QuotedPrefix(s)
			if err != nil {
				return nil, fmt.Errorf("%w at %s", err, s)
			}
			n = len(quoted)
		}
		words = append(words, s[:n])
		s = s[n:]
	}
	return slices.Clip(words), nil
}
