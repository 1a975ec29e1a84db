package nft

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/state"
)

// Apply carries out changes in one transaction (a dormant table is woken by a
// second one), and gives one error for each
// (nil: done), in their order. Adding what is there and deleting what is not are
// no errors and send nothing.
//
// A change that cannot be carried out does not hold up the others: they are
// applied without it, save the rules of one chain, which are applied all or
// none. Rules that stay keep their handles and counters. Where a set or a chain
// has to be made anew, the rules that refer to it, or are in it, are too, in the
// same transaction; so packets never meet a table half changed.
//
// A set without the right type loses its elements, as Read does not give any.
// The errors wrap the kernel's (syscall.Errno): ENOENT for a rule where a set or
// chain is missing, or the kernel lacks what matches; EBUSY for what is still
// referred to; EEXIST for ranges that overlap; EPERM for a table that another
// process owns.
func (k *Kind) Apply(ctx context.Context, changes []state.Change[state.Object]) []error {
	errs := make([]error, len(changes))
	live := make([]int, len(changes))
	for i := range live {
		live[i] = i
	}
	k.apply(ctx, changes, live, errs)
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("nftables: %s: %w", changes[i].Object().Key(), err)
		}
	}
	return errs
}

// restarts bounds how often a transaction is made anew because others changed
// the ruleset in between.
const restarts = 50

// apply carries out those of the changes that live names, or says in errs why not.
func (k *Kind) apply(ctx context.Context, changes []state.Change[state.Object], live []int, errs []error) {
	fail := func(err error) {
		for _, i := range live {
			errs[i] = err
		}
	}
	live = slices.Clone(live)
	apart := false
	for tries := 0; len(live) > 0; {
		if err := k.fresh(ctx); err != nil {
			fail(err)
			return
		}
		p := newPlan(k.have, changes, live)
		maps.DeleteFunc(p.failed, func(i int, err error) bool { errs[i] = err; return false })
		live = slices.DeleteFunc(live, func(i int) bool { return errs[i] != nil })
		t := p.batch(newBatch(apart))
		if len(t.parts) == 0 {
			return
		}
		guilty, err := k.commit(t)
		switch {
		case err == nil && guilty == nil:
			k.committed(p)
			if !p.asleep {
				return
			}
		case errors.Is(err, unix.ERESTART):
			if tries++; tries > restarts {
				fail(err)
				return
			}
		case len(guilty) > 0:
			p.blame(guilty, errs)
			live = slices.DeleteFunc(live, func(i int) bool { return errs[i] != nil })
			// The kernel stops at the first bad element of a message: for the
			// next try each is in one of its own, and all bad ones will be told.
			apart = true
		case !apart && t.count > 0 && isKernel(err):
			apart = true // kernels before 5.12 do not say which element
		default:
			k.applyInParts(ctx, changes, live, errs, err)
			return
		}
	}
}

func isKernel(err error) bool {
	var e *kernelError
	return errors.As(err, &e)
}

// manyElements is how many make it worth while not to listen.
const manyElements = 200

// commit sends the transaction. guilty has the changes whose messages failed;
// err alone is about the transaction as a whole.
func (k *Kind) commit(t *batch) (guilty map[int]error, err error) {
	// The later the generation is taken, the less can come in between.
	if gen, err := k.sock.generation(); err != nil {
		return nil, err
	} else if k.tracker.good(gen) {
		k.gen = gen
	}
	b := t.end(k.gen)
	if w := k.watcher.Load(); w != nil && t.count > manyElements {
		resume := w.silence()
		defer func() {
			resume()
			if gen, e := k.sock.generation(); e != nil || gen != k.gen && (err != nil || len(guilty) > 0 || gen != nextGen(k.gen)) {
				w.missed()
			}
		}()
	}
	if err := k.sock.send(b); err != nil {
		return nil, err
	}
	guilty = map[int]error{}
	for {
		in, e := k.sock.receive()
		if errors.Is(e, unix.EAGAIN) {
			break
		}
		if e != nil { // what became of it is not known
			k.have, err = nil, e
			if errors.Is(e, unix.ENOBUFS) {
				continue // with what came before and after
			}
			return nil, err
		}
		for len(in) > 0 {
			var m message
			if m, in, e = nextMessage(in); e != nil {
				return nil, e
			}
			if m.seq-batchSeq > uint32(len(t.parts))+1 {
				continue
			}
			if e := t.answer(m, guilty); e != nil && (err == nil || errors.Is(e, unix.ERESTART)) {
				err = e
			}
		}
	}
	if err == nil && len(guilty) == 0 {
		return nil, nil
	}
	return guilty, err
}

// answer takes in an error or an echoed rule. It gives the error that no change
// can be blamed for.
func (t *batch) answer(m message, guilty map[int]error) error {
	p := t.part(m.seq)
	if m.typ != unix.NLMSG_ERROR {
		if msg, _, b, ok := m.nft(); ok && msg == unix.NFT_MSG_NEWRULE && p != nil && p.slot != nil {
			as, err := parseAttrs(b)
			p.slot.rule = decodeKernelRule(as)
			return err
		}
		return nil
	}
	e, offset := m.error()
	if e == nil {
		return nil
	}
	index := -1
	if p != nil {
		index = p.index
		if len(p.elems) > 0 {
			index = t.elementOf(p, m.seq, offset)
		}
		if index < 0 && p.rules != nil && len(p.rules.changes) > 0 {
			index = p.rules.changes[0].index
		}
	}
	if index < 0 {
		return e
	}
	if guilty[index] == nil {
		guilty[index] = e
	}
	return nil
}

