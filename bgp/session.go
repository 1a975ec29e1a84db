package bgp

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/plumbnet/plumb/state"
)

// Session is a session as it is now.
type Session struct {
	Name string `json:"name"`
	// Address is not valid for a prefix that nobody can come by, since the session is not
	// made.
	Address netip.Addr `json:"address"`
	// Prefix is set where the peer is a dynamic neighbour: the prefix of its BGPPeer.
	Prefix   netip.Prefix `json:"prefix,omitzero"`
	ASN      uint32       `json:"asn"`
	State    string       `json:"state"` // idle, connect, active, opensent, openconfirm, established
	RouterID string       `json:"routerID,omitempty"`
	// Since is when it came into State, or left established.
	Since time.Time `json:"since"`
	// HoldTime is what both sides have agreed on, in seconds; 0 before that.
	HoldTime int `json:"holdTime,omitempty"`
	// Restarting says that the peer restarts gracefully: its routes are kept.
	Restarting bool `json:"restarting,omitempty"`
	// Families have one entry for each family that is configured.
	Families []SessionFamily `json:"families"`
	// LastError is why the session ended last or does not come up, in words. It stays
	// when the session is up again; what only kept it from coming up does not.
	LastError string    `json:"lastError,omitempty"`
	ErrorAt   time.Time `json:"errorAt,omitzero"`
	// Again is set where the session is held off, for too many prefixes: when it may
	// come up again.
	Again time.Time `json:"again,omitzero"`
}

// SessionFamily counts the prefixes of one family.
type SessionFamily struct {
	Family   string `json:"family"` // ipv4, ipv6
	Received uint64 `json:"received"`
	Accepted uint64 `json:"accepted"` // those that the import filters let in
	Sent     uint64 `json:"sent"`
	EndOfRIB bool   `json:"endOfRIB"` // the peer has sent all that it has
}

// Established is the state of a session that carries routes.
const Established = "established"

// seen is what was seen of a peer's session.
type seen struct {
	state string
	since time.Time
	up    bool // since GoBGP said so, which may be before it calls back with the state
	err   string
	errAt time.Time
	ended string // why the session ended last
	endAt time.Time
	said  string // the error that the log said last while it was down
	// changed is the number of the last change of state.
	changed int
	calls   bool // this node calls the peer
}

// unstick ends an opening that gets nowhere. GoBGP gives it four minutes, as RFC
// 4271 suggests (8.2.2), in which it takes no other connection from the peer; a peer
// that could not be heard, for its TTL or password, is to be heard soon after the
// mend.
func (s *Speaker) unstick(peer netip.Addr, at int) {
	s.seenMu.Lock()
	e := s.lookAt(peer)
	stuck := e.changed == at && !e.up
	s.seenMu.Unlock()
	if !stuck {
		return
	}
	s.noteError(peer, "the peer took the connection, and does not open the session")
	request := &api.DisablePeerRequest{Address: peer.String()}
	if err := s.server.DisablePeer(context.Background(), request); err != nil {
		return // it is gone
	}
	s.await(time.Now().Add(5*time.Second), func(p *api.Peer) bool {
		return p.GetState().GetNeighborAddress() != peer.String() || p.GetState().GetAdminState() == api.PeerState_DOWN
	})
	_ = s.server.EnablePeer(context.Background(), &api.EnablePeerRequest{Address: peer.String()})
}

// sawState notes a change of state, and says in the log what counts: up and down.
func (s *Speaker) sawState(p *api.Peer) {
	peer, err := netip.ParseAddr(p.GetState().GetNeighborAddress())
	if err != nil || peer == gateAddress {
		return
	}
	now := strings.ToLower(p.GetState().GetSessionState().String())
	s.seenMu.Lock()
	e := s.seenOf(peer)
	before := e.state
	if before != now && (before == Established || now == Established || e.since.IsZero()) {
		e.since = time.Now()
	}
	e.state = now
	s.changes++
	e.changed = s.changes
	why, at := e.err, e.changed
	if before == Established && now != Established {
		e.up, e.ended, e.endAt = false, e.err, e.errAt
	}
	s.countDown()
	s.seenMu.Unlock()
	if now == "opensent" || now == "openconfirm" {
		time.AfterFunc(s.options.OpenWait, func() { s.unstick(peer, at) })
	}
	switch {
	case now == Established && before != Established:
		s.log.Info("BGP session up", "peer", s.nameOf(peer), "address", peer, "asn", p.GetState().GetPeerAsn())
	case before == Established && now != Established:
		s.log.Warn("BGP session down", "peer", s.nameOf(peer), "address", peer, "why", cmp.Or(why, "unknown"))
	}
	if before != now {
		s.updates.change(func() { s.updates.sessions = true })
	}
	if now == "idle" {
		s.mayBeGone()
	}
	if now != Established {
		return
	}
	if err := s.record.write(); err != nil {
		s.log.Warn("BGP: the next start will not be known as a restart by itself", "err", err)
	}
	s.noteNeighbours(peer, p.GetConf().GetPeerGroup())
}

// noteUp notes that a session came up. What is noted after this, and not what was
// noted before, may be why it ends.
func (s *Speaker) noteUp(peer netip.Addr) {
	s.seenMu.Lock()
	defer s.seenMu.Unlock()
	e := s.seenOf(peer)
	e.up, e.err, e.errAt, e.said = true, e.ended, e.endAt, ""
}

