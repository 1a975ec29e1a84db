package server

import "net"

// waitingMax is how many callers wait at most.
const waitingMax = 1 << 10

// AwaitPeers says whether more peers are about to be added. While they are, who calls and
// is not known yet waits, where otherwise the connection is closed: other speakers take
// that for an error, and may not call again, nor let themselves be called, for a minute.
// When there are no more, those who wait are looked up again.
func (s *BgpServer) AwaitPeers(more bool) error {
	return s.mgmtOperation(func() error {
		s.awaiting = more
		if more {
			return nil
		}
		waiting := s.waiting
		s.waiting = nil
		for _, conn := range waiting {
			s.passConnToPeer(conn)
		}
		return nil
	}, false)
}

// holdUntilActive keeps a connection that comes before the fsm has left Idle for the
// first time, which it is about to.
func (fsm *fsm) holdUntilActive(conn net.Conn) bool {
	fsm.lock.Lock()
	defer fsm.lock.Unlock()
	if fsm.idleHoldTime > 0 || fsm.adminState != adminStateUp || fsm.held != nil {
		return false
	}
	fsm.held = conn
	return true
}
