package cni

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/plumbnet/plumb/kernel/pod"
	"github.com/plumbnet/plumb/state"
)

// add wires the pod. What it did when something fails, it undoes.
func add(ctx context.Context, r *request) error {
	if err := r.checkNetNS(); err != nil {
		return err
	}
	n, err := r.loadNode(len(r.fixed) > 0)
	if err != nil {
		return fail(types.ErrInvalidNetworkConfig, "state file", err)
	}
	mtu, err := r.podMTU(ctx, n)
	if err != nil {
		return err
	}
	if err := r.begin(); err != nil {
		return classify("begin the attachment", err)
	}
	u := undo{func() error { return r.release() }}
	spec, err := r.make(ctx, n, mtu, &u)
	if err == nil {
		err = types.PrintResult(r.result(spec), r.CNIVersion)
	}
	if err != nil {
		return u.after(err)
	}
	return nil
}

// make goes through the steps, and puts on u how to take each of them back.
func (r *request) make(ctx context.Context, n *node, mtu int, u *undo) (pod.Spec, error) {
	if r.delegates() {
		u.add(func() error { return r.delegate(ctx, "DEL") })
	}
	addresses, err := r.allocate(ctx, n)
	if err != nil {
		return pod.Spec{}, classify("allocate addresses", err)
	}
	record := state.Endpoint{
		ID: r.id(), Name: r.name, Interface: r.hostEnd(), Addresses: addresses,
		Network: r.config.Name, ContainerID: r.ContainerID, IfName: r.IfName, NetNS: r.Netns,
	}
	wanted := n.render(record)
	spec := pod.Spec{
		HostEnd: r.hostEnd(), IfName: r.IfName, NetNS: r.Netns,
		Addresses: addresses, MTU: mtu, Sysctls: wanted.sysctls,
	}
	// Before the pod's link comes up, which then has the switches from the start.
	if err := r.forward(ctx, n); err != nil {
		return pod.Spec{}, classify("let the node route", err)
	}
	if err := pod.Wire(ctx, spec); err != nil {
		return pod.Spec{}, classify("wire the pod", err)
	}
	u.add(func() error { return pod.Unwire(spec.HostEnd) })
	u.add(func() error { return r.endpoints().Delete(r.id()) })
	if err := r.endpoints().Put(record); err != nil {
		return pod.Spec{}, classify("record the endpoint", err)
	}
	if err := n.addRoutes(ctx, wanted); err != nil {
		return pod.Spec{}, classify("route to the pod", err)
	}
	return spec, nil
}

// undo is how to take back what was done.
type undo []func() error

func (u *undo) add(f func() error) { *u = append(*u, f) }

// after takes everything back, the last first, and gives the error that was the
// reason, with what could not be taken back.
func (u undo) after(reason error) error {
	var left []error
	for _, f := range slices.Backward(u) {
		left = append(left, f())
	}
	var e *types.Error
	if err := errors.Join(left...); err != nil && errors.As(reason, &e) {
		return fail(e.Code, e.Msg, fmt.Errorf("%s; and what was done could not all be undone: %w", e.Details, err))
	}
	return reason
}
