package nft

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/plumbnet/plumb/state"
)

// plan is what a list of changes comes to, given what there is. Changes that
// are done already are not in it.
type plan struct {
	have               *ruleset
	addTable, delTable int  // the change that asks for it, or -1
	asleep             bool // a dormant table is woken by a transaction of its own, later
	sets               map[string]*setPlan
	chains             map[string]*chainPlan
	failed             map[int]error // changes that cannot be carried out, by index
}

type setPlan struct {
	cur       *setState  // nil: not there
	want      *state.Set // nil: as it is
	drop      bool
	index     int // the change of the set, or -1
	del, add  []elementChange
	makes     bool // the set is made, anew where cur is not nil
	wholesale bool // elements are deleted all, and add is all that there will be
}

type elementChange struct {
	from, to netip.Addr
	index    int // the change that asks for it, or -1
}

type chainPlan struct {
	cur     *chainState
	want    *state.Chain
	drop    bool
	index   int
	changes []ruleChange
	makes   bool // the chain is made, anew where cur is not nil
	policy  bool // only the policy changes
	final   []*slot
}

// newPlan takes those of the changes that live names.
func newPlan(have *ruleset, changes []state.Change[state.Object], live []int) *plan {
	p := &plan{
		have: have, addTable: -1, delTable: -1,
		sets: map[string]*setPlan{}, chains: map[string]*chainPlan{}, failed: map[int]error{},
	}
	for _, i := range live {
		if err := p.sort(i, changes[i]); err != nil {
			p.failed[i] = err
		}
	}
	if p.delTable >= 0 {
		p.deleteTable()
		return p
	}
	table := have.table || p.addTable >= 0
	for name, s := range p.sets {
		p.planSet(name, s, table)
	}
	for name, c := range p.chains {
		p.planChain(name, c, table)
	}
	p.planRules()
	return p
}

// sort puts a change where it belongs.
func (p *plan) sort(i int, c state.Change[state.Object]) error {
	o := c.Object()
	switch o := o.(type) {
	case state.Table, dormantTable:
		if c.Action != state.Delete {
			if !p.have.table || p.have.dormant {
				p.addTable = i
			}
		} else if p.have.table {
			p.delTable = i
		}
	case state.Set:
		s := p.set(o.Name)
		s.index, s.drop = i, c.Action == state.Delete
		if !s.drop {
			s.want = &o
			if o.Type != ipv4Addr && o.Type != ipv6Addr || !validName(o.Name) {
				s.want = nil
				return errors.New("not a set that plumb can make")
			}
		}
	case state.Chain:
		s := p.chain(o.Name)
		s.index, s.drop = i, c.Action == state.Delete
		if !s.drop {
			s.want = &o
			if err := checkChain(o); err != nil {
				s.want = nil
				return err
			}
		}
	case state.Element:
		s := p.set(o.Set)
		e := elementChange{o.From, o.To, i}
		if c.Action == state.Delete {
			s.del = append(s.del, e)
		} else {
			s.add = append(s.add, e)
		}
	case state.Rule:
		r := ruleChange{Change: c, index: i, pos: o.Pos}
		if c.Action != state.Delete {
			code, err := compile(o.Expr)
			if err != nil {
				p.chain(o.Chain).changes = append(p.chain(o.Chain).changes, r)
				return err
			}
			r.text, r.code = decodeRule(code).text, code
		}
		p.chain(o.Chain).changes = append(p.chain(o.Chain).changes, r)
	default:
		return fmt.Errorf("not an object of nftables: %T", o)
	}
	return nil
}

func (p *plan) set(name string) *setPlan {
	s := p.sets[name]
	if s == nil {
		s = &setPlan{cur: p.have.sets[name], index: -1}
		p.sets[name] = s
	}
	return s
}

func (p *plan) chain(name string) *chainPlan {
	c := p.chains[name]
	if c == nil {
		c = &chainPlan{cur: p.have.chains[name], index: -1}
		p.chains[name] = c
	}
	return c
}

func checkChain(c state.Chain) error {
	if !validName(c.Name) {
		return errors.New("not a name for a chain")
	}
	if c.Type == regularType && c.Hook == noHook && c.Policy == noHook && c.Priority == 0 {
		return nil
	}
	if _, ok := hooks().number(c.Hook); !ok {
		return fmt.Errorf("unknown hook %q", c.Hook)
	}
	if _, ok := policies().number(c.Policy); !ok {
		return fmt.Errorf("unknown policy %q", c.Policy)
	}
	return nil
}

// deleteTable leaves nothing to be done but that; it deletes all that is in it.
func (p *plan) deleteTable() {
	gone := errors.New("the table is being deleted")
	for _, s := range p.sets {
		if s.want != nil {
			p.failed[s.index] = gone
		}
		for _, e := range s.add {
			p.failed[e.index] = gone
		}
	}
	for _, c := range p.chains {
		if c.want != nil {
			p.failed[c.index] = gone
		}
		for _, r := range c.changes {
			if r.Action != state.Delete {
				p.failed[r.index] = gone
			}
		}
	}
	p.sets, p.chains, p.addTable = nil, nil, -1
}

