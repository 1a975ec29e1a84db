// Package probe asks the network questions from inside a namespace: who answers,
// how fast, and under which address one is seen. Functions that open sockets do
// so on the calling thread, in its network namespace.
package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Pinger sends ICMP echo requests from one namespace, over IPv4 and IPv6.
type Pinger struct {
	id    uint16
	conns [2]*icmp.PacketConn // IPv4, IPv6

	mu      sync.Mutex
	seq     uint16
	waiting map[echo]chan time.Time
}

// echo is what a reply is recognised by.
type echo struct {
	from netip.Addr
	seq  uint16
}

// NewPinger opens a pinger's sockets in the calling thread's namespace. They are
// raw, since the group range of ping sockets is empty in a new namespace.
func NewPinger() (*Pinger, error) {
	p := &Pinger{id: uint16(rand.Uint32()), waiting: map[echo]chan time.Time{}}
	for i, f := range [2]struct{ network, address string }{{"ip4:icmp", "0.0.0.0"}, {"ip6:ipv6-icmp", "::"}} {
		c, err := icmp.ListenPacket(f.network, f.address)
		if err != nil {
			p.Close()
			return nil, fmt.Errorf("ping: %w", err)
		}
		p.conns[i] = c
	}
	go p.receive(p.conns[0], 1)
	go p.receive(p.conns[1], 58)
	return p, nil
}

// Close closes the sockets.
func (p *Pinger) Close() {
	for _, c := range p.conns {
		if c != nil {
			c.Close()
		}
	}
}

// ErrLost is what Ping gives where no reply came in time.
var ErrLost = errors.New("lost")

// Ping sends one echo request, waits for its reply as long as ctx lives and
// gives the time that it took.
func (p *Pinger) Ping(ctx context.Context, to netip.Addr) (time.Duration, error) {
	var echoType icmp.Type = ipv4.ICMPTypeEcho
	conn := p.conns[0]
	if to.Is6() {
		echoType, conn = ipv6.ICMPTypeEchoRequest, p.conns[1]
	}
	replied := make(chan time.Time, 1)
	p.mu.Lock()
	p.seq++
	key := echo{to, p.seq}
	p.waiting[key] = replied
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.waiting, key)
		p.mu.Unlock()
	}()

	packet, err := (&icmp.Message{Type: echoType, Body: &icmp.Echo{
		ID: int(p.id), Seq: int(key.seq), Data: binary.BigEndian.AppendUint64(nil, rand.Uint64()),
	}}).Marshal(nil)
	if err != nil {
		return 0, fmt.Errorf("ping %s: %w", to, err)
	}
	sent := time.Now()
	if _, err := conn.WriteTo(packet, &net.IPAddr{IP: to.AsSlice(), Zone: to.Zone()}); err != nil {
		return 0, fmt.Errorf("ping %s: %w", to, errors.Unwrap(err))
	}
	select {
	case at := <-replied:
		return at.Sub(sent), nil
	case <-ctx.Done():
		return 0, ErrLost
	}
}

// receive hands replies to those who wait for them, until the socket is closed.
func (p *Pinger) receive(c *icmp.PacketConn, protocol int) {
	buf := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		at := time.Now()
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return
			}
			continue // an ICMP error for an earlier packet
		}
		m, err := icmp.ParseMessage(protocol, buf[:n])
		if err != nil || (m.Type != ipv4.ICMPTypeEchoReply && m.Type != ipv6.ICMPTypeEchoReply) {
			continue
		}
		body, ok := m.Body.(*icmp.Echo)
		ip, isIP := from.(*net.IPAddr)
		if !ok || !isIP || body.ID != int(p.id) {
			continue
		}
		a, _ := netip.AddrFromSlice(ip.IP)
		p.mu.Lock()
		if w, ok := p.waiting[echo{a.Unmap(), uint16(body.Seq)}]; ok {
			select {
			case w <- at:
			default: // a duplicate
			}
		}
		p.mu.Unlock()
	}
}
