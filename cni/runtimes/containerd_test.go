package runtimes

import (
	"context"
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
		c.each(pods[:1], c.run)
		// Whatever happens to the agent and to other pods, the first is reached.
		endStream := n.stream(pods[0].addresses...)
		began := time.Now()
		c.each(pods[1:], func(ctx context.Context, p *sandbox) error {
			switch p {
			case &pods[sandboxes/4]:
				a.restart(syscall.SIGTERM)
			case &pods[sandboxes/2]:
				a.restart(syscall.SIGKILL)
			}
			return c.run(ctx, p)
		})
		t.Logf("%d pods made in %v", len(pods), time.Since(began))
		n.settled()
		if got := count(n.holds(), "link"); got != len(pods) {
			t.Errorf("%d links of pods, want %d", got, len(pods))
		}

		everyone := []netip.Addr{node4, node6}
		for _, p := range pods {
			everyone = append(everyone, p.addresses...)
		}
		began = time.Now()
		c.each(pods, func(_ context.Context, p *sandbox) error {
			return n.silent(asking(p.addresses[p.number%2]), everyone)
		})
		n.published(everyone)
		t.Logf("%d pairs reach each other, found out in %v; %d flows", len(pods)*len(everyone), time.Since(began), len(n.flows()))

		began = time.Now()
		c.each(pods[1:], func(ctx context.Context, p *sandbox) error {
			if p == &pods[sandboxes/2] {
				a.restart(syscall.SIGKILL)
			}
			return c.remove(ctx, p)
		})
		endStream()
		c.each(pods[:1], c.remove)
		t.Logf("%d pods removed in %v", len(pods), time.Since(began))
		n.clean()
	})
}

// sandbox is a pod as the container runtime interface calls it.
type sandbox struct {
	number    int
	id        string
	addresses []netip.Addr
}

// containerd is a running containerd and a connection to it.
type containerd struct {
	n      *node
	socket string
	cri    cri.RuntimeServiceClient
	made   atomic.Int32 // pods
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
	writeImage(n.t, n.path("echo.tar"), program("echo"))
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

// each calls do for every pod, a few at a time; an error ends the test.
func (c *containerd) each(pods []sandbox, do func(context.Context, *sandbox) error) {
	c.n.t.Helper()
	g, ctx := errgroup.WithContext(c.n.t.Context())
	g.SetLimit(atOnce)
	for i := range pods {
		g.Go(func() error { return do(ctx, &pods[i]) })
	}
	if err := g.Wait(); err != nil {
		c.n.t.Fatal(err)
	}
}

// run makes a pod. The first has a published port.
func (c *containerd) run(ctx context.Context, p *sandbox) error {
	p.number = int(c.made.Add(1))
	config := &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{
			Namespace: "default", Name: fmt.Sprintf("echo-%d", p.number), Uid: fmt.Sprintf("uid-%d", p.number),
		},
		DnsConfig: &cri.DNSConfig{Servers: []string{"192.0.2.53"}}, // not the machine's
		Linux:     &cri.LinuxPodSandboxConfig{CgroupParent: "/" + cgroupParent()},
	}
	if p.number == 1 {
		config.PortMappings = []*cri.PortMapping{{Protocol: cri.Protocol_TCP, ContainerPort: askPort, HostPort: hostPort}}
	}
	r, err := c.cri.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: config})
	if err != nil {
		return fmt.Errorf("pod %d: %w", p.number, err)
	}
	p.id = r.PodSandboxId
	s, err := c.cri.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: p.id})
	if err != nil {
		return fmt.Errorf("pod %d: %w", p.number, err)
	}
	ips := []string{s.Status.Network.GetIp()}
	for _, more := range s.Status.Network.GetAdditionalIps() {
		ips = append(ips, more.GetIp())
	}
	for _, ip := range ips {
		a, err := netip.ParseAddr(ip)
		if err != nil {
			return fmt.Errorf("pod %d: %w", p.number, err)
		}
		p.addresses = append(p.addresses, a)
	}
	if len(p.addresses) != 2 || p.addresses[0].Is4() == p.addresses[1].Is4() {
		return fmt.Errorf("pod %d has the addresses %v, want one of each family", p.number, ips)
	}
	return nil
}

// remove stops and removes a pod, as a kubelet does.
func (c *containerd) remove(ctx context.Context, p *sandbox) error {
	if _, err := c.cri.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.id}); err != nil {
		return fmt.Errorf("pod %d: %w", p.number, err)
	}
	if _, err := c.cri.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.id}); err != nil {
		return fmt.Errorf("pod %d: %w", p.number, err)
	}
	return nil
}
