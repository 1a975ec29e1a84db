package kubernetes

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// A pod on a node of the DaemonSet: the plugin and the conflist that the init container
// installed, on a host that has no state file, with the state directory that the agent's
// container shares.
func TestAPodOnANodeOfTheDaemonSet(t *testing.T) {
	onWorker1(t, func(n *worker1) {
		t := n.t
		list := objects(t, manifest)
		p := the(t, "DaemonSet", list).Spec.Template.Spec
		n.must(p, p.InitContainers[0])
		n.shareStateDir()
		pod := nstest.NewNamespace(t)

		if out, err := n.plugin("ADD", pod.Path()); err == nil || !strings.Contains(out, "no agent has had a valid state file on this node yet") {
			t.Errorf("ADD before the agent's first start: %v\n%s", err, out)
		}
		n.stateFile.Write(the(t, "ConfigMap", list).Data)
		agent := n.run(p, p.Containers[0])
		await(t, "the agent is ready", func() bool { return answers(p.Containers[0].ReadinessProbe) })

		out, err := n.plugin("ADD", pod.Path())
		if err != nil {
			t.Fatalf("ADD: %v\n%s", err, out)
		}
		var result struct {
			IPs        []struct{ Address string }
			Interfaces []struct{ Name string } // the first is the host's end
		}
		if err := json.Unmarshal([]byte(out), &result); err != nil || len(result.IPs) != 2 {
			t.Fatalf("%v\n%s", err, out)
		}
		pod.Sh("ping -c 1 -W 10 " + address)
		await(t, "the agent knows the pod", func() bool {
			return strings.Contains(agent.inside("plumb", "status"), "web-1") && agent.inside("plumb", "diff") == ""
		})
		ip := strings.TrimSuffix(result.IPs[0].Address, "/32")
		nstest.Sh(t, "ip route del "+ip+"; ip link set "+result.Interfaces[0].Name+" address 02:00:00:00:00:01")
		await(t, "what others change of the pod's is put back", func() bool {
			have := nstest.Sh(t, "ip route; ip -o link")
			return strings.Contains(have, ip+" dev plb") && strings.Contains(have, "ee:ee:ee:ee:ee:ee")
		})
		if out, err := n.plugin("DEL", pod.Path()); err != nil {
			t.Errorf("DEL: %v\n%s", err, out)
		}
		if left := nstest.Sh(t, "ip route; ip -o link"); strings.Contains(left, ip) || strings.Contains(left, "plb") {
			t.Errorf("DEL leaves\n%s", left)
		}
		for line := range strings.Lines(agent.said()) {
			if strings.Contains(line, `"level":"ERROR"`) {
				t.Errorf("the agent says %s", line)
			}
		}
	})
}

// shareStateDir: what the conflist calls /var/lib/plumb is that of the test's disk.
func (n *worker1) shareStateDir() {
	n.t.Helper()
	nstest.Sh(n.t, fmt.Sprintf("mkdir -p %[1]s; mount -t tmpfs tmpfs /var/lib; mkdir /var/lib/plumb; mount --bind %[1]s /var/lib/plumb", n.path("/var/lib/plumb")))
}

// plugin calls the installed plugin as a container runtime does: with the first entry
// of the installed conflist.
func (n *worker1) plugin(command, netns string) (string, error) {
	n.t.Helper()
	text, err := os.ReadFile(n.path("/etc/cni/net.d/10-plumb.conflist"))
	var conflist struct {
		Name, CNIVersion string
		Plugins          []dict
	}
	if err == nil {
		err = json.Unmarshal(text, &conflist)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	conf := conflist.Plugins[0]
	conf["name"], conf["cniVersion"] = conflist.Name, conflist.CNIVersion
	stdin, err := json.Marshal(conf)
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.Command(n.path("/opt/cni/bin/plumb-cni"))
	cmd.Stdin = strings.NewReader(string(stdin))
	cmd.Env = append(os.Environ(), "CNI_COMMAND="+command, "CNI_CONTAINERID=c1", "CNI_NETNS="+netns, "CNI_IFNAME=eth0",
		"CNI_PATH="+n.path("/opt/cni/bin"), "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}
