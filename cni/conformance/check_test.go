package conformance

import (
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// CHECK is right after ADD, and says what is missing for each thing that somebody
// breaks. HOST is the host end, IP4 and IP6 are the pod's addresses.
func TestCheckSaysWhatIsMissing(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		for i, c := range []struct {
			what, onNode, inPod string
			want                []string // each is in the error
		}{
			{what: "veth gone", onNode: "ip link delete HOST", want: []string{"HOST"}},
			{what: "host end down", onNode: "ip link set HOST down", want: []string{"HOST", "down"}},
			{what: "host end's MAC", onNode: "ip link set HOST address 02:00:00:00:00:01", want: []string{"HOST", "ee:ee:ee:ee:ee:ee"}},
			{what: "pod's end down", inPod: "ip link set eth0 down", want: []string{"eth0"}},
			{what: "IPv4 address", inPod: "ip address delete IP4/32 dev eth0", want: []string{"IP4"}},
			{what: "IPv6 address", inPod: "ip address delete IP6/128 dev eth0", want: []string{"IP6"}},
			{what: "IPv4 default route", inPod: "ip route delete default", want: []string{"default", "169.254.1.1"}},
			{what: "IPv6 default route", inPod: "ip -6 route delete default", want: []string{"default", "fe80::ecee:eeff:feee:eeee"}},
			{what: "default route elsewhere", inPod: "ip route replace default dev lo", want: []string{"default", "169.254.1.1"}},
			{what: "route to the gateway", inPod: "ip route delete 169.254.1.1", want: []string{"169.254.1.1"}},
			{what: "IPv4 neighbour", inPod: "ip neighbour delete 169.254.1.1 dev eth0", want: []string{"neighbour", "169.254.1.1"}},
			{
				what: "IPv4 neighbour's MAC", inPod: "ip neighbour replace 169.254.1.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent",
				want: []string{"neighbour", "169.254.1.1"},
			},
			{
				what: "IPv6 neighbour", inPod: "ip neighbour delete fe80::ecee:eeff:feee:eeee dev eth0",
				want: []string{"neighbour", "fe80::ecee:eeff:feee:eeee"},
			},
			{what: "proxy_arp", onNode: "echo 0 > /proc/sys/net/ipv4/conf/HOST/proxy_arp", want: []string{"HOST", "proxy_arp"}},
			{what: "proxy_delay", onNode: "echo 80 > /proc/sys/net/ipv4/neigh/HOST/proxy_delay", want: []string{"HOST", "proxy_delay"}},
			{what: "forwarding", onNode: "echo 0 > /proc/sys/net/ipv4/conf/HOST/forwarding", want: []string{"ipv4", "HOST", "forwarding"}},
			{what: "rp_filter", onNode: "echo 0 > /proc/sys/net/ipv4/conf/HOST/rp_filter", want: []string{"HOST", "rp_filter"}},
			{what: "IPv6 forwarding", onNode: "echo 0 > /proc/sys/net/ipv6/conf/HOST/forwarding", want: []string{"ipv6", "HOST", "forwarding"}},
			{what: "accept_ra", onNode: "echo 1 > /proc/sys/net/ipv6/conf/HOST/accept_ra", want: []string{"HOST", "accept_ra"}},
			{what: "proxy_ndp", onNode: "echo 0 > /proc/sys/net/ipv6/conf/HOST/proxy_ndp", want: []string{"HOST", "proxy_ndp"}},
			{what: "IPv4 host route", onNode: "ip route delete IP4/32 proto 112", want: []string{"route", "IP4"}},
			{what: "IPv6 host route", onNode: "ip -6 route delete IP6/128 proto 112", want: []string{"route", "IP6"}},
			{what: "host route elsewhere", onNode: "ip route replace IP4/32 dev uplink0 scope link proto 112", want: []string{"route", "IP4"}},
			{what: "record", onNode: "rm STATE/endpoints/*", want: []string{"record"}},
			{what: "address in use", onNode: "rm STATE/addresses/IP4", want: []string{"IP4"}},
		} {
			p := n.pod("pod" + string(rune('a'+i)))
			r := p.add()
			if err := p.check(); err != nil {
				t.Fatalf("%s: CHECK right after ADD: %v", c.what, err)
			}
			fill := strings.NewReplacer("HOST", r.Interfaces[0].Name, "IP4", addresses(r)[0], "IP6", addresses(r)[1], "STATE", n.stateDir)
			if c.onNode != "" {
				n.sh("%s", fill.Replace(c.onNode))
			}
			if c.inPod != "" {
				p.sh("%s", fill.Replace(c.inPod))
			}
			err := p.check()
			if err == nil {
				t.Errorf("%s: CHECK is content", c.what)
			} else {
				for _, want := range c.want {
					if !strings.Contains(err.Error(), fill.Replace(want)) {
						t.Errorf("%s: %v\nlacks %q", c.what, err, fill.Replace(want))
					}
				}
			}
			n.sh("ip route flush dev uplink0 proto 112")
			p.del()
			n.clean("DEL of a pod without: " + c.what)
		}
	})
}

// CHECK compares with the result that the runtime kept, too.
func TestCheckOfAnotherResult(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		p := n.pod("one")
		r := p.add()
		mac := r.Interfaces[1].Mac
		r.IPs[0].Address.IP[len(r.IPs[0].Address.IP)-1]++
		if e := p.call("CHECK", conf{"prevResult": r}).failure(n); !strings.Contains(e.Error(), addresses(r)[0]) {
			t.Errorf("another address: %v", e)
		}
		r.IPs[0].Address.IP[len(r.IPs[0].Address.IP)-1]--
		p.call("CHECK", conf{"prevResult": r}).ok(n, "CHECK of the right one")
		// A plugin behind this one may have changed it (tuning does).
		p.sh(`ip link set eth0 address 02:00:00:00:00:77
			for gateway in 169.254.1.1 fe80::ecee:eeff:feee:eeee; do
				ip neighbour replace $gateway lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent; done`)
		r.Interfaces[1].Mac = "02:00:00:00:00:77"
		p.call("CHECK", conf{"prevResult": r}).ok(n, "CHECK with another MAC than "+mac)
		p.ends()
		if e := p.call("CHECK", conf{"prevResult": r}).failure(n); e.Code == 0 {
			t.Errorf("without its namespace: %v", e)
		}
	})
}

func TestCheckOfWhatNeverWas(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		one, two := n.pod("one"), n.pod("two")
		r := one.add()
		before := n.holds()
		if e := two.call("CHECK", conf{"prevResult": r}).failure(n); e.Code == 0 {
			t.Error(e)
		}
		n.same(before, "CHECK")
	})
}
