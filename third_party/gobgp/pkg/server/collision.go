package server

import (
	"bytes"
	"context"
	"net"
	"sync"

	"github.com/osrg/gobgp/v3/pkg/log"
	"github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// secondConn is another connection with a peer, beside that of an fsm in OpenSent or
// OpenConfirm: both sides have called at once. RFC 4271, 6.8, has both opened, and one
// closed as soon as the peer's identifier is known.
type secondConn struct {
	conn net.Conn
	// opened has the peer's first message on it, and is closed after that, or without
	// one where none came.
	opened chan *fsmMsg
}

// collide takes a connection that came while the fsm has one already. One of the same
// direction as that is no collision, and refused.
func (h *fsmHandler) collide(conn net.Conn) {
	fsm := h.fsm
	fsm.lock.Lock()
	refused := fsm.second != nil || (conn == fsm.dialed) == (fsm.conn == fsm.dialed)
	if !refused {
		refused = setConnTTL(fsm, conn) != nil
	}
	open := buildopen(fsm.gConf, fsm.pConf)
	address, state := fsm.pConf.State.NeighborAddress, fsm.state.String()
	fsm.lock.Unlock()
	if refused {
		conn.Close()
		fsm.logger.Warn("Closed an accepted connection",
			log.Fields{
				"Topic": "Peer",
				"Key":   address,
				"State": state})
		return
	}
	b, _ := open.Serialize()
	conn.Write(b)
	fsm.bgpMessageStateUpdate(open.Header.Type, false)
	s := &secondConn{conn: conn, opened: make(chan *fsmMsg, 1)}
	fsm.second = s
	reader := &fsmHandler{
		fsm: fsm, conn: conn, stateReasonCh: make(chan fsmStateReason, 2), holdTimerResetCh: make(chan bool, 2),
	}
	go func() {
		defer close(s.opened)
		if m, _ := reader.recvMessageWithError(); m != nil {
			s.opened <- m
		}
	}()
}

// secondOpened gives the second connection's first message; nil, which never comes,
// where there is no second connection.
func (fsm *fsm) secondOpened() <-chan *fsmMsg {
	if fsm.second == nil {
		return nil
	}
	return fsm.second.opened
}

// resolve decides between two connections when the second has its first message; true:
// the second is the fsm's connection from now on, and OpenSent goes on with it.
func (h *fsmHandler) resolve(e *fsmMsg) bool {
	fsm := h.fsm
	s := fsm.second
	var open *bgp.BGPOpen
	if e != nil {
		if m, ok := e.MsgData.(*bgp.BGPMessage); ok && m.Header.Type == bgp.BGP_MSG_OPEN {
			open, _ = m.Body.(*bgp.BGPOpen)
		}
	}
	if open == nil {
		s.conn.Close()
		fsm.second = nil
		return false
	}
	fsm.lock.RLock()
	secondDialed := s.conn == fsm.dialed
	ours, theirs := net.ParseIP(fsm.gConf.Config.RouterId).To4(), open.ID.To4()
	localAS, peerAS := fsm.peerInfo.LocalAS, fsm.pConf.Config.PeerAs
	fsm.lock.RUnlock()
	// The connection of the side with the higher identifier stays; of equal ones, that
	// with the higher AS (RFC 6286, 2.3).
	order := bytes.Compare(ours, theirs)
	weStay := order > 0 || order == 0 && localAS > peerAS
	if weStay != secondDialed {
		fsm.dropSecond()
		return false
	}
	closeCollided(fsm.conn)
	// The message is put back for who goes on.
	again := make(chan *fsmMsg, 1)
	again <- e
	close(again)
	s.opened = again
	fsm.adopt()
	return true
}

// adopt makes the second connection that of the fsm.
func (fsm *fsm) adopt() {
	fsm.lock.Lock()
	defer fsm.lock.Unlock()
	fsm.conn, fsm.adopted, fsm.second = fsm.second.conn, fsm.second, nil
}

// dropSecond closes the second connection, if there is one.
func (fsm *fsm) dropSecond() {
	if fsm.second != nil {
		closeCollided(fsm.second.conn)
		fsm.second = nil
	}
}

func closeCollided(conn net.Conn) {
	b, _ := bgp.NewBGPNotificationMessage(bgp.BGP_ERROR_CEASE, bgp.BGP_ERROR_SUB_CONNECTION_COLLISION_RESOLUTION, nil).Serialize()
	conn.Write(b)
	conn.Close()
}

// recvAdopted is recvMessage for a connection whose OPEN was sent, and whose first
// message is read, by collide.
func (h *fsmHandler) recvAdopted(s *secondConn, wg *sync.WaitGroup) {
	defer wg.Done()
	defer h.msgCh.Close()
	if m, ok := <-s.opened; ok {
		h.msgCh.In() <- m
		return
	}
	h.stateReasonCh <- *newfsmStateReason(fsmReadFailed, nil, nil)
}

// afterOpening says how it goes on after OpenSent and OpenConfirm. Where the connection
// was lost, the second takes its place; without one OpenSent becomes Active, where the
// peer can call (RFC 4271, 8.2.2, event 18): in Idle it would be refused, and as it
// refuses in turn, two that call each other would never meet. A dynamic neighbour is
// not waited for, but where it restarts: it goes with Idle, and can call as before.
func (h *fsmHandler) afterOpening(ctx context.Context, from, to bgp.FSMState, reason *fsmStateReason) (bgp.FSMState, *fsmStateReason) {
	fsm := h.fsm
	switch {
	case from != bgp.BGP_FSM_OPENSENT && from != bgp.BGP_FSM_OPENCONFIRM:
		return to, reason
	case to == bgp.BGP_FSM_OPENSENT, to == bgp.BGP_FSM_OPENCONFIRM:
		return to, reason
	case to == bgp.BGP_FSM_IDLE && lostToCollision(from, reason) && ctx.Err() == nil:
		if fsm.second != nil {
			fsm.adopt()
			return bgp.BGP_FSM_OPENSENT, newfsmStateReason(fsmNewConnection, nil, nil)
		}
		if fsm.awaited() {
			return bgp.BGP_FSM_ACTIVE, reason
		}
	}
	fsm.dropSecond()
	return to, reason
}

// awaited says whether the peer is configured by its address, or restarts.
func (fsm *fsm) awaited() bool {
	fsm.lock.RLock()
	defer fsm.lock.RUnlock()
	c := &fsm.pConf.Config
	return c.NeighborAddress != "" || c.NeighborInterface != "" || fsm.pConf.GracefulRestart.State.PeerRestarting
}

// closeConns closes what called and is not answered any more.
func (fsm *fsm) closeConns() {
	close(fsm.connCh)
	for conn := range fsm.connCh {
		conn.Close()
	}
	if conn := fsm.takeHeld(); conn != nil {
		conn.Close()
	}
}

// lostToCollision says whether the end of a connection may be that of one of two.
func lostToCollision(from bgp.FSMState, reason *fsmStateReason) bool {
	switch reason.Type {
	case fsmReadFailed:
		return from == bgp.BGP_FSM_OPENSENT
	case fsmNotificationRecv:
		if reason.BGPNotification == nil {
			return false
		}
		body, ok := reason.BGPNotification.Body.(*bgp.BGPNotification)
		return ok && body.ErrorCode == bgp.BGP_ERROR_CEASE && body.ErrorSubcode == bgp.BGP_ERROR_SUB_CONNECTION_COLLISION_RESOLUTION
	}
	return false
}
