// Package addr keeps the addresses of plumb's tunnel devices: all of them but the
// link-local ones, which the kernel makes, are plumb's.
package addr

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// Kind reads, changes and watches the addresses. Read and Apply are called from one
// goroutine at a time; what Watch calls comes from another.
type Kind struct {
	owned   func(dev string) bool
	sock    *rtnl.Socket
	asking  *rtnl.Socket // the watcher's own, to ask for names
	monitor *rtnl.Monitor
}

// New opens the sockets, on the calling thread and so in its network namespace.
// owned says which devices are plumb's, by their names; it is called from Watch's
// goroutine too.
func New(owned func(dev string) bool) (*Kind, error) {
	k := &Kind{owned: owned}
	var err error
	if k.sock, err = rtnl.Open(); err != nil {
		return nil, err
	}
	if k.asking, err = rtnl.Open(); err != nil {
		return nil, errors.Join(err, k.sock.Close())
	}
	if k.monitor, err = rtnl.OpenMonitor(); err != nil {
		return nil, errors.Join(err, k.sock.Close(), k.asking.Close())
	}
	return k, nil
}

// Close ends a watch that is in progress and closes the sockets.
func (k *Kind) Close() error {
	return errors.Join(k.monitor.Close(), k.sock.Close(), k.asking.Close())
}

// Read yields every address of the owned devices.
func (k *Kind) Read(ctx context.Context, yield func(state.Address)) error {
	d := decoder{names: k.sock.Names(), owned: k.owned}
	err := k.sock.Dump(ctx, unix.RTM_GETADDR, func(e *rtnl.Encoder) {
		e.Bytes(unix.AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0)
	}, func(m rtnl.Message) error {
		if a, ok := d.decode(m.Data); ok {
			yield(a)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("addresses: %w", err)
	}
	return nil
}

// Apply adds and deletes addresses, one batch of each: what is odd about an address
// the kernel cannot change, so such a one is deleted first. Errors, one a change.
func (k *Kind) Apply(ctx context.Context, changes []state.Change[state.Address]) []error {
	errs := make([]error, len(changes))
	names := k.sock.Names()
	send := func(typ, flags uint16, which func(state.Change[state.Address]) (state.Address, bool), done ...error) {
		b := k.sock.Batch()
		b.Failed = func(i int, err error) {
			for _, d := range done {
				if errors.Is(err, d) {
					return
				}
			}
			errs[i] = explain(changes[i].Object(), err)
		}
		b.Lost = func(i int) { errs[i] = rtnl.ErrLost }
		for i, c := range changes {
			a, ok := which(c)
			if !ok || errs[i] != nil {
				continue
			}
			index, err := names.Index(a.Dev)
			switch {
			case ctx.Err() != nil:
				errs[i] = ctx.Err()
			case !k.owned(a.Dev):
				errs[i] = fmt.Errorf("interface %s is not plumb's", a.Dev)
			case errors.Is(err, unix.ENODEV) && c.Action == state.Delete: // it went with its device
			case err != nil:
				errs[i] = explain(a, err)
			default:
				encode(b.Message(typ, flags, i), index, a)
			}
		}
		b.Flush()
	}
	send(unix.RTM_DELADDR, 0, func(c state.Change[state.Address]) (state.Address, bool) {
		return c.Before, c.Action != state.Add
	}, unix.EADDRNOTAVAIL, unix.ENODEV)
	send(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, func(c state.Change[state.Address]) (state.Address, bool) {
		return c.After, c.Action != state.Delete
	})
	return errs
}

// encode writes struct ifaddrmsg (rtnetlink(7)) and its attributes. An IPv6 address
// is there at once, without a search for duplicates: nobody else is on a tunnel.
func encode(e *rtnl.Encoder, index int32, a state.Address) {
	p, peer := a.Prefix, a.Peer
	if !peer.IsValid() {
		peer = p.Addr()
	}
	family, flags := byte(unix.AF_INET), byte(0)
	if p.Addr().Is6() {
		family, flags = unix.AF_INET6, unix.IFA_F_NODAD
	}
	e.Bytes(family, byte(p.Bits()), flags, unix.RT_SCOPE_UNIVERSE)
	e.Uint32(uint32(index))
	e.AttrAddr(unix.IFA_LOCAL, p.Addr())
	e.AttrAddr(unix.IFA_ADDRESS, peer)
}

func explain(a state.Address, err error) error {
	switch {
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("interface %s does not exist: %w", a.Dev, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("not permitted (CAP_NET_ADMIN is needed): %w", err)
	case a.Prefix.Addr().Is6() && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EINVAL)): // inet6_addr_add
		return fmt.Errorf("IPv6 is switched off on %s (its MTU is below 1280, or net.ipv6.conf.*.disable_ipv6 is set): %w", a.Dev, err)
	}
	return fmt.Errorf("refused by the kernel: %w", err)
}

// decoder turns messages into addresses.
type decoder struct {
	names *rtnl.Names
	owned func(string) bool
}

// decode reads struct ifaddrmsg and its attributes; false where it is malformed, a
// link-local address, or on a device that is not owned or no more.
func (d *decoder) decode(b []byte) (a state.Address, ok bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return a, false
	}
	if a.Dev, ok = d.names.Name(int32(binary.NativeEndian.Uint32(b[4:]))); !ok || !d.owned(a.Dev) {
		return a, false
	}
	var local, peer netip.Addr
	var odd []string
	var flags uint32
	for at, rest, more := rtnl.NextAttr(b[unix.SizeofIfAddrmsg:]); more; at, rest, more = rtnl.NextAttr(rest) {
		switch at.Type {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(at.Data)
		case unix.IFA_ADDRESS:
			peer, _ = netip.AddrFromSlice(at.Data)
		case unix.IFA_FLAGS:
			flags = at.Uint32()
		}
	}
	if !local.IsValid() { // IPv6 has IFA_LOCAL only where there is a peer (inet6_fill_ifaddr)
		local = peer
	}
	if !local.IsValid() || local.IsLinkLocalUnicast() || int(b[1]) > local.BitLen() {
		return a, false
	}
	if peer.IsValid() && peer != local {
		a.Peer = peer
	}
	if b[3] != unix.RT_SCOPE_UNIVERSE {
		odd = append(odd, "scope "+state.ScopeName(b[3]))
	}
	if flags&unix.IFA_F_PERMANENT == 0 { // it has a lifetime
		odd = append(odd, "dynamic")
	}
	if flags&unix.IFA_F_DEPRECATED != 0 { // no source of new connections
		odd = append(odd, "deprecated")
	}
	a.Prefix, a.Odd = netip.PrefixFrom(local, int(b[1])), strings.Join(odd, " ")
	return a, true
}
