package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/containernetworking/cni/libcni"
	current "github.com/containernetworking/cni/pkg/types/100"
	"golang.org/x/sync/errgroup"

	"github.com/plumbnet/plumb/cni/install"
	"github.com/plumbnet/plumb/lab"
	"github.com/plumbnet/plumb/lab/ns"
)

// addPods makes the pods of all nodes, those of one node one after the other.
func (s *supervisor) addPods(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range s.layout.Nodes {
		g.Go(func() error {
			n := &s.layout.Nodes[i]
			net, err := s.network(n.Name)
			if err != nil {
				return fmt.Errorf("node %s: %w", n.Name, err)
			}
			for j := range n.Pods {
				p := &n.Pods[j]
				if err := s.addNamespace(ctx, p.Name); err != nil {
					return err
				}
				if err := net.add(ctx, p); err != nil {
					return fmt.Errorf("pod %s: %w", p.Name, err)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, p := range s.layout.Pods() {
		if err := s.respond(p.Name); err != nil {
			return err
		}
	}
	return nil
}

// deletePatience is how long the deletion of all pods may take; lab down waits,
// longer than this.
const deletePatience = 20 * time.Second

// deletePods has the CNI plugin take all pods away.
func (s *supervisor) deletePods(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, deletePatience)
	defer cancel()
	pods := s.layout.Pods()
	errs := make([]error, len(pods))
	var wg sync.WaitGroup
	for i, p := range pods {
		wg.Go(func() {
			net, err := s.network(p.Node)
			if err == nil {
				err = net.del(ctx, &p)
			}
			if err != nil {
				errs[i] = fmt.Errorf("pod %s is not deleted: %w", p.Name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// network is a node's, as its container runtime has it.
type network struct {
	lab  string
	cni  *libcni.CNIConfig
	list *libcni.NetworkConfigList
}

// network reads the conflist of a node, and writes it where there is none yet.
func (s *supervisor) network(node string) (*network, error) {
	path := s.dir.Conflist(node)
	if _, err := os.Stat(path); err != nil {
		if err := os.MkdirAll(s.dir.StateDir(node), 0o755); err != nil {
			return nil, err
		}
		text, err := install.Conf{File: s.dir.StateFileOf(node), Node: node, StateDir: s.dir.StateDir(node)}.Conflist()
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return nil, err
		}
	}
	list, err := libcni.NetworkConfFromFile(path)
	if err != nil {
		return nil, err
	}
	cni := libcni.NewCNIConfigWithCacheDir([]string{binDir}, s.dir.CNICache(node), &runtimeExec{node: node, reaper: &s.reaper})
	return &network{lab: s.dir.Name(), cni: cni, list: list}, nil
}

// attachment is what a container runtime tells of a pod.
func (n *network) attachment(p *lab.Pod) *libcni.RuntimeConf {
	rt := &libcni.RuntimeConf{
		ContainerID: "lab-" + p.Name,
		NetNS:       ns.Path(p.Name),
		IfName:      uplink,
		Args:        [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", n.lab}, {"K8S_POD_NAME", p.Name}},
	}
	if len(p.Addresses) > 0 {
		rt.CapabilityArgs = map[string]any{"ips": p.Addresses}
	}
	return rt
}

// add attaches a pod, and notes what became of it.
func (n *network) add(ctx context.Context, p *lab.Pod) error {
	r, err := n.cni.AddNetworkList(ctx, n.list, n.attachment(p))
	if err != nil {
		return err
	}
	result, err := current.NewResultFromResult(r)
	if err != nil {
		return err
	}
	p.Addresses = nil
	for _, ip := range result.IPs {
		if a, ok := netip.AddrFromSlice(ip.Address.IP); ok {
			p.Addresses = append(p.Addresses, a.Unmap())
		}
	}
	for _, i := range result.Interfaces {
		if i.Sandbox == "" {
			p.Interface = i.Name
		}
	}
	return nil
}

// del detaches a pod. That it was not attached is no error.
func (n *network) del(ctx context.Context, p *lab.Pod) error {
	return n.cni.DelNetworkList(ctx, n.list, n.attachment(p))
}
