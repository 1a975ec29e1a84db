package kubernetes

import (
	"cmp"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// patience is how long a test waits for what comes by itself, mostly at once.
const patience = 30 * time.Second

func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if so() {
			return
		}
	}
	t.Fatalf("not within %s: %s", patience, what)
}

// answers says whether a probe succeeds.
func answers(p *probe) bool { return answersAt(address, p) }

// answersAt is answers for the node with this address.
func answersAt(hostIP string, p *probe) bool {
	at := net.JoinHostPort(cmp.Or(p.HTTPGet.Host, hostIP), strconv.Itoa(p.HTTPGet.Port))
	r, err := http.Get("http://" + at + p.HTTPGet.Path)
	if err != nil {
		return false
	}
	defer r.Body.Close()
	_, _ = io.Copy(io.Discard, r.Body) // as a kubelet does
	return r.StatusCode == http.StatusOK
}

// The DaemonSet's containers do their work with what the manifest gives them.
func TestDaemonSetOnANode(t *testing.T) {
	onWorker1(t, func(n *worker1) {
		t := n.t
		list := objects(t, manifest)
		p := the(t, "DaemonSet", list).Spec.Template.Spec
		n.stateFile.Write(the(t, "ConfigMap", list).Data)

		n.must(p, p.InitContainers[0])
		conflist, err := os.ReadFile(n.path("/etc/cni/net.d/10-plumb.conflist"))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"node": "worker1"`, `"file": "/var/lib/plumb/last-good.json"`, `"stateDir": "/var/lib/plumb"`} {
			if !strings.Contains(string(conflist), want) {
				t.Errorf("the conflist has no %s:\n%s", want, conflist)
			}
		}
		version := `echo '{"cniVersion":"1.0.0"}' | CNI_COMMAND=VERSION ` + n.path("/opt/cni/bin/plumb-cni")
		if out := nstest.Sh(t, version); !strings.Contains(out, "supportedVersions") {
			t.Errorf("the plugin does not run on the host: %s", out)
		}
		if again := n.must(p, p.InitContainers[0]); strings.Contains(again, "installed") || strings.Contains(again, "updated") {
			t.Errorf("a second installation is not silent:\n%s", again)
		}

		agent := n.run(p, p.Containers[0])
		await(t, "the agent is ready", func() bool { return answers(p.Containers[0].ReadinessProbe) })
		if !answers(p.Containers[0].LivenessProbe) {
			t.Error("it is ready, and not alive")
		}
		if n.converged() != "" {
			t.Error(n.converged())
		}
		// The copy that the plugin is told to read, where it is told to look.
		if _, err := os.Stat(n.path("/var/lib/plumb/last-good.json")); err != nil {
			t.Error(err)
		}
		const netAdmin = "0000000000001000" // 1 << CAP_NET_ADMIN
		for _, want := range []string{"CapEff:\t" + netAdmin, "CapPrm:\t" + netAdmin, "CapBnd:\t" + netAdmin, "NoNewPrivs:\t1", "Seccomp:\t2"} {
			if !strings.Contains(agent.status(), want) {
				t.Errorf("the container's process is not as the manifest wants it: no %s in\n%s", want, agent.status())
			}
		}
		if out := agent.inside("plumb", "status"); !strings.Contains(out, "/etc/plumb") || strings.Contains(out, "exit status") {
			t.Errorf("plumb status in the container:\n%s", out)
		}
		if out := agent.inside("plumb", "diff"); out != "" {
			t.Errorf("plumb diff in the container:\n%s", out)
		}
		// The agent's own program on the node finds the agent.
		nstest.Sh(t, n.program()+" status --socket "+n.path("/run/plumb/plumb.sock"))
		for line := range strings.Lines(agent.said()) {
			if !json.Valid([]byte(line)) || strings.Contains(line, `"level":"ERROR"`) || strings.Contains(line, `"level":"WARN"`) {
				t.Errorf("the log has %s", line)
			}
		}

		nstest.Sh(t, "ip route del blackhole 10.244.1.0/24; echo 0 >/proc/sys/net/ipv4/ip_forward; nft delete table inet plumb")
		await(t, "what others change is put back", func() bool { return n.converged() == "" })
		agent.end(syscall.SIGTERM)
		if code := agent.finish(); code != 0 || n.converged() != "" {
			t.Errorf("exit status %d; what is left behind: %s", code, n.converged())
		}
		n.uninstalls()
	})
}

// program is plumb, outside any container.
func (n *worker1) program() string { return os.Getenv(built) + "/image/usr/local/bin/plumb" }

// converged says what the kernel lacks of the manifest's state.
func (n *worker1) converged() string {
	n.t.Helper()
	have := nstest.Sh(n.t, "ip route; ip -6 route; nft list ruleset; sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding")
	for _, want := range []string{
		"blackhole 10.244.1.0/24", "10.244.2.0/24 via 172.18.0.4 dev eth0", "blackhole fd00:10:244:1::/64",
		"table inet plumb", "net.ipv4.ip_forward = 1", "net.ipv6.conf.all.forwarding = 1",
	} {
		if !strings.Contains(have, want) {
			return "no " + want + " in:\n" + have
		}
	}
	return ""
}

// uninstalls runs the containers of the manifest that removes plumb.
func (n *worker1) uninstalls() {
	t := n.t
	t.Helper()
	p := the(t, "DaemonSet", objects(t, uninstall)).Spec.Template.Spec
	for _, c := range p.InitContainers {
		n.must(p, c)
	}
	left := nstest.Sh(t, "ip route; ip -6 route; nft list ruleset; cat /proc/sys/net/ipv4/ip_forward; ls "+
		n.path("/opt/cni/bin")+" "+n.path("/etc/cni/net.d"))
	for _, gone := range []string{"10.244.", "fd00:10:244", "inet plumb", "plumb-cni", "10-plumb"} {
		if strings.Contains(left, gone) {
			t.Errorf("%s is left:\n%s", gone, left)
		}
	}
	if strings.Contains(left, "\n1\n") {
		t.Errorf("the node still routes:\n%s", left)
	}
}

// Each right and each volume of the agent is needed: without it, it says what it lacks.
func TestNothingTooMuchIsGranted(t *testing.T) {
	onWorker1(t, func(n *worker1) {
		t := n.t
		list := objects(t, manifest)
		p := the(t, "DaemonSet", list).Spec.Template.Spec
		n.stateFile.Write(the(t, "ConfigMap", list).Data)
		for lacking, says := range map[string]string{
			"NET_ADMIN":    "operation not permitted",
			"proc-sys-net": "/host/proc/sys/net/ipv4/ip_forward: no such file",
			"state-file":   "/etc/plumb: no such file",
			"state-dir":    "read-only file system",
			"run":          "read-only file system",
		} {
			c := p.Containers[0]
			c.SecurityContext.Capabilities.Add = without(c.SecurityContext.Capabilities.Add, func(s string) bool { return s == lacking })
			c.VolumeMounts = without(c.VolumeMounts, func(m mount) bool { return m.Name == lacking })
			agent := n.run(p, c)
			await(t, "without "+lacking+" it says: "+says, func() bool { return strings.Contains(agent.said(), says) })
			agent.end(syscall.SIGKILL)
		}
	})
}

// The overlay for BGP has one right more, to listen on port 179; with it the speaker
// starts, and without it says what it lacks.
func TestTheRightToListenOnPort179(t *testing.T) {
	onWorker1(t, func(n *worker1) {
		t := n.t
		overlay := objects(t, "../kustomize/bgp-tor")
		n.stateFile.Write(the(t, "ConfigMap", overlay).Data)
		p := the(t, "DaemonSet", overlay).Spec.Template.Spec
		agent := n.run(p, p.Containers[0])
		await(t, "it listens", func() bool { return strings.Contains(nstest.Sh(t, "ss -Hltn"), ":179 ") })
		await(t, "the session is there, though nobody answers", func() bool {
			return strings.Contains(agent.inside("plumb", "bgp", "peers"), "172.18.0.1")
		})
		agent.end(syscall.SIGTERM)

		p = the(t, "DaemonSet", objects(t, manifest)).Spec.Template.Spec
		agent = n.run(p, p.Containers[0])
		await(t, "it may not listen", func() bool { return strings.Contains(agent.said(), "permission denied") })
		agent.end(syscall.SIGTERM)
	})
}

// The overlay with VXLAN needs no more rights: the agent makes the tunnel's device to a
// node in another subnet, and none to one in its own.
func TestVXLANOnANode(t *testing.T) {
	onWorker1(t, func(n *worker1) {
		t := n.t
		list := objects(t, "../kustomize/vxlan")
		p := the(t, "DaemonSet", list).Spec.Template.Spec
		data := the(t, "ConfigMap", list).Data
		n.stateFile.Write(data)
		agent := n.run(p, p.Containers[0])
		await(t, "the agent is ready", func() bool { return answers(p.Containers[0].ReadinessProbe) })
		if have := nstest.Sh(t, "ip route"); !strings.Contains(have, "10.244.2.0/24 via 172.18.0.4 dev eth0") {
			t.Errorf("no plain route to the neighbour in\n%s", have)
		}
		data["30-nodes.yaml"] += "  - {name: worker3, addresses: [172.19.0.5/16], podCIDRs: [10.244.3.0/24]}\n"
		n.stateFile.Write(data)
		await(t, "the tunnel is there", func() bool {
			have := nstest.Sh(t, "ip route; ip -d link; bridge fdb")
			return strings.Contains(have, "10.244.3.0/24 via 10.244.3.0 dev plumb-vxlan") &&
				strings.Contains(have, "vxlan id 4096 ") && strings.Contains(have, "dev plumb-vxlan dst 172.19.0.5")
		})
		await(t, "all is as it should be", func() bool { return agent.inside("plumb", "diff") == "" })
		if said := agent.said(); strings.Contains(said, `"level":"ERROR"`) {
			t.Errorf("the agent says\n%s", said)
		}
		agent.end(syscall.SIGTERM)
	})
}

// The overlay for Prometheus has the agent answer at the node's address.
func TestMetricsForOthers(t *testing.T) {
	onWorker1(t, func(n *worker1) {
		list := objects(n.t, "../kustomize/metrics")
		p := the(n.t, "DaemonSet", list).Spec.Template.Spec
		n.stateFile.Write(the(n.t, "ConfigMap", list).Data)
		for _, n.hostIP = range []string{address, address6} {
			agent := n.run(p, p.Containers[0])
			for _, probe := range []*probe{p.Containers[0].ReadinessProbe, p.Containers[0].LivenessProbe} {
				if probe.HTTPGet.Host != "" {
					n.t.Errorf("the probe asks at %s", probe.HTTPGet.Host)
				}
				await(n.t, probe.HTTPGet.Path+" answers at "+n.hostIP, func() bool { return answersAt(n.hostIP, probe) })
			}
			agent.end(syscall.SIGTERM)
		}
	})
}