func (p *plan) planSet(name string, s *setPlan, table bool) {
	if s.want != nil && s.cur != nil && s.cur.Set == *s.want {
		s.want = nil
	}
	s.drop = s.drop && s.cur != nil
	s.makes = s.want != nil
	if s.makes && !table {
		p.failed[s.index] = errNoTable
		s.makes = false
	}
	typ, ranges := "", map[netip.Addr]netip.Addr(nil)
	switch {
	case s.makes:
		typ = s.want.Type
	case s.cur != nil && !s.drop && s.cur.plain:
		typ, ranges = s.cur.Type, s.cur.ranges
	}
	// Elements that are there, or are not, as they should be.
	if typ == "" || s.makes {
		s.del = nil
	}
	s.del = slices.DeleteFunc(s.del, func(e elementChange) bool { to, ok := ranges[e.from]; return !ok || to != e.to })
	slices.SortFunc(s.del, compareElements)
	s.del = slices.CompactFunc(s.del, sameElement)
	s.add = slices.DeleteFunc(s.add, func(e elementChange) bool {
		switch {
		case typ == "":
			p.failed[e.index] = fmt.Errorf("there is no set %s for it", name)
			return true
		case typ == ipv4Addr != e.from.Is4() || typ == ipv4Addr != e.to.Is4() || e.to.Less(e.from) || e.from.Zone() != "" || e.to.Zone() != "":
			p.failed[e.index] = fmt.Errorf("not a range for a set of %s", typ)
			return true
		}
		to, ok := ranges[e.from]
		if !ok || to != e.to {
			return false
		}
		_, deleted := slices.BinarySearchFunc(s.del, e, compareElements)
		return !deleted
	})
	// The kernel dumps, and plumb reads, fastest what came in order.
	slices.SortFunc(s.add, compareElements)
	s.add = slices.CompactFunc(s.add, sameElement)
	if s.cur != nil && s.cur.irregular && !s.makes && len(s.del)+len(s.add) > 0 {
		s.replaceAll(ranges)
	}
}

func compareElements(a, b elementChange) int {
	return cmp.Or(a.from.Compare(b.from), a.to.Compare(b.to))
}

func sameElement(a, b elementChange) bool { return a.from == b.from && a.to == b.to }

// replaceAll makes all elements anew, those of ranges without the deleted and
// with the added ones.
func (s *setPlan) replaceAll(ranges map[netip.Addr]netip.Addr) {
	s.wholesale = true
	rest := maps.Clone(ranges)
	for _, e := range s.del {
		delete(rest, e.from)
	}
	s.del = nil
	for from, to := range rest {
		s.add = append(s.add, elementChange{from, to, -1})
	}
	slices.SortFunc(s.add, compareElements)
}

var errNoTable = errors.New("the table is not there")

func (p *plan) planChain(name string, c *chainPlan, table bool) {
	if c.want != nil && c.cur != nil && c.cur.Chain == *c.want {
		c.want = nil
	}
	c.drop = c.drop && c.cur != nil
	if c.want != nil && c.cur != nil {
		other := c.cur.Chain
		other.Policy = c.want.Policy
		c.policy = other == *c.want && other.Type != regularType
	}
	c.makes = c.want != nil && !c.policy
	if c.makes && !table {
		p.failed[c.index] = errNoTable
		c.makes = false
	}
	exists := c.makes || c.cur != nil && !c.drop
	for _, r := range c.changes {
		if !exists && r.Action != state.Delete {
			p.failed[r.index] = fmt.Errorf("there is no chain %s for it", name)
		}
	}
}

// planRules decides about the rules of every chain that has changes or that
// refers to something that is made anew.
func (p *plan) planRules() {
	anew := map[string]bool{}
	for name, s := range p.sets {
		if s.makes && s.cur != nil {
			anew["@"+name] = true
		}
	}
	for name, c := range p.chains {
		if c.makes && c.cur != nil {
			anew[name] = true
		}
	}
	refers := func(r kernelRule) bool { return slices.ContainsFunc(r.refs, func(s string) bool { return anew[s] }) }
	if len(anew) > 0 {
		for name, c := range p.have.chains {
			if slices.ContainsFunc(c.rules, refers) {
				p.chain(name)
			}
		}
	}
	for _, c := range p.chains {
		if !c.makes && (c.cur == nil || c.drop) {
			continue
		}
		var cur []kernelRule
		if c.cur != nil {
			cur = c.cur.rules
		}
		remake := func(r kernelRule) bool { return c.makes || refers(r) }
		p.failTogether(c)
		c.final = mergeRules(cur, c.changes, remake)
		c.final = slices.DeleteFunc(c.final, func(s *slot) bool {
			if s.old != nil || s.code != nil {
				return false
			}
			// A rule that is made anew; where it is not plumb's it cannot be.
			var err error
			s.code, err = compile(s.text)
			return err != nil
		})
	}
}

// failTogether fails all changes of a chain's rules where one cannot be carried
// out: half a chain is nothing that anybody wants.
func (p *plan) failTogether(c *chainPlan) {
	for _, r := range c.changes {
		err := p.failed[r.index]
		if r.pos < 0 && err == nil {
			err = errors.New("position below 0")
		}
		if err == nil {
			continue
		}
		for _, other := range c.changes {
			if p.failed[other.index] == nil {
				p.failed[other.index] = besides(err)
			}
		}
		p.failed[r.index] = err
		c.changes = nil
		return
	}
}

// besides is the error of a rule that is held up by another one of its chain.
func besides(err error) error {
	return fmt.Errorf("not applied, because another rule of the chain is not: %w", err)
}
