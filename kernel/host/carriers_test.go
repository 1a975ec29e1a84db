package host

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
)

func TestCarriers(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, `
			ip link add up0 mtu 1400 type veth peer name up1
			ip link add other type bridge
			ip link set up0 up
			ip link set up1 up
			ip address add 172.18.0.3/16 dev up0
			ip address add 172.18.0.4/16 dev up0
			ip address add fc00::3/64 dev up0 nodad
			ip address add fc00::4/64 dev up1 nodad
			ip address add 172.19.0.3/16 dev other`)
		for _, c := range []struct {
			wanted []string
			want   string
		}{
			{[]string{"172.18.0.3"}, "up0 veth 1400 true 172.18.0.3/16; "},
			{[]string{"fc00::3"}, "up0 veth 1400 true fc00::3/64; "},
			{[]string{"fc00::3", "172.18.0.3"}, "up0 veth 1400 true 172.18.0.3/16 fc00::3/64; "},
			{[]string{"172.18.0.4", "172.18.0.3"}, "up0 veth 1400 true 172.18.0.3/16 172.18.0.4/16; "},
			{[]string{"172.19.0.3", "fc00::4"}, "other bridge 1500 false 172.19.0.3/16; up1 veth 1500 true fc00::4/64; "},
			{[]string{"192.0.2.1", "2001:db8::1"}, ""},
			{nil, ""},
		} {
			var wanted []netip.Addr
			for _, a := range c.wanted {
				wanted = append(wanted, netip.MustParseAddr(a))
			}
			list, err := Carriers(t.Context(), wanted)
			if err != nil {
				t.Fatalf("%v: %v", c.wanted, err)
			}
			got := ""
			for _, i := range list {
				got += fmt.Sprintf("%s %s %d %v", i.Name, i.Type, i.MTU, i.Up)
				for _, p := range i.Addresses {
					got += " " + p.String()
				}
				got += "; "
			}
			if got != c.want {
				t.Errorf("%v: %q, want %q", c.wanted, got, c.want)
			}
		}
	})
}
