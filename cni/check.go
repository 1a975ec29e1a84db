package cni

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/plumbnet/plumb/kernel/pod"
)

// check looks whether all that add made is still there, and says what is not.
func check(ctx context.Context, r *request) error {
	if err := r.checkNetNS(); err != nil {
		return err
	}
	n, err := r.loadNode(false)
	if err != nil {
		return fail(types.ErrInvalidNetworkConfig, "state file", err)
	}
	missing, err := r.missing(ctx, n)
	if err != nil {
		return classify("look at the attachment", err)
	}
	if len(missing) > 0 {
		return fail(types.ErrInternal, "the attachment is not as it was made", errors.New("missing or changed: "+strings.Join(missing, "; ")))
	}
	return r.delegate(ctx, "CHECK")
}

func (r *request) missing(ctx context.Context, n *node) ([]string, error) {
	addresses, err := r.resultAddresses()
	if err != nil {
		return nil, err
	}
	var missing []string
	record, err := r.endpoints().Get(r.id())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		missing = append(missing, "the record of endpoint "+r.id())
		record.ID, record.Interface, record.Addresses = r.id(), r.hostEnd(), addresses
	case err != nil:
		return nil, err
	case len(addresses) > 0 && !slices.Equal(addresses, record.Addresses):
		missing = append(missing, fmt.Sprintf("the record of endpoint %s has %v, the result %v", r.id(), record.Addresses, addresses))
	}
	if !r.delegates() {
		for _, a := range record.Addresses {
			if o, err := r.addresses().Owner(a); err != nil || o != r.owner() {
				missing = append(missing, fmt.Sprintf("the reservation of %s", a))
			}
		}
	}
	if len(record.Addresses) == 0 {
		return append(missing, "addresses"), nil
	}
	inPod, err := pod.Check(ctx, pod.Spec{
		HostEnd: r.hostEnd(), IfName: r.IfName, NetNS: r.Netns, Addresses: record.Addresses,
	})
	if err != nil {
		return nil, err
	}
	onHost, err := n.differs(ctx, n.render(record))
	return slices.Concat(missing, inPod, onHost), err
}

// resultAddresses gives the addresses of prevResult, ADD's result, which a
// runtime has to give.
func (r *request) resultAddresses() ([]netip.Addr, error) {
	if err := version.ParsePrevResult(&r.PluginConf); err != nil {
		return nil, fail(types.ErrDecodingFailure, "prevResult", err)
	}
	if r.PrevResult == nil {
		return nil, fail(types.ErrInvalidNetworkConfig, "network configuration", errors.New("CHECK needs prevResult"))
	}
	res, err := current.NewResultFromResult(r.PrevResult)
	if err != nil {
		return nil, fail(types.ErrDecodingFailure, "prevResult", err)
	}
	return addressesOf(res), nil
}
