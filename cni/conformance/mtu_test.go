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