// forgetSession forgets what was seen of a session that is taken down here. Where it
// is made anew for a change of what, that is why it ended.
func (s *Speaker) forgetSession(peer netip.Addr, what string) {
	s.seenMu.Lock()
	before := s.lookAt(peer)
	delete(s.seen, peer)
	was := before.state == Established && what != ""
	why := "reset by a change of " + what
	if was {
		e := s.seenOf(peer)
		e.err, e.errAt = why, time.Now()
		e.ended, e.endAt = e.err, e.errAt
	}
	s.countDown()
	s.seenMu.Unlock()
	if was {
		s.log.Warn("BGP session down", "peer", s.nameOf(peer), "address", peer, "why", why)
	}
}

// lookAt is called with seenMu held, and gives nothing of who was not seen.
func (s *Speaker) lookAt(peer netip.Addr) seen {
	if e := s.seen[peer]; e != nil {
		return *e
	}
	return seen{}
}

// seenOf is called with seenMu held, and makes an entry where there is none.
func (s *Speaker) seenOf(peer netip.Addr) *seen {
	e := s.seen[peer]
	if e == nil {
		e = &seen{}
		s.seen[peer] = e
	}
	return e
}

// countDown is called with seenMu held.
func (s *Speaker) countDown() {
	down := int32(0)
	for _, e := range s.seen {
		if e.calls && e.state != Established {
			down++
		}
	}
	s.serverLog.down.Store(down)
}

// noteError notes why a session ended or does not come up.
func (s *Speaker) noteError(peer netip.Addr, why string) {
	s.seenMu.Lock()
	e := s.seenOf(peer)
	e.err, e.errAt = why, time.Now()
	say := !e.up && e.said != why
	if say {
		e.said = why
	}
	s.seenMu.Unlock()
	if say {
		s.log.Info("BGP session does not come up", "peer", s.nameOf(peer), "address", peer, "why", why)
	}
}

// noteReason is noteError where nothing better was said in the last moment.
func (s *Speaker) noteReason(peer netip.Addr, why string) {
	if why == "" {
		return
	}
	s.seenMu.Lock()
	defer s.seenMu.Unlock()
	e := s.seenOf(peer)
	if e.err == "" || time.Since(e.errAt) > time.Second {
		e.err, e.errAt = why, time.Now()
	}
}

// nameOf is the name of the peer's session, or its address.
func (s *Speaker) nameOf(peer netip.Addr) string {
	if c := s.current.Load(); c != nil {
		if p, ok := c.peerAt(peer); ok {
			return p.Name
		}
	}
	return peer.String()
}

func (c *config) peerAt(a netip.Addr) (state.BGPPeer, bool) {
	if p, ok := c.peers[a.String()]; ok {
		return p, true
	}
	var found state.BGPPeer
	for _, p := range c.peers {
		if p.Prefix.IsValid() && p.Prefix.Contains(a) && (!found.Prefix.IsValid() || found.Prefix.Bits() < p.Prefix.Bits()) {
			found = p
		}
	}
	return found, found.Prefix.IsValid()
}

// Sessions gives every session, sorted by name and address. Accepted and Sent are
// a few seconds old at most.
func (s *Speaker) Sessions() []Session {
	c := s.current.Load()
	if c == nil || c.speaker == nil {
		return []Session{}
	}
	out := []Session{}
	_ = s.server.ListPeer(context.Background(), &api.ListPeerRequest{}, func(p *api.Peer) {
		address, err := netip.ParseAddr(p.GetState().GetNeighborAddress())
		if err != nil || address == gateAddress {
			return
		}
		of, ok := c.peerAt(address)
		if !ok {
			return
		}
		e := session(p, of)
		s.seenMu.Lock()
		saw := s.lookAt(address)
		s.seenMu.Unlock()
		// GoBGP's state is ahead of what it calls back with: since when a session is
		// established is known with the call.
		if e.State == Established {
			e.State = cmp.Or(saw.state, "openconfirm")
		}
		e.Since, e.LastError, e.ErrorAt = saw.since, saw.err, saw.errAt
		e.Again = s.heldOff(address)
		if of.Prefix.IsValid() && e.State != Established && !e.Restarting && e.Again.IsZero() {
			return // remembered, and not come back
		}
		if e.State == Established {
			s.count(c, of, &e)
		}
		out = append(out, e)
	})
	slices.SortFunc(out, func(a, b Session) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), a.Address.Compare(b.Address))
	})
	return out
}

func session(p *api.Peer, of state.BGPPeer) Session {
	e := Session{
		Name: of.Name, Prefix: of.Prefix, ASN: of.ASN,
		State: strings.ToLower(p.GetState().GetSessionState().String()), RouterID: p.GetState().GetRouterId(),
		Restarting: p.GetGracefulRestart().GetPeerRestarting(),
	}
	if e.State == Established {
		e.HoldTime = int(p.GetTimers().GetState().GetNegotiatedHoldTime())
	}
	e.Address, _ = netip.ParseAddr(p.GetState().GetNeighborAddress())
	families := p.GetAfiSafis()
	if p.GetConf().GetPeerAsn() == noASN { // who is held off has a stand-in
		families = apiFamilies(of)
	}
	for _, f := range families {
		name := "ipv4"
		if f.GetConfig().GetFamily().GetAfi() == api.Family_AFI_IP6 {
			name = "ipv6"
		}
		e.Families = append(e.Families, SessionFamily{
			Family: name, Received: f.GetState().GetReceived(), Accepted: f.GetState().GetAccepted(),
			EndOfRIB: f.GetMpGracefulRestart().GetState().GetEndOfRibReceived(),
		})
	}
	return e
}
