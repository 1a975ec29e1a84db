// Package host gives the facts of the node that plumb computes with: its
// network devices and their addresses, read in full and followed as they change.
package host

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/link/monitor"
	"github.com/plumbnet/plumb/state"
)

// Host reads and watches the devices of one network namespace.
type Host struct {
	conn *monitor.Conn
}

// Open opens the host's socket in the network namespace of the calling thread.
func Open() (*Host, error) {
	conn, err := monitor.Dial()
	if err != nil {
		return nil, fmt.Errorf("host's interfaces: %w", err)
	}
	return &Host{conn}, nil
}

// Close closes the socket. Watches end with their context.
func (h *Host) Close() { h.conn.Close() }

// Interfaces gives all devices, sorted by name, each with all its addresses,
// sorted too: IPv4 before IPv6, link-local and tentative ones among them. They
// are two dumps, one of links and one of addresses, so what changes meanwhile
// may be in one and not in the other.
func (h *Host) Interfaces(ctx context.Context) ([]state.Interface, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t, err := h.read()
	if err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(t), byName), nil
}

func byName(a, b state.Interface) int { return cmp.Compare(a.Name, b.Name) }

// table is the devices by index.
type table map[int]state.Interface

func (h *Host) read() (table, error) {
	links, err := h.conn.Links()
	if err != nil {
		return nil, err
	}
	addresses, err := h.addresses(unix.AF_UNSPEC)
	if err != nil {
		return nil, err
	}
	t := make(table, len(links))
	for _, l := range links {
		t.setLink(l)
	}
	for _, a := range addresses {
		t.addAddress(a)
	}
	return t, nil
}

func (h *Host) addresses(family int) ([]address, error) {
	req := h.conn.Request(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	req.RetryInterrupted = true
	req.AddData(nl.NewIfAddrmsg(family))
	msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
	if err != nil {
		return nil, fmt.Errorf("reading addresses: %w", err)
	}
	var out []address
	for _, m := range msgs {
		a, err := decodeAddress(m)
		if err != nil {
			return nil, err
		}
		if a.prefix.IsValid() {
			out = append(out, a)
		}
	}
	return out, nil
}

// setLink takes over what a link message says, and keeps the addresses.
func (t table) setLink(l monitor.Link) {
	t[l.Index] = state.Interface{
		Index:     l.Index,
		Name:      l.Name,
		Type:      l.Kind,
		Up:        l.Up,
		Carrier:   l.Lower,
		MTU:       l.MTU,
		Addresses: t[l.Index].Addresses,
	}
}

// addAddress and removeAddress leave the old slice as it is: it was handed out.
func (t table) addAddress(a address) {
	i, known := t[a.index]
	if !known {
		return // of a device that is on its way out
	}
	at, found := slices.BinarySearchFunc(i.Addresses, a.prefix, comparePrefixes)
	if found {
		return
	}
	i.Addresses = slices.Insert(slices.Clip(i.Addresses), at, a.prefix)
	t[a.index] = i
}

func (t table) removeAddress(a address) {
	i := t[a.index]
	at, found := slices.BinarySearchFunc(i.Addresses, a.prefix, comparePrefixes)
	if !found {
		return
	}
	i.Addresses = slices.Delete(slices.Clone(i.Addresses), at, at+1)
	t[a.index] = i
}
