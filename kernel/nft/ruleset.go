package nft

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/plumbnet/plumb/state"
)

// The family and the name of state.NFTTable.
const tableName = "plumb"

// ruleset is what the kernel has in plumb's table.
type ruleset struct {
	table   bool
	dormant bool // the table is there but takes no part (flags dormant)
	sets    map[string]*setState
	chains  map[string]*chainState
}

func newRuleset() *ruleset {
	return &ruleset{sets: map[string]*setState{}, chains: map[string]*chainState{}}
}

// setState is a set, or a stateful object or a flowtable, which plumb never
// makes and knows only how to delete.
type setState struct {
	state.Set
	plain     bool // an interval set of addresses as plumb makes it
	irregular bool // elements lack ends of their own: change it as a whole
	ranges    map[netip.Addr]netip.Addr

	object     uint32 // NFT_OBJECT_*; 0: not an object
	flowtable  bool
	kernelName string
}

type chainState struct {
	state.Chain
	rules []kernelRule
}

// kernelRule is a rule that is in the kernel.
type kernelRule struct {
	handle uint64
	ruleText
}

// dormantTable is the table with `flags dormant`. It has the table's key, and is
// not the table that plumb wants.
type dormantTable struct {
	Flags string `json:"-"`
}

func (dormantTable) Key() state.Key { return state.Table{}.Key() }

func (t dormantTable) Fields() []state.Field {
	return append(state.Table{}.Fields(), state.Field{Name: "flags", Value: t.Flags})
}

// each gives the objects; elements in no particular order.
func (r *ruleset) each(yield func(state.Object)) {
	if !r.table {
		return
	}
	if r.dormant {
		yield(dormantTable{"dormant"})
	} else {
		yield(state.Table{})
	}
	for _, name := range slices.Sorted(maps.Keys(r.sets)) {
		s := r.sets[name]
		yield(s.Set)
		for from, to := range s.ranges {
			yield(state.Element{Set: name, From: from, To: to})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.chains)) {
		c := r.chains[name]
		yield(c.Chain)
		for i, rule := range c.rules {
			yield(state.Rule{Chain: name, Pos: i, Expr: rule.text})
		}
	}
}

// Types of a set as state.Set.Type has them.
const (
	ipv4Addr = "ipv4_addr"
	ipv6Addr = "ipv6_addr"
)

// What state.Chain has for a chain without a hook.
const (
	regularType = "regular"
	noHook      = "none"
)

// point is an element as the kernel has it: the first address of a range, or
// the first after it.
type point struct {
	addr netip.Addr
	end  bool
}

func comparePoints(a, b point) int {
	if c := a.addr.Compare(b.addr); c != 0 {
		return c
	}
	switch {
	case a.end == b.end:
		return 0
	case a.end:
		return -1
	}
	return 1
}

// setRanges makes ranges of the points. A range to the last address has no end.
// nft(8) puts an end at the first address where nothing begins there; older
// ones leave out an end where the next range begins, and then neither range can
// be deleted by itself.
func (s *setState) setRanges(points []point) {
	s.ranges = make(map[netip.Addr]netip.Addr, (len(points)+1)/2)
	// The kernel gives them from the last to the first.
	slices.Reverse(points)
	if !slices.IsSortedFunc(points, comparePoints) {
		slices.SortFunc(points, comparePoints)
	}
	var open netip.Addr
	for _, p := range points {
		switch {
		case p.end && open.IsValid():
			s.ranges[open], open = p.addr.Prev(), netip.Addr{}
		case p.end:
			s.irregular = s.irregular || p.addr.Prev().IsValid()
		case open.IsValid():
			s.ranges[open], open = p.addr.Prev(), p.addr
			s.irregular = true
		default:
			open = p.addr
		}
	}
	if open.IsValid() {
		s.ranges[open] = state.LastAddr(netip.PrefixFrom(open, 0))
	}
}
