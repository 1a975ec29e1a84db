package kubernetes

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// namespaces is where container runtimes keep those of pods.
const namespaces = "/var/run/netns"

// The manifest's rights are enough to follow a packet, but for the inside of pods and
// a probe that is an echo request: these say which capability they would need. The
// overlay has those.
func TestTraceWithTheRightsOfTheManifest(t *testing.T) {
	onWorker1(t, func(n *worker1) {
		t := n.t
		list := objects(t, manifest)
		p := the(t, "DaemonSet", list).Spec.Template.Spec
		n.must(p, p.InitContainers[0])
		n.shareStateDir()
		n.stateFile.Write(the(t, "ConfigMap", list).Data)
		// As systemd makes /run.
		nstest.Sh(t, "mount -t tmpfs tmpfs /run; mount --make-shared /run; mkdir -p "+namespaces+"; test -d /run/netns")
		made := ""
		traces := func(p pod, c container, expected map[string]string) {
			t.Helper()
			agent := n.run(p, c)
			await(t, "the agent is ready", func() bool { return answers(c.ReadinessProbe) })
			if made == "" { // while the agent runs
				made = namespaces + "/cni-1"
				nstest.Sh(t, "touch "+made+"; mount --bind "+nstest.NewNamespace(t).Path()+" "+made)
				if out, err := n.plugin("ADD", made); err != nil {
					t.Fatalf("ADD: %v\n%s", err, out)
				}
			}
			await(t, "the agent knows the pod", func() bool { return strings.Contains(agent.inside("plumb", "status"), "web-1") })
			for question, want := range expected {
				// On a busy machine an agent's answer may come too late for one trace.
				for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
					out := agent.inside(append([]string{"plumb", "trace"}, strings.Fields(question)...)...)
					missing := absent(out, want)
					if missing == "" {
						break
					}
					if time.Now().After(end) {
						t.Fatalf("trace %s: no %q in\n%s", question, missing, out)
					}
				}
			}
			agent.end(syscall.SIGTERM)
		}

		traces(p, p.Containers[0], map[string]string{
			"web-1 worker1": "inside not looked at: there is no " + namespaces + " here; in a container it has to be a volume … delivered to node worker1",
			"worker1 web-1": "inside not looked at: there is no " + namespaces + " here … delivered to default/web-1; the answer comes back",
			"worker1 web-1 --live": "sent not sent … delivered to default/web-1; the answer comes back … " +
				"an echo request needs the capability CAP_NET_RAW; --proto tcp or udp needs none … exit status 2",
			"worker1 web-1 --live --proto tcp --port 9": "inet plumb postrouting accept: policy … probe: connection refused (nothing",
		})
		p = the(t, "DaemonSet", objects(t, "../kustomize/trace")).Spec.Template.Spec
		traces(p, p.Containers[0], map[string]string{
			"web-1 worker1 --live": "route default via 169.254.1.1 dev eth0 … delivered to node worker1; the answer comes back; probe: echo reply",
			"worker1 web-1 --live": "interface eth0 up … delivered to default/web-1; the answer comes back; probe: echo reply",
		})
		lacking := p.Containers[0]
		lacking.SecurityContext.Capabilities.Add = []string{"NET_ADMIN", "NET_RAW"}
		traces(p, lacking, map[string]string{
			"web-1 worker1 --live": made + " cannot be entered without the capability CAP_SYS_ADMIN … delivered to node worker1 … exit status 2",
		})
	})
}

// absent is the first part of want that out does not have; stderr may come first.
func absent(out, want string) string {
	flat := strings.Join(strings.Fields(out), " ")
	for part := range strings.SplitSeq(want, " … ") {
		if !strings.Contains(flat, part) {
			return part
		}
	}
	return ""
}
