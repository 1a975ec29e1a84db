package conformance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// The configuration's MTU comes before the file's, and that before the uplink's.
func TestMTU(t *testing.T) {
	for _, c := range []struct {
		name     string
		conf     conf
		settings string
		uplink   int
		want     int
	}{
		{name: "uplink", uplink: 1410, want: 1410},
		{name: "jumbo uplink", uplink: 9000, want: 9000},
		{name: "settings", settings: "settings: {mtu: 1390}", uplink: 1410, want: 1390},
		{name: "configuration", conf: conf{"mtu": 1350}, settings: "settings: {mtu: 1390}", want: 1350},
		{name: "configuration of 0", conf: conf{"mtu": 0}, settings: "settings: {mtu: 1390}", want: 1390},
	} {
		t.Run(c.name, func(t *testing.T) {
			nstest.Run(t, func(t *testing.T) {
				n := newNode(t, layout{uplinkMTU: c.uplink, more: c.settings})
				p := n.pod("one")
				r := p.add(c.conf)
				for _, i := range r.Interfaces {
					if i.Mtu != c.want {
						t.Errorf("result: %s has %d, want %d", i.Name, i.Mtu, c.want)
					}
				}
				want := fmt.Sprintf("mtu %d ", c.want)
				if got := p.sh("ip link show eth0"); !strings.Contains(got, want) {
					t.Errorf("in the pod: %s, want %s", got, want)
				}
				if got := n.sh("ip link show %s", r.Interfaces[0].Name); !strings.Contains(got, want) {
					t.Errorf("on the node: %s, want %s", got, want)
				}
				if err := p.check(c.conf); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestMTUOverAnOverlay: pods get what the tunnel's header leaves of the uplink, also
// where the node's address is on a device that leads nowhere; and after the uplink's
// MTU has changed, new pods get the new one.
func TestMTUOverAnOverlay(t *testing.T) {
	const away = "ip address del 172.18.0.3/16 dev uplink0; ip address add 192.0.2.3/24 dev uplink0; "
	for _, c := range []struct {
		name, move             string
		uplink, want, then, so int
	}{
		{"on the uplink", "", 1400, 1350, 9000, 8950},
		{"on lo", away + "ip address add 172.18.0.3/32 dev lo", 9000, 8950, 1400, 1350},
	} {
		t.Run(c.name, func(t *testing.T) {
			nstest.Run(t, func(t *testing.T) {
				n := newNode(t, layout{uplinkMTU: c.uplink})
				n.sh("%s", c.move)
				n.write(`apiVersion: plumb/v1
pools: [{cidr: 10.244.0.0/16, encapsulation: vxlan}]
nodes:
  - {name: worker1, addresses: [172.18.0.3/16], podCIDRs: [10.244.1.0/24]}
  - {name: worker2, addresses: [172.18.0.4/16], podCIDRs: [10.244.2.0/24]}
`)
				for _, step := range []struct {
					pod          string
					uplink, want int
				}{{"one", c.uplink, c.want}, {"two", c.then, c.so}} {
					n.sh("ip link set wire0 mtu %[1]d; ip link set uplink0 mtu %[1]d", step.uplink)
					p := n.pod(step.pod)
					p.add(nil)
					if got := p.sh("ip link show eth0"); !strings.Contains(got, fmt.Sprintf("mtu %d ", step.want)) {
						t.Errorf("in pod %s: %s, want mtu %d", step.pod, got, step.want)
					}
				}
			})
		})
	}
}
