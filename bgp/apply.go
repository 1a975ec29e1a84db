package bgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/plumbnet/plumb/state"
)

// Apply makes the changes as one transaction, in an order of its own: what can be
// done to a living session is, and only the sessions that state.BGPResets names
// are reset. An object that cannot be made has its error, and the others are made.
func (s *Speaker) Apply(_ context.Context, changes []state.Change[state.Object]) []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.current.Load()
	t := &transaction{
		Speaker: s, before: before, now: before.clone(),
		errs: make([]error, len(changes)), index: make(map[state.Key]int, len(changes)),
	}
	for i, ch := range changes {
		t.index[ch.Object().Key()] = i
		t.errs[i] = t.now.change(ch)
		switch ch.Object().(type) {
		case state.BGPPrefix:
		default:
			t.policy = true
		}
	}
	t.resolve()
	if err := t.run(); err != nil {
		for i := range t.errs {
			t.errs[i] = errors.Join(t.errs[i], err)
		}
	}
	s.current.Store(t.now)
	s.version.Add(1)
	return t.errs
}

// transaction is one call of Apply.
type transaction struct {
	*Speaker
	before, now *config
	policy      bool // more than prefixes changes
	errs        []error
	index       map[state.Key]int // of the change of each key
}

func (t *transaction) fail(k state.Key, err error) {
	if i, ok := t.index[k]; ok {
		t.errs[i] = errors.Join(t.errs[i], fmt.Errorf("%s: %w", k, err))
	}
}

// resolve takes back what refers to something that is not there: a session whose
// filter is missing must not go on without it.
func (t *transaction) resolve() {
	if t.now.speaker == nil {
		t.now.objects(func(o state.Object) { t.fail(o.Key(), errors.New("there is no BGP speaker")) })
		t.now = newConfig()
		return
	}
	for id, p := range t.now.peers {
		_, err := t.now.chain(p.Import)
		if err == nil {
			_, err = t.now.chain(p.Export)
		}
		if err == nil {
			_, err = t.passwordOf(p)
		}
		if err == nil {
			continue
		}
		t.fail(p.Key(), err)
		if old, ok := t.before.peers[id]; ok {
			t.now.peers[id] = old
			t.keepFilters(old)
		} else {
			delete(t.now.peers, id)
		}
	}
}

// keepFilters puts back the filters of a session that stays as it was.
func (t *transaction) keepFilters(p state.BGPPeer) {
	for _, name := range append(state.Filters(p.Import), state.Filters(p.Export)...) {
		if _, ok := t.now.filters[name]; ok {
			continue
		}
		if old, ok := t.before.filters[name]; ok {
			t.now.filters[name] = old
			t.fail(old.Key(), fmt.Errorf("session %s still uses it", p.Name))
		}
	}
}

func (t *transaction) run() error {
	if why, restart := t.restarts(); restart {
		var were []netip.Addr
		for id, p := range t.before.peers {
			if _, ok := t.now.peers[id]; ok {
				were = append(were, t.addresses(p)...)
			}
		}
		for _, address := range were {
			t.forgetSession(address, why)
		}
		if err := t.stop(t.before); err != nil {
			return err
		}
		t.before = newConfig()
	}
	if t.now.speaker == nil {
		return nil
	}
	if t.before.speaker == nil {
		_ = t.server.AwaitPeers(true)
		defer func() { _ = t.server.AwaitPeers(false) }()
		if err := t.start(*t.now.speaker); err != nil {
			t.now = newConfig()
			return fmt.Errorf("BGP speaker: %w", err)
		}
		t.policy = true
	}
	var err error
	t.endSessions()
	t.adjustSessions()
	if t.policy {
		if err = t.changePolicy(); err != nil {
			err = fmt.Errorf("BGP policy: %w", err)
			t.postpone()
		}
	}
	t.changePrefixes()
	t.current.Store(t.now.clone()) // for the names of sessions that come up at once
	t.startSessions()
	return err
}

// restarts says whether the speaker ends, and begins anew for a change of what.
func (t *transaction) restarts() (what string, ends bool) {
	switch {
	case t.before.speaker == nil:
		return "", false
	case t.now.speaker == nil:
		return "", true
	}
	fields := t.before.speaker.Resets(*t.now.speaker)
	return strings.Join(fields, ", "), len(fields) > 0
}

// kept says whether a session lives on.
func (t *transaction) kept(id string) bool {
	old, had := t.before.peers[id]
	p, has := t.now.peers[id]
	return had && has && len(old.Resets(p)) == 0
}

