package host

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/state"
)

// Carriers gives the devices that have at least one of the addresses, with those
// that they have of them. Unlike Interfaces it asks for no other device, of which
// a node with many pods has as many.
func (h *Host) Carriers(ctx context.Context, wanted []netip.Addr) ([]state.Interface, error) {
	t := table{}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(wanted, func(a netip.Addr) bool { return a.Is4() == (family == unix.AF_INET) }) {
			continue
		}
		list, err := h.addresses(family)
		if err != nil {
			return nil, err
		}
		for _, a := range list {
			if !slices.Contains(wanted, a.prefix.Addr()) {
				continue
			}
			if _, known := t[a.index]; !known {
				l, err := h.conn.LinkByIndex(a.index)
				if errors.Is(err, unix.ENODEV) {
					continue // it went meanwhile
				} else if err != nil {
					return nil, err
				}
				t.setLink(l)
			}
			t.addAddress(a)
		}
	}
	out := make([]state.Interface, 0, len(t))
	for _, i := range t {
		out = append(out, i)
	}
	slices.SortFunc(out, byName)
	return out, nil
}
