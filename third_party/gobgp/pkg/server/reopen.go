package server

import (
	"bytes"
	"net"
	"sync"
	"time"

	"github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// A peer that restarts gracefully may call while its old session still stands here: the
// old connection died without a word. RFC 4724, 5, has the new one tracked until it sends
// OPEN, and the old one dropped then, with the peer's routes kept as stale.

const (
	// reopenWait is how long a new connection has for its OPEN.
	reopenWait = 10 * time.Second
	// reopenDoubt is how long it has to stand then: the peer may have called before it
	// knew of the session, and closes that call as the collision that it is.
	reopenDoubt = 500 * time.Millisecond
)

// tracked is a new connection beside that of an established session.
type tracked struct {
	conn   net.Conn
	opened chan bool // true: it is to take the old one's place
	stop   chan struct{}
}

// track watches a connection that came while the session is established; nil: it is
// refused.
func (h *fsmHandler) track(conn net.Conn, wg *sync.WaitGroup) *tracked {
	fsm := h.fsm
	fsm.lock.Lock()
	ok := fsm.pConf.GracefulRestart.State.Enabled && conn != fsm.dialed && setConnTTL(fsm, conn) == nil
	fsm.lock.Unlock()
	c, isTCP := conn.(*net.TCPConn)
	if !ok || !isTCP {
		return nil
	}
	t := &tracked{conn: conn, opened: make(chan bool, 1), stop: make(chan struct{})}
	wg.Add(1)
	go func() {
		defer wg.Done()
		t.opened <- t.opens(c)
	}()
	return t
}

// opens waits until the peer has sent OPEN, which is left to be read, and then whether
// the connection stands.
func (t *tracked) opens(c *net.TCPConn) bool {
	header := make([]byte, bgp.BGP_HEADER_LENGTH)
	var since time.Time
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(reopenWait); time.Now().Before(end); {
		select {
		case <-t.stop:
			return false
		case <-tick.C:
		}
		n, closed := peek(c, header)
		switch {
		case closed:
			return false
		case !since.IsZero():
			if time.Since(since) >= reopenDoubt {
				return true
			}
		case n == len(header):
			if !isOpen(header) {
				return false
			}
			since = time.Now()
		}
	}
	return false
}

func isOpen(header []byte) bool {
	const marker = 16
	return bytes.Count(header[:marker], []byte{0xff}) == marker && header[bgp.BGP_HEADER_LENGTH-1] == bgp.BGP_MSG_OPEN
}

// result tells once what became of it; never where there is none.
func (t *tracked) result() <-chan bool {
	if t == nil {
		return nil
	}
	return t.opened
}

// hold keeps the tracked connection for the next session, where the old one ends
// gracefully; else drop closes it.
func (fsm *fsm) hold(t *tracked) {
	if t == nil {
		return
	}
	close(t.stop)
	fsm.lock.Lock()
	fsm.held = t.conn
	fsm.lock.Unlock()
}

func (t *tracked) drop() {
	if t != nil {
		close(t.stop)
		t.conn.Close()
	}
}

// takeHeld gives the connection that is held, once.
func (fsm *fsm) takeHeld() net.Conn {
	fsm.lock.Lock()
	defer fsm.lock.Unlock()
	conn := fsm.held
	fsm.held = nil
	return conn
}

// holds says whether a connection is held.
func (fsm *fsm) holds() bool {
	fsm.lock.RLock()
	defer fsm.lock.RUnlock()
	return fsm.held != nil
}
