package agent

import (
	"fmt"
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
