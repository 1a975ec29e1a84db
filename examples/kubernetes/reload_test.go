package kubernetes

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// A change of the ConfigMap is in the kernel at once when the kubelet brings it.
func TestHotReloadOfTheConfigMap(t *testing.T) {
	onWorker1(t, func(n *worker1) {
		t := n.t
		list := objects(t, manifest)
		p := the(t, "DaemonSet", list).Spec.Template.Spec
		data := the(t, "ConfigMap", list).Data
		n.stateFile.Write(data)
		agent := n.run(p, p.Containers[0])
		await(t, "the agent is ready", func() bool { return answers(p.Containers[0].ReadinessProbe) })

		// By looking alone, every two seconds, each change would take that long, since it
		// follows the one before at once. That every single one comes by its event is
		// proved where the agent can be told to look less often: agent/reload_test.go.
		took := make([]time.Duration, 10)
		for i := range took {
			route := fmt.Sprintf("10.244.%d.0/24 via 172.18.0.9 ", 100+i)
			next := maps.Clone(data)
			next["30-nodes.yaml"] += fmt.Sprintf("  - {name: worker9, addresses: [172.18.0.9/16], podCIDRs: [10.244.%d.0/24]}\n", 100+i)
			swapped := time.Now()
			n.stateFile.Write(next)
			await(t, "the kernel has "+route, func() bool { return strings.Contains(nstest.Sh(t, "ip route"), route) })
			took[i] = time.Since(swapped)
		}
		slices.Sort(took)
		t.Logf("from the swap to the kernel changes took %v", took)
		if median := took[len(took)/2]; median > time.Second {
			t.Errorf("half of the changes took %v and more", median)
		}

		// A part more, one with an error, one less: each by the same dance.
		more := maps.Clone(data)
		more["40-nat.yaml"] = "nat: {exclude: [192.0.2.0/24]}\n"
		n.stateFile.Write(more)
		await(t, "the new part counts", func() bool { return strings.Contains(nstest.Sh(t, "nft list set inet plumb exclude4"), "192.0.2.0/24") })
		more["40-nat.yaml"] = "nat: {exclude: [192.0.2.0/33]}\n"
		n.stateFile.Write(more)
		await(t, "the error is told with its place", func() bool { return strings.Contains(agent.said(), "40-nat.yaml:1:17") })
		if !answers(p.Containers[0].ReadinessProbe) || !strings.Contains(nstest.Sh(t, "nft list set inet plumb exclude4"), "192.0.2.0/24") {
			t.Error("the last good state is not kept")
		}
		n.stateFile.Write(data)
		await(t, "the part is gone", func() bool {
			return !strings.Contains(nstest.Sh(t, "nft list set inet plumb exclude4"), "192.0.2.0/24")
		})
	})
}
