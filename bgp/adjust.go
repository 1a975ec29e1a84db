package bgp

import (
	"github.com/osrg/gobgp/v3/pkg/server"

	"github.com/plumbnet/plumb/state"
)

// adjustSessions changes limits and timers of the sessions that live on.
func (t *transaction) adjustSessions() {
	for id, p := range t.now.peers {
		if !t.kept(id) {
			continue
		}
		old := t.before.peers[id]
		if old.MaxPrefixes == p.MaxPrefixes && old.HoldTime == p.HoldTime && old.RestartTime == p.RestartTime {
			continue
		}
		if err := t.adjust(p); err != nil {
			t.fail(p.Key(), err)
			t.now.peers[id] = old
			continue
		}
		// One that is down for too many prefixes has another chance at once.
		if p.MaxPrefixes == 0 || old.MaxPrefixes != 0 && old.MaxPrefixes < p.MaxPrefixes {
			for _, address := range t.limitedOf(p) {
				t.release(address)
			}
		}
	}
}

func (s *Speaker) adjust(p state.BGPPeer) error {
	timers := apiTimers(p).GetConfig()
	a := server.PeerAdjustment{
		MaxPrefixes: p.MaxPrefixes,
		HoldTime:    float64(timers.GetHoldTime()), KeepaliveInterval: float64(timers.GetKeepaliveInterval()),
		RestartTime: p.RestartTime, DeferralTime: p.RestartTime,
	}
	if p.Address.IsValid() {
		return s.server.AdjustPeer(p.Address.String(), a)
	}
	for address, prefix := range s.remembered {
		if prefix != p.Prefix {
			continue
		}
		if err := s.server.AdjustPeer(address.String(), a); err != nil {
			return err
		}
	}
	return s.server.AdjustPeerGroup(p.Prefix.String(), a)
}
