package path

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/trace/facts"
)

// patience is how long an answer to ARP or neighbour discovery is waited for. The
// kernel asks three times, a second apart (neigh/default/mcast_solicit), and a
// neighbour that is there answers the first time.
const patience = 1500 * time.Millisecond

// stateNames are NUD_* in the words of ip-neighbour(8).
func stateName(s uint16) string {
	for _, n := range [...]struct {
		bit  uint16
		name string
	}{
		{unix.NUD_INCOMPLETE, "INCOMPLETE"},
		{unix.NUD_REACHABLE, "REACHABLE"},
		{unix.NUD_STALE, "STALE"},
		{unix.NUD_DELAY, "DELAY"},
		{unix.NUD_PROBE, "PROBE"},
		{unix.NUD_FAILED, "FAILED"},
		{unix.NUD_NOARP, "NOARP"},
		{unix.NUD_PERMANENT, "PERMANENT"},
	} {
		if s&n.bit != 0 {
			return n.name
		}
	}
	return "NONE"
}

// Neighbour looks an address up in the neighbour table of a device. One that is not
// known, or that did not answer, is asked for, as a packet to it would do
// (NTF_USE, include/uapi/linux/neighbour.h), and waited for.
func (p *Place) Neighbour(ctx context.Context, dev string, addr netip.Addr) facts.Neighbour {
	n := facts.Neighbour{Addr: addr, Dev: dev, State: "NONE"}
	index, err := p.sock.Names().Index(dev)
	if err != nil {
		return n
	}
	p.look(index, &n)
	if n.Known() {
		return n
	}
	n.Asked = true
	e := p.message(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE, func(rtnl.Message) {})
	e.neighbour(index, addr, unix.NTF_USE)
	e.flush()
	// Events would come sooner than the next look, by a few milliseconds; it is not
	// worth a subscription.
	for end := time.Now().Add(patience); time.Now().Before(end); {
		p.look(index, &n)
		if n.Known() || n.State == "FAILED" && time.Until(end) < patience/2 {
			return n
		}
		select {
		case <-ctx.Done():
			return n
		case <-time.After(2 * time.Millisecond):
		}
	}
	return n
}

func (p *Place) look(index int32, n *facts.Neighbour) {
	n.State, n.MAC = "NONE", ""
	e := p.message(unix.RTM_GETNEIGH, 0, func(m rtnl.Message) {
		if m.Type != unix.RTM_NEWNEIGH || len(m.Data) < unix.SizeofNdMsg {
			return
		}
		n.State = stateName(binary.NativeEndian.Uint16(m.Data[8:]))
		if mac := attributes(m.Data[unix.SizeofNdMsg:])[unix.NDA_LLADDR].Data; len(mac) > 0 {
			n.MAC = net.HardwareAddr(mac).String()
		}
	})
	e.neighbour(index, n.Addr, 0)
	e.flush()
}

// Forwarding gives where a VXLAN device sends frames to a MAC address.
func (p *Place) Forwarding(ctx context.Context, dev, mac string) (to netip.Addr, found bool) {
	index, err := p.sock.Names().Index(dev)
	if err != nil {
		return to, false
	}
	_ = p.sock.Dump(ctx, unix.RTM_GETNEIGH, func(e *rtnl.Encoder) {
		e.Bytes(unix.AF_BRIDGE, 0, 0, 0)
		e.Uint32(uint32(index))
		e.Uint32(0)
	}, func(m rtnl.Message) error {
		if len(m.Data) < unix.SizeofNdMsg || int32(binary.NativeEndian.Uint32(m.Data[4:])) != index {
			return nil
		}
		attrs := attributes(m.Data[unix.SizeofNdMsg:])
		if net.HardwareAddr(attrs[unix.NDA_LLADDR].Data).String() == mac {
			if a, ok := netip.AddrFromSlice(attrs[unix.NDA_DST].Data); ok {
				to, found = a, true
			}
		}
		return nil
	})
	return to, found
}

// request is one message and what is done with its answer.
type request struct {
	*rtnl.Encoder
	flush func()
}

func (p *Place) message(typ, flags uint16, reply func(rtnl.Message)) request {
	b := p.sock.Batch()
	b.Reply = func(_ int, m rtnl.Message) { reply(m) }
	return request{b.Message(typ, flags, 0), b.Flush}
}

// neighbour writes struct ndmsg (rtnetlink(7)) and the address.
func (r request) neighbour(index int32, addr netip.Addr, flags byte) {
	fam := byte(unix.AF_INET6)
	if addr.Is4() {
		fam = unix.AF_INET
	}
	r.Bytes(fam, 0, 0, 0)
	r.Uint32(uint32(index))
	r.Bytes(0, 0, flags, 0)
	r.AttrAddr(unix.NDA_DST, addr)
}
