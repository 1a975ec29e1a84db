package cni

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/plumbnet/plumb/kernel/host"
	"github.com/plumbnet/plumb/kernel/link"
	"github.com/plumbnet/plumb/kernel/route"
	"github.com/plumbnet/plumb/kernel/sysctl"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
)

// rendered is what the agent wants of the host for an endpoint, by kind.
type rendered struct {
	link    state.Link
	sysctls []state.Sysctl
	routes  []state.Change[state.Route]
}

func (n *node) render(e state.Endpoint) rendered {
	there := render.Host{Interfaces: map[string]state.Interface{e.Interface: {Name: e.Interface, Up: true}}}
	wanted, _ := render.Endpoint(e, "", n.file.Settings.RouteTable, there)
	var out rendered
	for _, w := range wanted {
		switch o := w.Object.(type) {
		case state.Link:
			out.link = o
		case state.Sysctl:
			out.sysctls = append(out.sysctls, o)
		case state.Route:
			out.routes = append(out.routes, state.Change[state.Route]{Action: state.Add, After: o})
		}
	}
	return out
}

// addRoutes makes the host's routes to the pod.
func (n *node) addRoutes(ctx context.Context, wanted rendered) error {
	routes, err := route.NewWriter(n.file.Settings.RouteTable)
	if err != nil {
		return err
	}
	errs := routes.Apply(ctx, wanted.routes)
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("route %s: %w", wanted.routes[i].After.Dst, err)
		}
	}
	return errors.Join(append(errs, routes.Close())...)
}

// differs reads what the host has of an endpoint and gives what is not as it was
// made, as the lines of a plan.
func (n *node) differs(ctx context.Context, wanted rendered) ([]string, error) {
	want, have := state.Snapshot{}, state.Snapshot{}
	add := func(o state.Object) { want[o.Key()] = o }
	read := func(o state.Object) {
		if want[o.Key()] != nil {
			have[o.Key()] = o
		}
	}
	add(wanted.link)
	for _, s := range wanted.sysctls {
		add(s)
	}
	for _, c := range wanted.routes {
		add(c.After)
	}

	links, err := link.New()
	if err != nil {
		return nil, err
	}
	defer links.Close()
	sysctls, err := sysctl.New()
	if err != nil {
		return nil, err
	}
	defer sysctls.Close()
	for _, s := range wanted.sysctls {
		sysctls.Track(s.Path)
	}
	routes, err := route.New(n.file.Settings.RouteTable)
	if err != nil {
		return nil, err
	}
	defer routes.Close()
	if err := errors.Join(
		links.Read(ctx, func(l state.Link) { read(l) }),
		sysctls.Read(ctx, func(s state.Sysctl) { read(s) }),
		routes.Read(ctx, func(r state.Route) { read(r) }),
	); err != nil {
		return nil, err
	}
	var lines []string
	for _, step := range reconcile.Diff(want, have, func(state.Key) string { return "" }).Steps {
		lines = append(lines, step.Change.String())
	}
	return lines, nil
}

// podMTU gives the MTU of the pod's interface: the configuration's, the state
// file's, or what the node's uplink leaves.
func (r *request) podMTU(ctx context.Context, n *node) (int, error) {
	mtu, err := r.findMTU(ctx, n)
	if err != nil {
		return 0, classify("MTU", err)
	}
	least := 68 // RFC 791
	for _, c := range n.PodCIDRs {
		if c.Prefix.Addr().Is6() {
			least = 1280 // RFC 8200, section 5: with less there is no IPv6 on a link
		}
	}
	if mtu < least {
		return 0, fail(types.ErrInvalidNetworkConfig, "MTU", fmt.Errorf("mtu: %d is too small: node %s's pods need %d at least "+
			"(mtu in the configuration, settings.mtu in the state file)", mtu, n.Name, least))
	}
	return mtu, nil
}

func (r *request) findMTU(ctx context.Context, n *node) (int, error) {
	if r.MTU != 0 {
		return r.MTU, nil
	}
	if n.file.Settings.MTU != 0 {
		return n.file.Settings.MTU, nil
	}
	own := make([]netip.Addr, 0, len(n.Addresses))
	for _, a := range n.Addresses {
		own = append(own, a.Prefix.Addr())
	}
	list, err := host.Carriers(ctx, own)
	if err == nil && slices.ContainsFunc(list, func(i state.Interface) bool { return !render.Leads(i) }) {
		list, err = everyInterface(ctx)
	}
	if err != nil {
		return 0, err
	}
	devices := map[string]state.Interface{}
	for _, i := range list {
		devices[i.Name] = i
	}
	return render.PodMTU(n.file, n.Name, render.Host{Interfaces: devices}), nil
}

// everyInterface takes longer than host.Carriers, and the longer the more pods there are.
func everyInterface(ctx context.Context) ([]state.Interface, error) {
	h, err := host.Open()
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return h.Interfaces(ctx)
}
