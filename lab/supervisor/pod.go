package supervisor

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/plumbnet/plumb/kernel/pod"
	"github.com/plumbnet/plumb/lab"
	"github.com/plumbnet/plumb/lab/ns"
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
	"github.com/plumbnet/plumb/state/endpoint"
)

// addPod does what a container runtime and the CNI plugin do together: it makes
// the pod's namespace, wires it to its node and records the endpoint.
func (s *supervisor) addPod(ctx context.Context, p *lab.Pod) error {
	if err := s.addNamespace(ctx, p.Name); err != nil {
		return err
	}
	container := "lab-" + p.Name
	p.Interface = pod.HostEndName(container, uplink)
	err := ns.Do(p.Node, func() error {
		return pod.Wire(ctx, pod.Spec{
			HostEnd:   p.Interface,
			IfName:    uplink,
			NetNS:     ns.Path(p.Name),
			Addresses: p.Addresses,
			MTU:       podMTU(s.layout.State),
		})
	})
	if err != nil {
		return fmt.Errorf("pod %s: %w", p.Name, err)
	}
	store := endpoint.Store{Dir: filepath.Join(s.dir.StateDir(p.Node), "endpoints")}
	err = store.Put(state.Endpoint{
		ID:          container + "/" + uplink,
		Name:        s.dir.Name() + "/" + p.Name,
		Interface:   p.Interface,
		Addresses:   p.Addresses,
		ContainerID: container,
		IfName:      uplink,
		NetNS:       ns.Path(p.Name),
	})
	if err != nil {
		return fmt.Errorf("pod %s: %w", p.Name, err)
	}
	return s.respond(p.Name)
}

// podMTU leaves room for the largest header that the state file's pools may add.
func podMTU(f *desired.File) int {
	if f.Settings.MTU != 0 {
		return f.Settings.MTU
	}
	mtu := 1500
	for _, p := range f.Pools {
		switch p.Encapsulation {
		case desired.VXLAN:
			mtu = min(mtu, 1500-70) // over IPv6; 50 over IPv4
		case desired.IPIP:
			mtu = min(mtu, 1500-20)
		}
	}
	return mtu
}
