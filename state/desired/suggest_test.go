package desired

import (
	"slices"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"cidr", "natOutgoing", "podCIDRs", "vni", "port", "ttlSecurity"}
	for name, want := range map[string]string{
		"natOutgoin":                 "natOutgoing",
		"nat_outgoing":               "natOutgoing",
		"podCidrs":                   "podCIDRs",
		"podCIDR":                    "podCIDRs",
		"prot":                       "port", // two letters in the wrong order are one slip
		"vnis":                       "vni",
		"mtu":                        "",
		"":                           "",
		"somethingOfNoLikenessAtAll": "",
	} {
		s := speller{budget: 100}
		if got, ok := s.nearest(name, slices.Values(known)); got != want || ok != (want != "") {
			t.Errorf("%q is near %q, want %q", name, got, want)
		}
	}
	s := speller{budget: len(known) - 1}
	if got, ok := s.nearest("ports", slices.Values(known)); ok {
		t.Errorf("got %q beyond the budget", got)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "abc", 0},
		{"abc", "abd", 1},
		{"abc", "acb", 1},
		{"abc", "ab", 1},
		{"kitten", "sitting", 3},
		{"ab", "ba", 1},
	} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("from %q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
		if got := distance(c.b, c.a); got != c.want {
			t.Errorf("from %q to %q: %d, want %d", c.b, c.a, got, c.want)
		}
	}
}
