package cni

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
)

// Another plugin may hand out the addresses: the one that ipam.type names, called
// as the specification has it (section 4, delegation), with the same environment
// and configuration. Of its result the addresses count; gateway and routes are
// plumb's.

func (r *request) delegateAdd(ctx context.Context) ([]netip.Addr, error) {
	result, err := invoke.DelegateAdd(ctx, r.IPAM.Type, r.StdinData, nil)
	if err != nil {
		return nil, r.delegateError(err)
	}
	res, err := current.NewResultFromResult(result)
	if err != nil {
		return nil, r.delegateError(err)
	}
	var got []netip.Addr
	for _, ip := range res.IPs {
		if a, ok := netip.AddrFromSlice(ip.Address.IP); ok {
			got = append(got, a.Unmap())
		}
	}
	if len(got) == 0 {
		return nil, r.delegateError(errors.New("it gave no address"))
	}
	if err := r.unowned(got); err != nil {
		return nil, r.delegateError(err)
	}
	return got, r.journal().Note(r.id(), r.config.Name, nil)
}

// unowned makes sure that none of the addresses is another endpoint's: the
// delegate does not know of those.
func (r *request) unowned(addresses []netip.Addr) error {
	records, _ := r.endpoints().List()
	for _, e := range records {
		for _, a := range addresses {
			if e.ID != r.id() && slices.Contains(e.Addresses, a) {
				return fmt.Errorf("it gave %s, which endpoint %s has", a, e.Name)
			}
		}
	}
	return nil
}

// delegate calls one of the other verbs.
func (r *request) delegate(ctx context.Context, verb func(context.Context, string, []byte, invoke.Exec) error) error {
	if !r.delegates() {
		return nil
	}
	if err := verb(ctx, r.IPAM.Type, r.StdinData, nil); err != nil {
		return r.delegateError(err)
	}
	return nil
}

// delegateError names the plugin; an error of the specification's keeps its code.
func (r *request) delegateError(err error) error {
	code := types.ErrInternal
	var e *types.Error
	if errors.As(err, &e) {
		code = e.Code
	}
	return fail(code, "ipam plugin "+r.IPAM.Type, err)
}
