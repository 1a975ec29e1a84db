package conformance

import (
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// The rig itself, proven with a plugin that is known to be good.
func TestRigRunsAKnownPlugin(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		p := n.pod("one")
		ptp := n.network("1.0.0", conf{
			"type": "ptp",
			"ipam": conf{"type": "host-local", "subnet": "10.99.0.0/24", "dataDir": n.stateDir + "/ptp"},
		})
		r, err := n.runtime().AddNetworkList(t.Context(), ptp, p.args())
		if err != nil {
			t.Fatal(err)
		}
		p.ping("10.99.0.1")
		if err := n.runtime().CheckNetworkList(t.Context(), ptp, p.args()); err != nil {
			t.Error(err)
		}
		if err := n.runtime().DelNetworkList(t.Context(), ptp, p.args()); err != nil {
			t.Error(err)
		}
		if links := p.sh("ip -br link show type veth"); links != "" {
			t.Errorf("%v, and after DEL the pod has %s", r, links)
		}
		n.clean("a plugin that is not plumb's")
	})
}
