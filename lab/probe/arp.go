package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// ARP asks who has an IPv4 address on an interface of the calling thread's
// namespace, as arping(8) does, and gives the first who answers.
func ARP(ifName string, from, who netip.Addr, wait time.Duration) (net.HardwareAddr, error) {
	mac, err := arp(ifName, from, who, wait)
	if err != nil {
		return nil, fmt.Errorf("arp who-has %s: %w", who, err)
	}
	return mac, nil
}

// errNoARP is what ARP gives where nobody answers.
var errNoARP = errors.New("nobody answers")

func arp(ifName string, from, who netip.Addr, wait time.Duration) (net.HardwareAddr, error) {
	dev, err := net.InterfaceByName(ifName)
	if err != nil {
		return nil, err
	}
	proto := htons(unix.ETH_P_ARP)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(proto))
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: dev.Index}); err != nil {
		return nil, fmt.Errorf("bind: %w", err)
	}
	everyone := &unix.SockaddrLinklayer{Protocol: proto, Ifindex: dev.Index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}
	if err := unix.Sendto(fd, arpRequest(dev.HardwareAddr, from, who), 0, everyone); err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	buf := make([]byte, 128)
	for deadline := time.Now().Add(wait); ; {
		left := time.Until(deadline)
		if left <= 0 {
			return nil, errNoARP
		}
		tv := unix.NsecToTimeval(left.Nanoseconds())
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
			return nil, fmt.Errorf("timeout: %w", err)
		}
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("receive: %w", err)
		}
		if mac, ok := arpReply(buf[:n], who); ok {
			return mac, nil
		}
	}
}

// arpRequest is RFC 826's packet: Ethernet, IPv4, request.
func arpRequest(mac net.HardwareAddr, from, who netip.Addr) []byte {
	p := []byte{0, 1, 8, 0, 6, 4, 0, 1}
	p = append(p, mac...)
	p = append(p, from.AsSlice()...)
	p = append(p, make([]byte, 6)...)
	return append(p, who.AsSlice()...)
}

func arpReply(p []byte, who netip.Addr) (net.HardwareAddr, bool) {
	const reply = 2
	if len(p) < 28 || binary.BigEndian.Uint16(p[6:]) != reply {
		return nil, false
	}
	if a, _ := netip.AddrFromSlice(p[14:18]); a != who {
		return nil, false
	}
	return net.HardwareAddr(p[8:14]), true
}

func htons(v uint16) uint16 { return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v)) }
