package agent

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state/desired/volumetest"
)

// volume is an agent's state file as a ConfigMap's volume, before its first version.
func volume(t *testing.T) (Options, *volumetest.Volume) {
	t.Helper()
	o := options(t, "")
	o.File = filepath.Dir(o.File) + "/volume"
	return o, &volumetest.Volume{T: t, Dir: o.File}
}

func uplink(t *testing.T) {
	t.Helper()
	nstest.Sh(t, "ip link add eth0 type veth peer name peer; ip link set peer up; ip link set eth0 up; ip addr add 192.0.2.1/24 dev eth0")
}

// Half of the nodes move to a part of their own, and back: no route may flap, however
// long the kubelet takes between its steps.
func TestNodesMoveBetweenThePartsOfAConfigMap(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		uplink(t)
		const nodes = 100
		line := func(i int) string {
			return fmt.Sprintf("  - {name: m%d, addresses: [192.0.2.%d/24], podCIDRs: [10.244.%d.0/24]}\n", i, i, i)
		}
		var halves [2]string
		for i := range nodes {
			halves[i%2] += line(i + 2)
		}
		whole := map[string]string{"30-nodes.yaml": small + halves[0] + halves[1]}
		parts := map[string]string{"30-nodes.yaml": small + halves[0], "31-nodes.yaml": "nodes:\n" + halves[1]}

		o, v := volume(t)
		v.Write(whole)
		log := start(t, o)
		soon(t, "all routes are there", func() bool { return strings.Count(nstest.Sh(t, "ip route"), "10.244.") == nodes+1 })
		v.Between = func() { time.Sleep(20 * time.Millisecond) } // a turn takes less
		heard := monitor(t)
		for i := range 6 {
			v.Write([]map[string]string{parts, whole}[i%2])
			soon(t, "the version is loaded", func() bool { return strings.Count(log.String(), "state file loaded") >= i+2 })
		}
		if text := heard(); text != "" {
			t.Errorf("routes were touched:\n%s", text)
		}
	})
}

// Each change of a ConfigMap is seen by its event: the agent looks at the file once an
// hour here, besides.
func TestAConfigMapIsReloadedByEvents(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		uplink(t)
		o, v := volume(t)
		o.pollFile = time.Hour
		data := map[string]string{"10-cluster.yaml": small}
		v.Write(data)
		start(t, o)
		soon(t, "it converges", func() bool { return strings.Contains(nstest.Sh(t, "ip route"), "blackhole 10.244.1.0/24") })
		for i := range 10 {
			next := maps.Clone(data)
			next[fmt.Sprintf("%d-node.yaml", 20+i)] = fmt.Sprintf("nodes: [{name: w, addresses: [192.0.2.9/24], podCIDRs: [10.244.%d.0/24]}]\n", 100+i)
			v.Write(next)
			route := fmt.Sprintf("10.244.%d.0/24 via 192.0.2.9 ", 100+i)
			soon(t, "there is "+route, func() bool { return strings.Contains(nstest.Sh(t, "ip route"), route) })
		}
		v.Write(data)
		soon(t, "the part is gone", func() bool { return !strings.Contains(nstest.Sh(t, "ip route"), "192.0.2.9") })
	})
}
