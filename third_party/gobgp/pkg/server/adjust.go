package server

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/osrg/gobgp/v3/pkg/config/oc"
	"github.com/osrg/gobgp/v3/pkg/log"
	"github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// PeerAdjustment is what AdjustPeer changes of a peer, all of it.
type PeerAdjustment struct {
	// MaxPrefixes is for each family, and counts at once; 0: no limit.
	MaxPrefixes uint32
	// The times are in seconds, and those of the next session: the living one goes on
	// with what both sides have said in their OPENs.
	HoldTime, KeepaliveInterval float64
	RestartTime, DeferralTime   uint16
}

// AdjustPeer changes what can be changed of a peer while its session lives. Unlike
// UpdatePeer it leaves everything else of the peer, its state included, as it is.
func (s *BgpServer) AdjustPeer(address string, a PeerAdjustment) error {
	return s.mgmtOperation(func() error {
		p, ok := s.neighborMap[address]
		if !ok {
			return fmt.Errorf("neighbor that has %v doesn't exist", address)
		}
		return p.adjust(a)
	}, true)
}

// AdjustPeerGroup is AdjustPeer for a group and all who came by it.
func (s *BgpServer) AdjustPeerGroup(name string, a PeerAdjustment) error {
	return s.mgmtOperation(func() error {
		g, ok := s.peerGroupMap[name]
		if !ok {
			return fmt.Errorf("no such peer-group: %s", name)
		}
		a.set(&g.Conf.Timers, &g.Conf.GracefulRestart, g.Conf.AfiSafis)
		for _, p := range s.neighborMap {
			p.fsm.lock.RLock()
			member := p.fsm.pConf.Config.PeerGroup == name
			p.fsm.lock.RUnlock()
			if !member {
				continue
			}
			if err := p.adjust(a); err != nil {
				return err
			}
		}
		return nil
	}, true)
}

func (p *peer) adjust(a PeerAdjustment) error {
	p.fsm.lock.Lock()
	conf := p.fsm.pConf
	a.set(&conf.Timers, &conf.GracefulRestart, conf.AfiSafis)
	families := conf.AfiSafis
	established := p.fsm.state == bgp.BGP_FSM_ESTABLISHED
	p.fsm.lock.Unlock()
	for _, f := range families {
		p.prefixLimitWarned[f.State.Family] = false
		if !established {
			continue
		}
		if m := p.doPrefixLimit(f.State.Family, &f.PrefixLimit.Config); m != nil {
			sendfsmOutgoingMsg(p, nil, m, true)
			return nil
		}
	}
	return nil
}

func (a PeerAdjustment) set(t *oc.Timers, g *oc.GracefulRestart, families []oc.AfiSafi) {
	t.Config.HoldTime, t.Config.KeepaliveInterval = a.HoldTime, a.KeepaliveInterval
	g.Config.RestartTime, g.Config.DeferralTime = a.RestartTime, a.DeferralTime
	for i := range families {
		families[i].PrefixLimit.Config.MaxPrefixes = a.MaxPrefixes
	}
}

// Listen opens one more listener, besides those that StartBgp has opened, for those
// peers that there are and that come.
func (s *BgpServer) Listen(address string, port uint16) error {
	return s.mgmtOperation(func() error {
		accept := s.acceptCh
		if accept == nil {
			accept = make(chan *net.TCPConn, 32)
		}
		l, err := newTCPListener(s.logger, address, uint32(port), "", accept)
		if err != nil {
			return err
		}
		s.acceptCh = accept
		s.listeners = append(s.listeners, l)
		s.bgpConfig.Global.Config.Port = int32(port)
		for of, p := range s.neighborMap {
			p.fsm.lock.RLock()
			password := p.fsm.pConf.Config.AuthPassword
			p.fsm.lock.RUnlock()
			s.setPassword(l.l, of, password)
		}
		for _, g := range s.peerGroupMap {
			for of := range g.dynamicNeighbors {
				s.setPassword(l.l, of, g.Conf.Config.AuthPassword)
			}
		}
		return nil
	}, true)
}

// setPassword has a listener ask an address or prefix for the password, if there is one.
func (s *BgpServer) setPassword(l *net.TCPListener, of, password string) {
	host, _, _ := strings.Cut(of, "/")
	if password == "" || !slices.Contains(s.listListeners(host), l) {
		return
	}
	if err := setTCPMD5SigSockopt(l, of, password); err != nil {
		s.logger.Warn("failed to set md5",
			log.Fields{
				"Topic": "Peer",
				"Key":   of,
				"Err":   err})
	}
}
