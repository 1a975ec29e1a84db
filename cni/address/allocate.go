package address

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/plugins/plugins/ipam/host-local/backend/allocator"
	"github.com/containernetworking/plugins/plugins/ipam/host-local/backend/disk"
)

// gateways are in no podCIDR: every pod has the same ones, and so none of a
// podCIDR's addresses is lost to one.
var gateways = map[bool]net.IP{true: net.IPv4(169, 254, 1, 1), false: net.ParseIP("fe80::1")}

// ExhaustedError says that every address is in use.
type ExhaustedError struct {
	CIDRs []netip.Prefix
	InUse int
}

func (e *ExhaustedError) Error() string {
	return fmt.Sprintf("no address is left in %s: %d are in use", join(e.CIDRs), e.InUse)
}

// TakenError says that an address that was asked for is somebody else's.
type TakenError struct {
	Address netip.Addr
	By      string
}

func (e *TakenError) Error() string { return fmt.Sprintf("%s is in use by %s", e.Address, e.By) }

// Allocate takes the next free address of cidrs, which are of one family and do
// not overlap, passing over those for which taken gives a holder. Errors:
// *ExhaustedError; a prefix that is too small; those of files.
func (l *Locked) Allocate(o Owner, cidrs []netip.Prefix, taken map[netip.Addr]string) (netip.Addr, error) {
	ranges, err := rangeSet(cidrs)
	if err != nil {
		return netip.Addr{}, err
	}
	b := &backend{Store: l.disk, addresses: l.Store, taken: taken}
	family := 6
	if cidrs[0].Addr().Is4() {
		family = 4
	}
	got, err := allocator.NewIPAllocator(&ranges, b, family).Get(o.ContainerID, o.IfName, nil)
	if err != nil {
		if b.err == nil && b.refused > 0 {
			return netip.Addr{}, &ExhaustedError{cidrs, b.refused}
		}
		return netip.Addr{}, errors.Join(b.err, err)
	}
	a, _ := netip.AddrFromSlice(got.Address.IP)
	return a.Unmap(), nil
}

// Reserve takes one address. Errors: *TakenError; those of files.
func (l *Locked) Reserve(o Owner, a netip.Addr, taken map[netip.Addr]string) error {
	if by, ok := taken[a]; ok {
		return &TakenError{a, by}
	}
	// The place where the search for the next free one starts is not moved.
	ok, err := l.create(o, a)
	if err != nil || ok {
		return err
	}
	by := "another container"
	if holder, err := l.Owner(a); err == nil && holder.ContainerID != "" {
		by = "container " + holder.ContainerID
	}
	return &TakenError{a, by}
}

// Usage gives how many addresses of cidrs, which are of one family, can be handed
// out, and how many of them are in use.
func (s Store) Usage(cidrs []netip.Prefix, taken map[netip.Addr]string) (size float64, used int, err error) {
	ranges, err := rangeSet(cidrs)
	if err != nil {
		return 0, 0, err
	}
	for _, c := range cidrs {
		size += capacity(c)
	}
	list, err := s.list()
	if err != nil {
		return 0, 0, err
	}
	for a := range taken {
		list = append(list, a)
	}
	seen := make(map[netip.Addr]bool, len(list))
	for _, a := range list {
		if !seen[a] && ranges.Contains(a.AsSlice()) {
			used++
		}
		seen[a] = true
	}
	return size, used, nil
}

// capacity is how many addresses the allocator hands out of a prefix: all but the
// first, and for IPv4 the last.
func capacity(p netip.Prefix) float64 {
	n := float64(1)
	for range p.Addr().BitLen() - p.Bits() {
		n *= 2
	}
	if p.Addr().Is4() {
		n--
	}
	return n - 1
}

func rangeSet(cidrs []netip.Prefix) (allocator.RangeSet, error) {
	var set allocator.RangeSet
	for _, c := range cidrs {
		subnet := net.IPNet{IP: c.Addr().AsSlice(), Mask: net.CIDRMask(c.Bits(), c.Addr().BitLen())}
		set = append(set, allocator.Range{Subnet: types.IPNet(subnet), Gateway: gateways[c.Addr().Is4()]})
	}
	if err := set.Canonicalize(); err != nil {
		return nil, fmt.Errorf("podCIDR: %w", err)
	}
	return set, nil
}

func join(cidrs []netip.Prefix) string {
	texts := make([]string, 0, len(cidrs))
	for _, c := range cidrs {
		texts = append(texts, c.String())
	}
	return strings.Join(texts, ", ")
}

// backend is host-local's disk store with what differs here: the lock is had
// already, and the caller knows by the journal that the owner holds nothing, where the disk
// store would read every file to find that out.
type backend struct {
	*disk.Store
	addresses Store
	taken     map[netip.Addr]string
	refused   int   // addresses in use that the search came by
	err       error // why a reservation failed
}

func (b *backend) Lock() error                     { return nil }
func (b *backend) Unlock() error                   { return nil }
func (b *backend) GetByID(string, string) []net.IP { return nil }

// LastReservedIP hides what cannot be read: the search then starts at the first
// address, and the allocator has nothing to say on stderr.
func (b *backend) LastReservedIP(rangeID string) (net.IP, error) {
	ip, err := b.Store.LastReservedIP(rangeID)
	if err != nil {
		return nil, fs.ErrNotExist
	}
	return ip, nil
}

// Reserve leaves the same files as the disk store's.
func (b *backend) Reserve(id, ifName string, ip net.IP, rangeID string) (bool, error) {
	a, _ := netip.AddrFromSlice(ip)
	a = a.Unmap()
	if _, taken := b.taken[a]; taken {
		b.refused++
		return false, nil
	}
	ok, err := b.addresses.create(Owner{id, ifName}, a)
	if err == nil && ok {
		err = b.addresses.noteLast(a, rangeID)
	}
	switch {
	case err != nil:
		b.err = err
	case !ok:
		b.refused++
	}
	return ok && err == nil, err
}
