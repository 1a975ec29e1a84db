package server

import (
	"net"

	"golang.org/x/sys/unix"
)

// peek gives what has come of a connection without taking it, and whether the other
// side has closed it. It does not wait.
func peek(c *net.TCPConn, b []byte) (n int, closed bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, true
	}
	err = raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}}
		if _, err := unix.Poll(p, 0); err != nil {
			return // interrupted: the next time
		}
		closed = p[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
		if p[0].Revents&unix.POLLIN != 0 {
			n, _, _ = unix.Recvfrom(int(fd), b, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		}
	})
	return max(n, 0), closed || err != nil
}
