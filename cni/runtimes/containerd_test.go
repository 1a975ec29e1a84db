package runtimes

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	sandboxes = 110 // a kubelet's default limit of pods on a node
	atOnce    = 4
)

// A node's life with containerd: as many pods as a kubelet allows, made while the
// agent is restarted in both ways, all of which reach each other and the node; then
// all are removed, and nothing is left.
func TestContainerd(t *testing.T) {
	onNode(t, func(t *testing.T) {
		n := newNode(t)
		n.installCNI()
		a := n.agent()
		c := n.containerd()

		pods := make([]sandbox, sandboxes)
		began := time.Now()
		c.each(pods, func(ctx context.Context, i, done int) error {
			switch done {
			case sandboxes / 4:
				a.restart(syscall.SIGTERM)
			case sandboxes / 2:
				a.restart(syscall.SIGKILL)
			}
			var err error
			pods[i], err = c.run(ctx, i)
			return err
		})
		t.Logf("%d pods made in %v", sandboxes, time.Since(began))
		n.settled()
		if got := count(n.holds(), "link"); got != sandboxes {
			t.Errorf("%d links of pods, want %d", got, sandboxes)
		}

		everyone := []netip.Addr{node4, node6}
		for _, p := range pods {
			everyone = append(everyone, p.addresses...)
		}
		began = time.Now()
		c.each(pods, func(_ context.Context, i, _ int) error {
			if len(pods[i].addresses) != 2 {
				return fmt.Errorf("pod %d has the addresses %v, want one of each family", i, pods[i].addresses)
			}
			return n.silent(asking(pods[i].addresses[i%2]), everyone)
		})
		n.published(everyone)
		t.Logf("%d pairs reach each other, in %v; %d flows", len(pods)*len(everyone), time.Since(began), len(n.flows()))

		began = time.Now()
		c.each(pods, func(ctx context.Context, i, done int) error {
			if done == sandboxes/2 {
				a.restart(syscall.SIGKILL)
			}
			return c.remove(ctx, pods[i])
		})
		t.Logf("%d pods removed in %v", sandboxes, time.Since(began))
		n.clean()
	})
}

// sandbox is a pod as the container runtime interface calls it.
type sandbox struct {
	id        string
	addresses []netip.Addr
}

// containerd is a running containerd and a connection to it.
type containerd struct {
	n      *node
	socket string
	cri    cri.RuntimeServiceClient
}

const containerdConfig = `version = 2
root = "%[1]s/root"
state = "%[1]s/state"
[grpc]
  address = "%[1]s/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "%[1]s/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + image + `"
  restrict_oom_score_adj = true # for who may not lower it
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "%[2]s"
    conf_dir = "%[3]s"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    # Copies: an overlay cannot be mounted where the folder is on one itself.
    snapshotter = "native"
`

// containerd starts one on the node and waits until it and its network are ready.
func (n *node) containerd() *containerd {
	n.t.Helper()
	dir := n.path("containerd")
	c := &containerd{n: n, socket: dir + "/containerd.sock"}
	config := n.write("containerd/config.toml", fmt.Sprintf(containerdConfig, dir, n.binDir, n.netDir))
	n.runtime("containerd", "containerd --config "+config)

	n.await("containerd", func() error { return command("ctr", "--address", c.socket, "version") })
	writeImage(n.t, n.path("echo.tar"), program("echo"), echoPort, askPort)
	n.sh("ctr --address %s --namespace k8s.io images import %s", c.socket, n.path("echo.tar"))

	conn, err := grpc.NewClient("unix://"+c.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { conn.Close() })
	c.cri = cri.NewRuntimeServiceClient(conn)
	n.await("containerd's network", func() error {
		s, err := c.cri.Status(n.t.Context(), &cri.StatusRequest{})
		if err != nil {
			return err
		}
		for _, condition := range s.Status.Conditions {
			if !condition.Status {
				return fmt.Errorf("%s: %s: %s", condition.Type, condition.Reason, condition.Message)
			}
		}
		return nil
	})
	return c
}

// each calls do for every pod, a few at a time. do gets the pod's place, and how
// many are done; the first error ends the test.
func (c *containerd) each(pods []sandbox, do func(ctx context.Context, i, done int) error) {
	c.n.t.Helper()
	g, ctx := errgroup.WithContext(c.n.t.Context())
	g.SetLimit(atOnce)
	var done atomic.Int64
	for i := range pods {
		g.Go(func() error {
			err := do(ctx, i, int(done.Load()))
			done.Add(1)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		c.n.t.Fatal(err)
	}
}

// run makes the pod of a number. The first has a published port.
func (c *containerd) run(ctx context.Context, i int) (sandbox, error) {
	config := &cri.PodSandboxConfig{
		Metadata:  &cri.PodSandboxMetadata{Name: fmt.Sprintf("echo-%d", i), Namespace: "default", Uid: fmt.Sprintf("uid-%d", i)},
		DnsConfig: &cri.DNSConfig{Servers: []string{"192.0.2.53"}}, // not the machine's
		Linux:     &cri.LinuxPodSandboxConfig{CgroupParent: "/" + cgroupParent()},
	}
	if i == 0 {
		config.PortMappings = []*cri.PortMapping{{Protocol: cri.Protocol_TCP, ContainerPort: 7008, HostPort: hostPort}}
	}
	r, err := c.cri.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: config})
	if err != nil {
		return sandbox{}, fmt.Errorf("pod %d: %w", i, err)
	}
	s, err := c.cri.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: r.PodSandboxId})
	if err != nil {
		return sandbox{}, fmt.Errorf("pod %d: %w", i, err)
	}
	p := sandbox{id: r.PodSandboxId}
	texts := []string{s.Status.Network.GetIp()}
	for _, more := range s.Status.Network.GetAdditionalIps() {
		texts = append(texts, more.GetIp())
	}
	for _, text := range texts {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return p, fmt.Errorf("pod %d: %w", i, err)
		}
		p.addresses = append(p.addresses, a)
	}
	return p, nil
}

func (c *containerd) remove(ctx context.Context, p sandbox) error {
	_, err := c.cri.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.id})
	_, err2 := c.cri.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.id})
	return errors.Join(err, err2)
}