func (t *transaction) endSessions() {
	for id, old := range t.before.peers {
		if t.kept(id) {
			continue
		}
		for _, address := range t.limitedOf(old) {
			if l := t.unlimit(address); l.dynamic {
				_ = t.deleteAddress(address) // who held it off
			}
		}
		were := t.addresses(old)
		if err := t.deletePeer(old); err != nil {
			t.fail(old.Key(), err)
		}
		why := ""
		if p, ok := t.now.peers[id]; ok {
			why = strings.Join(old.Resets(p), ", ")
		}
		for _, address := range were {
			t.forgetSession(address, why)
		}
	}
}

// postpone leaves the sessions that are not there yet to the next try: it comes, for the
// error of the policy is that of every change. GoBGP lets all pass that no policy is for.
func (t *transaction) postpone() {
	for id := range t.now.peers {
		if !t.kept(id) {
			delete(t.now.peers, id)
		}
	}
}

func (t *transaction) startSessions() {
	// In the order of their keys, so that what is said of them is the same each time.
	ids := make([]string, 0, len(t.now.peers))
	for id := range t.now.peers {
		if !t.kept(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		p := t.now.peers[id]
		if p.Address.IsValid() {
			t.seenMu.Lock()
			t.seenOf(p.Address).calls = !p.Passive
			t.countDown()
			t.seenMu.Unlock()
		}
		if err := t.addPeer(t.now, p); err != nil {
			t.fail(p.Key(), err)
			delete(t.now.peers, id)
		}
	}
}

func (t *transaction) changePrefixes() {
	for prefix := range t.originated {
		if _, ok := t.now.prefixes[prefix]; ok {
			continue
		}
		if err := t.withdraw(prefix); err != nil {
			t.fail(state.BGPPrefix{Prefix: prefix}.Key(), err)
			t.now.prefixes[prefix] = t.before.prefixes[prefix]
		}
	}
	t.originateAll()
}

// originateAll announces what is not announced as it should be, with its marks.
func (t *transaction) originateAll() {
	marks := t.ownMarks(t.now)
	for prefix, p := range t.now.prefixes {
		communities := t.communitiesOf(p, marks)
		if old, ok := t.originated[prefix]; ok && old.BGPPrefix == p && old.communities == communities {
			continue
		}
		if err := t.originate(p, communities); err != nil {
			t.fail(p.Key(), err)
			delete(t.now.prefixes, prefix)
		}
	}
}

// changePolicy puts the policies of now in place of those that are there. Where a living
// session's export changes, routes of before are judged by its old policy until all
// have been marked as being of the next generation: so GoBGP, which withdraws a
// route where the old form of it passed and the new one does not, withdraws what
// the new policy rejects.
func (t *transaction) changePolicy() error {
	moved := map[string]bool{}
	var soft []state.BGPPeer
	before := t.policed
	all := before.speaker != nil && before.speaker.Own != t.now.speaker.Own || !slices.Equal(before.origins(), t.now.origins())
	for id, p := range t.now.peers {
		if !t.kept(id) {
			continue
		}
		old, known := before.peers[id]
		if !known || exporting(before, old) != exporting(t.now, p) {
			moved[id] = true
		}
		if !known || importing(before, old) != importing(t.now, p) {
			soft = append(soft, p)
		}
	}
	was := t.generation
	ch := change{now: t.now, generation: was}
	if len(moved) > 0 {
		ch.before, ch.previous, ch.moved = before, was, moved
		t.generation = nextGeneration(t.generation)
		ch.generation = t.generation
	}
	if err := t.install(ch); err != nil {
		t.generation = was // no route is of another
		return err
	}
	var errs []error
	switch {
	case len(moved) > 0 || all:
		errs = append(errs, t.softReset("all"))
		t.originateAll()
	default:
		for _, p := range soft {
			for _, a := range t.addresses(p) {
				errs = append(errs, t.softReset(a.String()))
			}
		}
	}
	if len(moved) > 0 {
		errs = append(errs, t.install(change{now: t.now, generation: t.generation}))
	}
	err := errors.Join(errs...)
	if err == nil {
		t.policed = t.now.clone()
	}
	return err
}

// addresses of the peers of a session that are there.
func (s *Speaker) addresses(p state.BGPPeer) []netip.Addr {
	if p.Address.IsValid() {
		return []netip.Addr{p.Address}
	}
	var out []netip.Addr
	for a, prefix := range s.dynamic() {
		if prefix == p.Prefix {
			out = append(out, a)
		}
	}
	return out
}

// softReset has what a peer announced, or all peers, judged by the policy of now.
func (s *Speaker) softReset(address string) error {
	err := s.server.ResetPeer(context.Background(), &api.ResetPeerRequest{
		Address: address, Soft: true, Direction: api.ResetPeerRequest_IN,
	})
	// A dynamic neighbour goes when it likes, and its routes with it. (GoBGP has no other
	// mark of this error than its words.)
	if err != nil && strings.HasSuffix(err.Error(), "doesn't exist") {
		return nil
	}
	return err
}
