package bgp

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Marks are communities that routes bear inside this speaker alone. They are of a
// range that IANA has not assigned (65535:33000 to 65535:62999, within the range
// that RFC 1997 reserves); what a peer sends of it is dropped, and nothing of it is
// sent. GoBGP's standard communities are used since its extended ones leave an
// empty attribute behind when the last is removed, and its large ones can share
// memory with the route before.
const (
	markAS    = "65535"
	markFirst = 33000
	markStep  = 10000 // marks of one generation
	markRules = markStep - 10

	// offsets within a generation
	markNoHop   = markRules     // originated, without a next hop of its own
	markDecided = markRules + 1 // a rule has accepted it
)

// marksRegexp matches every mark.
const marksRegexp = `^65535:(3[3-9]|[45][0-9]|6[0-2])[0-9]{3}$`

// generations: 0 bears no mark of generation; after the last comes 1.
const generations = 3

// mark is the community number n of a generation. Number 0 says that the route is
// of that generation; those from 1 on, that the AS path and source of a rule match.
func mark(generation, n int) string {
	return markAS + ":" + strconv.Itoa(markFirst+(generation%generations)*markStep+n)
}

func isMark(community string) bool {
	n, err := strconv.Atoi(strings.TrimPrefix(community, markAS+":"))
	return err == nil && strings.HasPrefix(community, markAS+":") && n >= markFirst && n < markFirst+generations*markStep
}

func nextGeneration(g int) int { return g%generations + 1 }

// origin is what GoBGP's export policy cannot see of a route: the AS path without
// this node's own ASN before it, and where the route came from. Which routes match
// it is found out on import.
type origin struct {
	asPath string
	source netip.Prefix
}

func (o origin) isZero() bool { return o == origin{} }

// matchesOwn says whether a prefix that this node originates matches: its path is
// empty, and it came from nobody.
func (o origin) matchesOwn() bool {
	if o.source.IsValid() {
		return false
	}
	re, err := asRegexp(o.asPath)
	return err == nil && re.MatchString("")
}

// origins number what the marks of rules mean. A number is never used for
// something else.
type origins map[origin]int

func (o origins) number(key origin) (int, error) {
	if n, ok := o[key]; ok {
		return n, nil
	}
	if len(o)+1 >= markRules {
		return 0, fmt.Errorf("more than %d different matches of AS paths and sources since the start", markRules)
	}
	o[key] = len(o) + 1
	return o[key], nil
}
