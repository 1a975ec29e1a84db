package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/link/monitor"
	"github.com/plumbnet/plumb/kernel/rtnl"
	"github.com/plumbnet/plumb/state"
)

// Carriers gives the devices that have at least one of the addresses, with those
// that they have of them, in the namespace of the calling thread. Unlike
// Interfaces it asks for nothing of which a node with many pods has many: other
// devices, and the link-local IPv6 addresses of host ends.
func Carriers(ctx context.Context, wanted []netip.Addr) ([]state.Interface, error) {
	s, err := rtnl.Open()
	if err != nil {
		return nil, fmt.Errorf("host's addresses: %w", err)
	}
	defer s.Close()
	c := carriers{s, table{}}
	is4 := func(a netip.Addr) bool { return a.Is4() }
	if slices.ContainsFunc(wanted, is4) {
		if err := c.dump4(ctx, wanted); err != nil {
			return nil, fmt.Errorf("host's addresses: %w", err)
		}
	}
	for _, a := range wanted {
		if !is4(a) {
			if err := c.get6(a); err != nil {
				return nil, fmt.Errorf("address %s: %w", a, err)
			}
		}
	}
	out := make([]state.Interface, 0, len(c.table))
	for _, i := range c.table {
		out = append(out, i)
	}
	slices.SortFunc(out, byName)
	return out, nil
}

type carriers struct {
	s     *rtnl.Socket
	table table
}

// dump4 goes through all IPv4 addresses, of which host ends have none.
func (c carriers) dump4(ctx context.Context, wanted []netip.Addr) error {
	var found []address
	err := c.s.Dump(ctx, unix.RTM_GETADDR, func(e *rtnl.Encoder) {
		e.Bytes(unix.AF_INET, 0, 0, 0)
		e.Uint32(0)
	}, func(m rtnl.Message) error {
		a, err := decodeAddress(m.Data)
		if err == nil && slices.Contains(wanted, a.prefix.Addr()) {
			found = append(found, a)
		}
		return err
	})
	if err != nil && !errors.Is(err, rtnl.ErrInterrupted) { // by a change of another address
		return err
	}
	for _, a := range found {
		if err := c.add(a); err != nil {
			return err
		}
	}
	return nil
}

// get6 looks one IPv6 address up, which the kernel can (inet6_rtm_getaddr,
// net/ipv6/addrconf.c).
func (c carriers) get6(wanted netip.Addr) error {
	found, err := c.ask(unix.RTM_GETADDR, func(e *rtnl.Encoder) {
		e.Bytes(unix.AF_INET6, 0, 0, 0)
		e.Uint32(0)
		e.AttrAddr(unix.IFA_ADDRESS, wanted)
	})
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil
	} else if err != nil {
		return err
	}
	a, err := decodeAddress(found)
	if err != nil {
		return err
	}
	return c.add(a)
}

func (c carriers) add(a address) error {
	if _, known := c.table[a.index]; !known {
		data, err := c.ask(unix.RTM_GETLINK, func(e *rtnl.Encoder) {
			e.Bytes(unix.AF_UNSPEC, 0, 0, 0)
			e.Uint32(uint32(a.index))
			e.Bytes(make([]byte, 8)...)
		})
		if errors.Is(err, unix.ENODEV) {
			return nil // it went meanwhile
		} else if err != nil {
			return err
		}
		l, _, err := monitor.DecodeLink(data)
		if err != nil {
			return err
		}
		c.table.setLink(l)
	}
	c.table.addAddress(a)
	return nil
}

// ask sends one request and gives the data of its answer.
func (c carriers) ask(typ uint16, body func(*rtnl.Encoder)) (data []byte, err error) {
	b := c.s.Batch()
	b.Failed = func(_ int, e error) { err = e }
	b.Reply = func(_ int, m rtnl.Message) { data = slices.Clone(m.Data) }
	body(b.Message(typ, 0, 0))
	b.Flush()
	return data, err
}
