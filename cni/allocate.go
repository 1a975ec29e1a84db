package cni

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/plumbnet/plumb/cni/attachment"
)

// lockTime bounds the wait for other calls of the plugin, each of which has the
// lock for some tenths of a millisecond.
const lockTime = 20 * time.Second

// begin makes the attachment's journal entry. Where there is one, the attachment
// was made, or begun, and has not been deleted.
func (r *request) begin() error {
	err := r.journal().Begin(r.id(), r.config.Name)
	if errors.Is(err, fs.ErrExist) {
		return fail(types.ErrInvalidEnvironmentVariables,
			fmt.Sprintf("CNI_CONTAINERID %s has CNI_IFNAME %s already", r.ContainerID, r.IfName),
			errors.New("an ADD of both was made or begun before, without a DEL since"))
	}
	return err
}

// allocate gives the attachment its addresses and writes them down, or says why
// it cannot; then it holds those that release finds.
func (r *request) allocate(ctx context.Context, n *node) ([]netip.Addr, error) {
	if r.delegates() {
		return r.delegateAdd(ctx)
	}
	families := n.podCIDRs()
	if len(families) == 0 {
		return nil, fail(types.ErrInvalidNetworkConfig, "addresses", fmt.Errorf("node %s has no podCIDRs (%s); "+
			"give it some, or name another plugin in ipam", n.Name, n.Pos))
	}
	if err := r.checkFixed(n); err != nil {
		return nil, fail(types.ErrInvalidEnvironmentVariables, "addresses that are asked for", err)
	}
	s, err := r.addresses().Lock(lockTime)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var got []netip.Addr
	taken := n.taken()
	for _, cidrs := range families {
		a := r.fixedLike(cidrs[0].Addr())
		if a.IsValid() {
			err = s.Reserve(r.owner(), a, taken)
		} else {
			a, err = s.Allocate(r.owner(), cidrs, taken)
		}
		if err != nil {
			return nil, err
		}
		got = append(got, a)
	}
	return got, r.journal().Note(r.id(), r.config.Name, got)
}

// checkFixed refuses addresses that the pod cannot have: at most one a family.
func (r *request) checkFixed(n *node) error {
	var errs []error
	for _, a := range r.fixed {
		errs = append(errs, n.allows(a))
		if first := r.fixedLike(a); first != a {
			errs = append(errs, fmt.Errorf("%s and %s are of one family; a pod gets one address of each", first, a))
		}
		if !n.has(a) {
			errs = append(errs, fmt.Errorf("%s: node %s has no podCIDR of its family (%s)", a, n.Name, n.Pos))
		}
	}
	return errors.Join(errs...)
}

// fixedLike gives the address that is asked for in the family of like.
func (r *request) fixedLike(like netip.Addr) netip.Addr {
	for _, a := range r.fixed {
		if a.Is4() == like.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

func (n *node) has(like netip.Addr) bool {
	for _, family := range n.podCIDRs() {
		if family[0].Addr().Is4() == like.Is4() {
			return true
		}
	}
	return false
}

// release frees what the attachment holds, whether the journal knows of it or
// not, and ends its entry. Where there is no entry, what the endpoint's record says
// counts.
func (r *request) release(recorded ...netip.Addr) error {
	entry, err := r.journal().Get(r.id())
	if errors.Is(err, fs.ErrNotExist) {
		if len(recorded) == 0 {
			return nil
		}
		entry, err = attachment.Entry{Addresses: recorded, Known: true}, nil
	}
	if err != nil {
		return err
	}
	if r.addresses().Absent() {
		return r.journal().Remove(r.id())
	}
	s, err := r.addresses().Lock(lockTime)
	if err != nil {
		return err
	}
	defer s.Close()
	held := entry.Addresses
	if !entry.Known {
		if held, err = s.Held(r.owner()); err != nil {
			return err
		}
	}
	if err := s.Release(r.owner(), held...); err != nil {
		return err
	}
	return r.journal().Remove(r.id())
}
