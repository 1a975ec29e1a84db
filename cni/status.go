package cni

import (
	"context"
	"fmt"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/plumbnet/plumb/cni/address"
)

// status says whether an ADD would succeed now.
func status(ctx context.Context, r *request) error {
	n, err := r.loadNode(true)
	if err != nil {
		return fail(types.ErrPluginNotAvailable, "state file", err)
	}
	if r.delegates() {
		return r.delegate(ctx, "STATUS")
	}
	families := n.podCIDRs()
	if len(families) == 0 {
		return fail(types.ErrPluginNotAvailable, "addresses",
			fmt.Errorf("node %s has no podCIDRs (%s); give it some, or name another plugin in ipam", n.Name, n.Pos))
	}
	for _, cidrs := range families {
		size, used, err := r.addresses().Usage(cidrs, n.taken())
		if err != nil {
			return fail(types.ErrPluginNotAvailable, "addresses", err)
		}
		if float64(used) >= size {
			return fail(types.ErrLimitedConnectivity, "addresses", &address.ExhaustedError{CIDRs: cidrs, InUse: used})
		}
	}
	return nil
}
