package bgp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// listenEvery is how often a port is looked at that another program has.
const listenEvery = 2 * time.Second

// port is the one that is listened on, and the addresses of those families on which it
// can be, or is another program's.
type port struct {
	number      int
	free, taken []string
	err         error // of the last that is taken

	listeners map[string]bool // that were seen on it,
	owner     string          // and whose they are
}

// lookAtPort tries both families. Without any, GoBGP still calls its peers.
func lookAtPort(number int) port {
	p := port{number: number}
	if number <= 0 {
		return p
	}
	for _, a := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		p.try(a.String())
	}
	return p
}

func (p *port) try(address string) {
	network := "tcp4"
	if address == netip.IPv6Unspecified().String() {
		network = "tcp6"
	}
	l, err := net.Listen(network, net.JoinHostPort(address, strconv.Itoa(p.number)))
	switch {
	case err == nil:
		_ = l.Close()
		p.free = append(p.free, address)
	case errors.Is(err, syscall.EAFNOSUPPORT), errors.Is(err, syscall.EADDRNOTAVAIL):
		// a host without the family
	default:
		p.taken, p.err = append(p.taken, address), err
	}
}

// takesIPv4 says whether the port can be called at 127.0.0.1.
func (p *port) takesIPv4() bool { return slices.Contains(p.free, netip.IPv4Unspecified().String()) }

// warning names the port and who has it, where another program does.
func (p *port) warning() string {
	if len(p.taken) == 0 {
		return ""
	}
	// It is asked every two seconds, and the owner of a socket costs a look at all processes.
	if l := listeners(p.number); !maps.Equal(l, p.listeners) {
		p.listeners, p.owner = l, ownerOf(l)
	}
	whose := "another program's"
	switch {
	case p.owner != "":
		whose = p.owner
	case !errors.Is(p.err, syscall.EADDRINUSE):
		whose = fmt.Sprintf("not to be had (%v)", p.err)
	}
	return fmt.Sprintf("BGP: port %d is %s: sessions that this node calls work, those that peers call do not; "+
		"it is taken when it is free, or set bgp.listenPort", p.number, whose)
}

// listenWhenFree listens on what another program has, as soon as that gives it up,
// until ctx ends.
func (s *Speaker) listenWhenFree(ctx context.Context, p port) {
	tick := time.NewTicker(listenEvery)
	defer tick.Stop()
	for len(p.taken) > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p = s.listenNow(ctx, p)
	}
}

func (s *Speaker) listenNow(ctx context.Context, p port) port {
	now := port{number: p.number, listeners: p.listeners, owner: p.owner}
	for _, address := range p.taken {
		now.try(address)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return port{}
	}
	for _, address := range now.free {
		if err := s.server.Listen(address, uint16(p.number)); err != nil {
			now.taken, now.err = append(now.taken, address), err
			continue
		}
		s.log.Info("BGP: the port is free, and listened on", "port", p.number, "address", address)
	}
	s.warnings = nil
	if w := now.warning(); w != "" {
		s.warnings = []string{w}
	}
	return now
}
