package path

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/trace/facts"
)

// answerTime is how long the answer to a probe is waited for.
const answerTime = time.Second

// Send sends one packet from the namespace of the calling thread, and waits for an
// answer: an echo request, the first packet of a TCP connection (which is closed
// again at once), or an empty UDP datagram.
func Send(ctx context.Context, p facts.Packet) (facts.Sent, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	begin := time.Now()
	took := func(what string) string {
		return what + " after " + time.Since(begin).Round(10*time.Microsecond).String()
	}
	var err error
	switch p.Proto {
	case "icmp":
		if err = echo(ctx, p); err == nil {
			return facts.Sent{Answered: true, Text: took("echo reply")}, nil
		}
	default:
		err = dial(ctx, p)
		switch {
		case err == nil && p.Proto == "udp":
			return facts.Sent{Answered: false, Text: "sent; of UDP no answer is expected"}, nil
		case err == nil:
			return facts.Sent{Answered: true, Text: took("connected")}, nil
		case errors.Is(err, unix.ECONNREFUSED): // by the destination: the packet was there
			return facts.Sent{Answered: true, Text: took("connection refused (nothing listens on the port, or a rule rejects it)")}, nil
		}
	}
	var call *os.SyscallError
	if errors.Is(err, unix.EPERM) && errors.As(err, &call) && call.Syscall != "socket" {
		// Of socket(2) it is a capability that is lacking. What sends gets it from
		// netfilter's verdict (nf_hook_slow, net/netfilter/core.c).
		return facts.Sent{Blocked: true, Text: "not sent: the sender's own netfilter drops it (" + unix.EPERM.Error() + ")"}, nil
	}
	var late net.Error
	if ctx.Err() != nil || errors.As(err, &late) && late.Timeout() {
		return facts.Sent{Text: "no answer within " + answerTime.String()}, nil
	}
	for _, e := range []error{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EINVAL, unix.EACCES, unix.EMSGSIZE} {
		if errors.Is(err, e) {
			return facts.Sent{Text: "not sent, or refused on the way: " + e.Error()}, nil
		}
	}
	return facts.Sent{}, fmt.Errorf("probe: %w", err)
}

func dial(ctx context.Context, p facts.Packet) error {
	d := net.Dialer{}
	local := net.JoinHostPort(p.Src.String(), "0")
	var err error
	if p.Src.IsValid() && p.Proto == "tcp" {
		d.LocalAddr, err = net.ResolveTCPAddr("tcp", local)
	} else if p.Src.IsValid() {
		d.LocalAddr, err = net.ResolveUDPAddr("udp", local)
	}
	if err != nil {
		return err
	}
	c, err := d.DialContext(ctx, p.Proto, net.JoinHostPort(p.Dst.String(), strconv.Itoa(int(p.DstPort))))
	if err != nil {
		return err
	}
	defer c.Close()
	if p.Proto == "udp" {
		_, err = c.Write(nil)
	}
	return err
}

// echo sends an ICMP echo request through a raw socket, since the group range of
// ping sockets is empty in a new namespace (icmp(7)).
func echo(ctx context.Context, p facts.Packet) error {
	network, any, protocol := "ip4:icmp", "0.0.0.0", 1
	var request, reply icmp.Type = ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply
	if p.Dst.Is6() {
		network, any, protocol, request, reply = "ip6:ipv6-icmp", "::", 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	if p.Src.IsValid() {
		any = p.Src.String()
	}
	c, err := icmp.ListenPacket(network, any)
	if err != nil {
		return err
	}
	defer c.Close()
	id := int(rand.Uint32() & 0xffff)
	packet, err := (&icmp.Message{Type: request, Body: &icmp.Echo{ID: id, Seq: 1, Data: make([]byte, padding(p))}}).Marshal(nil)
	if err != nil {
		return err
	}
	if _, err := c.WriteTo(packet, &net.IPAddr{IP: p.Dst.AsSlice()}); err != nil {
		return err
	}
	end, _ := ctx.Deadline()
	if err := c.SetReadDeadline(end); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return err
		}
		m, err := icmp.ParseMessage(protocol, buf[:n])
		if err != nil || m.Type != reply {
			continue
		}
		body, ok := m.Body.(*icmp.Echo)
		ip, isIP := from.(*net.IPAddr)
		if !ok || !isIP || body.ID != id {
			continue
		}
		if a, _ := netip.AddrFromSlice(ip.IP); a.Unmap() == p.Dst {
			return nil
		}
	}
}

// padding is what an echo request of the packet's size carries.
func padding(p facts.Packet) int {
	head := 28 // IPv4 and ICMP
	if p.Dst.Is6() {
		head = 48
	}
	return max(p.Size-head, 8)
}
