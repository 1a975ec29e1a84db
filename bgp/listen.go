package bgp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

// listenable gives the addresses of both families that can be listened on, and a
// warning where another program has the port. Without any, GoBGP still calls its
// peers.
func listenable(port int) (addresses []string, warning string) {
	if port <= 0 {
		return nil, ""
	}
	var taken error
	for _, a := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		network := "tcp4"
		if a.Is6() {
			network = "tcp6"
		}
		l, err := net.Listen(network, net.JoinHostPort(a.String(), strconv.Itoa(port)))
		switch {
		case err == nil:
			_ = l.Close()
			addresses = append(addresses, a.String())
		case errors.Is(err, syscall.EAFNOSUPPORT), errors.Is(err, syscall.EADDRNOTAVAIL):
			// a host without the family
		default:
			taken = err
		}
	}
	if taken != nil {
		warning = fmt.Sprintf("BGP: port %d cannot be listened on (%v): sessions that this node calls work, those that peers call do not; "+
			"stop the other program and restart plumb, or set bgp.listenPort", port, taken)
	}
	return addresses, warning
}
