package runtimes

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A handful of containers, as a user of podman makes them: one has a published port,
// one an address of its user's choice, one is stopped and started again; they reach
// each other and the node; podman removes them, and nothing is left.
func TestPodman(t *testing.T) {
	onNode(t, func(t *testing.T) {
		n := newNode(t)
		n.installCNI()
		n.agent()
		p := n.podman()

		chosen := netip.MustParseAddr("10.244.1.77")
		names := []string{"one", "two", "three", "four", "five"}
		everyone := []netip.Addr{node4, node6}
		var addresses [][]netip.Addr
		for _, name := range names {
			args := []string{"run", "--detach", "--name", name, "--network", "plumb", "--cgroup-parent", cgroupParent()}
			switch name {
			case "one":
				args = append(args, "--publish", fmt.Sprintf("%d:%d", hostPort, askPort))
			case "two":
				args = append(args, "--ip", chosen.String())
			}
			args = append(args, "--rootfs", n.path("rootfs"))
			p.run(append(args, echo("/echo")...)...)
			if name == "three" { // its namespace and its addresses are others then
				p.run("stop", "--time", "0", name)
				p.run("start", name)
			}
			own := p.addresses(name)
			if name == "two" && !slices.Contains(own, chosen) {
				t.Errorf("the container that was to have %s has %v", chosen, own)
			}
			addresses = append(addresses, own)
			everyone = append(everyone, own...)
		}
		n.settled()
		if got := count(n.holds(), "link"); got != len(names) {
			t.Errorf("%d links of containers, want %d", got, len(names))
		}
		for i, own := range addresses {
			if len(own) != 2 {
				t.Fatalf("container %s has the addresses %v, want one of each family", names[i], own)
			}
			for _, a := range own {
				if err := n.silent(asking(a), everyone); err != nil {
					t.Error(err)
				}
			}
		}
		n.published(everyone)

		p.run(append([]string{"rm", "--force", "--time", "0"}, names...)...)
		n.clean()
	})
}

// podman is podman on a node, with its files in the node's folder.
type podman struct {
	n   *node
	env []string
	pid string // of process 1 of the namespace in which its processes live
}

const podmanConfig = `
[network]
network_backend = "cni"
network_config_dir = "%[1]s"
cni_plugin_dirs = ["%[2]s"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
tmp_dir = "/run/libpod"
[containers]
log_driver = "k8s-file"
# Those of the machine may be more than this root can give.
default_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]
`

const podmanStorage = `
[storage]
driver = "vfs"
graphroot = "%[1]s/graph"
runroot = "/run/containers/storage"
`

func (n *node) podman() *podman {
	n.t.Helper()
	p := &podman{n: n, env: append(
		os.Environ(),
		"CONTAINERS_CONF="+n.write("podman/containers.conf", fmt.Sprintf(podmanConfig, n.netDir, n.binDir)),
		"CONTAINERS_STORAGE_CONF="+n.write("podman/storage.conf", fmt.Sprintf(podmanStorage, n.path("podman"))),
		"HOME="+n.dir, "TMPDIR="+n.dir,
	)}
	n.sh("install -D %s %s/echo", program("echo"), n.path("rootfs"))
	init := n.runtime("podman", "sleep infinity")
	p.pid = strconv.Itoa(init.cmd.Process.Pid)
	// It has its own /proc once processes have no other number there (proc(5), NSpid).
	n.await("podman's namespace", func() error {
		return command("nsenter", "--target", p.pid, "--pid", "--mount", "awk", "/^NSpid:/ { exit NF != 2 }", "/proc/self/status")
	})
	return p
}

// run runs a podman command that must succeed.
func (p *podman) run(args ...string) string {
	p.n.t.Helper()
	cmd := exec.Command("nsenter", append([]string{"--target", p.pid, "--pid", "--mount", "podman"}, args...)...)
	cmd.Env = p.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		p.n.t.Fatalf("podman %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

// addresses are those of a container, as podman has understood the CNI result.
func (p *podman) addresses(name string) []netip.Addr {
	p.n.t.Helper()
	var containers []struct {
		NetworkSettings struct {
			Networks map[string]struct{ IPAddress, GlobalIPv6Address string }
		}
	}
	if err := json.Unmarshal([]byte(p.run("inspect", name)), &containers); err != nil {
		p.n.t.Fatal(err)
	}
	var list []netip.Addr
	for _, c := range containers {
		for _, network := range c.NetworkSettings.Networks {
			for _, text := range []string{network.IPAddress, network.GlobalIPv6Address} {
				if a, err := netip.ParseAddr(text); err == nil {
					list = append(list, a)
				}
			}
		}
	}
	return list
}
