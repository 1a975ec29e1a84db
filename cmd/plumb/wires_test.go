package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// wires gives what passed over the fabric's wires while do ran, each kind of packet
// once, by its outermost header: "172.18.1.11 > 172.18.2.13 udp 4789".
func wires(t *testing.T, do func()) []string {
	t.Helper()
	all := uint16(unix.ETH_P_ALL)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(all<<8|all>>8))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	// Beyond rmem_max where that is allowed; what is lost is missed below.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20)
	do()
	var seen []string
	buf := make([]byte, 256)
	for {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			break
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && isWire(ll.Ifindex) {
			if p := describe(buf[:n]); p != "" && !slices.Contains(seen, p) {
				seen = append(seen, p)
			}
		}
	}
	slices.Sort(seen)
	return seen
}

func isWire(index int) bool {
	i, err := net.InterfaceByIndex(index)
	return err == nil && strings.HasPrefix(i.Name, "wire-")
}

// describe names an IP packet by its addresses, and its protocol with UDP's port.
func describe(b []byte) string {
	var src, dst netip.Addr
	var protocol byte
	var rest []byte
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		src, _ = netip.AddrFromSlice(b[12:16])
		dst, _ = netip.AddrFromSlice(b[16:20])
		protocol, rest = b[9], b[min(len(b), int(b[0]&15)*4):]
	case len(b) >= 40 && b[0]>>4 == 6:
		src, _ = netip.AddrFromSlice(b[8:24])
		dst, _ = netip.AddrFromSlice(b[24:40])
		protocol, rest = b[6], b[40:]
	default:
		return ""
	}
	what := fmt.Sprintf("protocol %d", protocol)
	switch {
	case protocol == unix.IPPROTO_ICMP, protocol == unix.IPPROTO_ICMPV6:
		what = "icmp"
	case protocol == unix.IPPROTO_IPIP:
		what = "ipip"
	case protocol == unix.IPPROTO_UDP && len(rest) >= 4:
		what = fmt.Sprintf("udp %d", binary.BigEndian.Uint16(rest[2:]))
	}
	return fmt.Sprintf("%s > %s %s", src, dst, what)
}