// blame writes the errors of the guilty changes, and of those that go with them.
func (p *plan) blame(guilty map[int]error, errs []error) {
	maps.Copy(p.failed, guilty)
	for _, c := range p.chains {
		p.failTogether(c)
	}
	for i, err := range p.failed {
		errs[i] = err
	}
}

// batch writes the messages: away with what is in the way, from what refers to
// others to what others refer to, then the other way round.
func (p *plan) batch(t *batch) *batch {
	if p.delTable >= 0 {
		t.deleteTable(p.delTable)
		return t
	}
	if p.addTable >= 0 && !p.have.dormant {
		t.makeTable(p.addTable)
	}
	setNames, chainNames := slices.Sorted(maps.Keys(p.sets)), slices.Sorted(maps.Keys(p.chains))
	for _, name := range chainNames {
		p.chains[name].deleteRules(t, name)
	}
	for _, name := range setNames {
		s := p.sets[name]
		t.elements(unix.NFT_MSG_DELSETELEM, name, s.del)
		if s.cur != nil && (s.drop || s.makes) {
			t.deleteSet(s.cur, s.index)
		}
	}
	for _, name := range chainNames {
		if c := p.chains[name]; c.cur != nil && (c.drop || c.makes) {
			t.deleteChain(name, c.index)
		}
	}
	for _, name := range setNames {
		s := p.sets[name]
		if s.makes {
			t.makeSet(*s.want, s.index)
		}
		if s.wholesale {
			t.flushSet(name)
		}
		t.elements(unix.NFT_MSG_NEWSETELEM, name, s.add)
	}
	for _, name := range chainNames {
		switch c := p.chains[name]; {
		case c.makes:
			t.makeChain(*c.want, c.index)
		case c.policy:
			t.setPolicy(*c.want, c.index)
		}
	}
	for _, name := range chainNames {
		p.chains[name].makeRules(t, name)
	}
	if p.addTable >= 0 && p.have.dormant {
		// The kernel does not wake a table and change its hooks in one
		// transaction (nft_table_pending_update): it is woken when it is right.
		if p.asleep = len(t.parts) > 0; !p.asleep {
			t.makeTable(p.addTable)
		}
	}
	return t
}

func (c *chainPlan) deleteRules(t *batch, name string) {
	switch {
	case c.cur == nil || len(c.cur.rules) == 0:
	case c.drop || c.makes:
		t.deleteRules(name, 0, part{index: c.index})
	default:
		stay := map[*kernelRule]bool{}
		for _, s := range c.final {
			stay[s.old] = true
		}
		for i := range c.cur.rules {
			if r := &c.cur.rules[i]; !stay[r] {
				t.deleteRules(name, r.handle, part{index: -1, rules: c})
			}
		}
	}
}

func (c *chainPlan) makeRules(t *batch, name string) {
	next := make([]uint64, len(c.final)+1) // the next rule that stays, from here on
	for i, s := range slices.Backward(c.final) {
		next[i] = next[i+1]
		if s.old != nil {
			next[i] = s.old.handle
		}
	}
	for i, s := range c.final {
		if s.old == nil {
			t.makeRule(name, s, next[i], part{index: s.index, rules: c, slot: s})
		}
	}
}

// committed writes the plan into the cache, which then is the next generation's.
func (k *Kind) committed(p *plan) {
	if p.delTable >= 0 {
		k.have = newRuleset()
	}
	if p.addTable >= 0 {
		k.have.table, k.have.dormant = true, p.asleep
	}
	for name, s := range p.sets {
		s.commit(k.have, name)
	}
	for name, c := range p.chains {
		if !c.commit(k.have, name) {
			k.have = nil // not told what a rule became: read it
			return
		}
	}
	k.tracker.own(k.gen)
}

func (s *setPlan) commit(have *ruleset, name string) {
	cur := s.cur
	if s.drop || s.makes {
		delete(have.sets, name)
	}
	if s.makes {
		cur = &setState{Set: *s.want, plain: true, ranges: make(map[netip.Addr]netip.Addr, len(s.add)), kernelName: name}
		have.sets[name] = cur
	}
	if s.wholesale {
		clear(cur.ranges)
		cur.irregular = false
	}
	for _, e := range s.del {
		delete(cur.ranges, e.from)
	}
	for _, e := range s.add {
		cur.ranges[e.from] = e.to
	}
}

func (c *chainPlan) commit(have *ruleset, name string) bool {
	if c.cur != nil && c.drop && !c.makes {
		delete(have.chains, name)
		return true
	}
	if c.cur == nil && !c.makes {
		return true
	}
	now := &chainState{}
	if c.cur != nil {
		now.Chain = c.cur.Chain
	}
	if c.want != nil {
		now.Chain = *c.want
	}
	for _, s := range c.final {
		if s.old != nil {
			now.rules = append(now.rules, *s.old)
			continue
		}
		if s.rule.handle == 0 {
			return false
		}
		now.rules = append(now.rules, s.rule)
	}
	have.chains[name] = now
	return true
}
