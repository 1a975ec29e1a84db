package monitor

import (
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Conn is a socket for rtnetlink requests. Requests on one Conn wait for each other.
type Conn struct {
	sockets map[int]*nl.SocketHandle
}

// Dial opens a Conn in the network namespace of the calling thread.
func Dial() (*Conn, error) {
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("rtnetlink socket: %w", err)
	}
	_ = s.SetExtAck(true) // errors then say more, where the kernel can
	return &Conn{map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}}, nil
}

// Request begins a request (unix.RTM_…) that is executed on c.
func (c *Conn) Request(msgType, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(msgType, flags)
	req.Sockets = c.sockets
	return req
}

// Close closes the socket.
func (c *Conn) Close() {
	for _, s := range c.sockets {
		s.Close()
	}
}
