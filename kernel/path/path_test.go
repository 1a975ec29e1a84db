package path

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/trace/facts"
)

func open(t *testing.T) *Place {
	t.Helper()
	p, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func to(s string) facts.Packet { return facts.Packet{Dst: netip.MustParseAddr(s), Proto: "icmp"} }

// wire is a host with an uplink, whose neighbour is in another namespace.
func wire(t *testing.T) nstest.Namespace {
	t.Helper()
	n := nstest.NewNamespace(t)
	// A link-local address that is still tested for duplicates asks nobody.
	const noDAD = "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad; "
	n.Sh(noDAD)
	nstest.Sh(t, noDAD+"ip link add eth0 address 02:00:00:00:00:01 type veth peer name eth0 address 02:00:00:00:00:02 netns "+n.Path()+`
		ip addr add 192.0.2.1/24 dev eth0; ip addr add 2001:db8::1/64 dev eth0 nodad; ip link set eth0 up`)
	n.Sh("ip addr add 192.0.2.2/24 dev eth0; ip addr add 2001:db8::2/64 dev eth0 nodad; ip link set eth0 up")
	// The kernel's own work queue puts the devices to use, a while after they are up.
	nstest.Sh(t, "until ip link show eth0 | grep -q 'state UP'; do sleep 0.01; done")
	n.Sh("until ip -6 maddr show dev eth0 | grep -q ff02::1:ff00:2; do sleep 0.01; done")
	return n
}

// Each way that a packet can go, in the kernel's words.
func TestRoute(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		nstest.Sh(t, `
			echo 1 >/proc/sys/net/ipv4/ip_forward
			ip link add in0 type veth peer name in1; ip link set in0 up; ip link set in1 up
			ip route add 10.0.0.5 dev in0
			ip route add default via 192.0.2.2; ip -6 route add default via 2001:db8::2
			ip route add blackhole 10.9.0.0/16 proto 112; ip -6 route add blackhole fd00:9::/32 proto 112
			ip route add prohibit 10.8.0.0/16; ip route add unreachable 10.7.0.0/16
			ip route add 10.6.0.0/16 mtu 1400 via 192.0.2.2
			ip route add 10.5.0.0/16 nexthop via 192.0.2.2 dev eth0 nexthop via 192.0.2.3 dev eth0
			echo 1 >/proc/sys/net/ipv4/conf/in0/rp_filter`)
		p := open(t)
		for _, c := range []struct{ src, dst, in, text, via, source, err string }{
			{"", "192.0.2.2", "", "192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.1", " eth0", "192.0.2.1", ""},
			{"", "1.1.1.1", "", "default via 192.0.2.2 dev eth0", "192.0.2.2 eth0", "192.0.2.1", ""},
			{"10.0.0.5", "1.1.1.1", "in0", "default via 192.0.2.2 dev eth0", "192.0.2.2 eth0", "", ""},
			{"10.0.0.6", "1.1.1.1", "in0", "", " ", "", "EINVAL|EXDEV"}, // rp_filter; EXDEV before Linux 6.14
			{"", "192.0.2.1", "", "local 192.0.2.1 dev eth0 table local proto kernel scope host src 192.0.2.1", " lo", "192.0.2.1", ""},
			{"", "10.9.1.1", "", "blackhole 10.9.0.0/16 proto plumb", " ", "", "EINVAL"},
			{"", "fd00:9::1", "", "blackhole fd00:9::/32 dev lo proto plumb metric 1024", " ", "", "EINVAL"},
			{"", "10.8.1.1", "", "prohibit 10.8.0.0/16", " ", "", "EACCES"},
			{"", "10.7.1.1", "", "unreachable 10.7.0.0/16", " ", "", "EHOSTUNREACH"},
			{"", "2001:db8:9::1", "", "default via 2001:db8::2 dev eth0 metric 1024", "2001:db8::2 eth0", "2001:db8::1", ""},
		} {
			q := to(c.dst)
			if c.src != "" {
				q.Src = netip.MustParseAddr(c.src)
			}
			l := p.Route(context.Background(), q, c.in, "")
			via := strings.TrimPrefix(l.Via.Gateway.String()+" "+l.Via.Dev, "invalid IP")
			source := strings.TrimPrefix(l.Source.String(), "invalid IP")
			text := l.Text
			if text != c.text && strings.HasPrefix(c.text, "local") && strings.HasPrefix(text, "local") {
				text = c.text // whether the table is said depends on the kernel
			}
			if text != c.text || !slices.Contains(strings.Split(c.err, "|"), l.Error) || c.err == "" && (via != c.via && l.Type == state.Unicast || source != c.source && c.source != "") {
				t.Errorf("from %q to %s in %q: %+v", c.src, c.dst, c.in, l)
			}
		}
		if l := p.Route(context.Background(), to("10.6.0.1"), "", ""); l.MTU != 1400 {
			t.Errorf("a route's MTU: %+v", l)
		}
		l := p.Route(context.Background(), to("10.5.0.1"), "", "")
		if l.Hops != 2 || !strings.Contains(l.Text, "nexthop via 192.0.2.3 dev eth0") || l.Via.Dev != "eth0" || !l.Via.Gateway.IsValid() {
			t.Errorf("several next hops: %+v", l)
		}
		nstest.Sh(t, "ip route del default")
		if l := p.Route(context.Background(), to("1.1.1.1"), "", ""); l.Error != "ENETUNREACH" || l.Text != "" {
			t.Errorf("no route: %+v", l)
		}
		if l := p.Route(context.Background(), to("1.1.1.1"), "nosuch", ""); l.Error != "ENODEV" {
			t.Errorf("no device: %+v", l)
		}
	})
}

// A packet that is refused without a word: by which rule, or by which route of the
// tables that rules look into. Rules that do not match it are not named.
func TestRules(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		nstest.Sh(t, `
			echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
			ip link add in0 type veth peer name in1; ip link set in0 up; ip link set in1 up
			ip route add 10.0.0.0/24 dev in0; ip -6 route add fd00::/64 dev in0
			ip route add default via 192.0.2.2; ip -6 route add default via 2001:db8::2
			ip route add blackhole 10.9.0.0/16
			ip route add prohibit 10.8.0.0/16 table 77; ip route add throw 10.7.0.0/16 table 77; ip route add 10.6.0.0/16 via 192.0.2.2 table 77
			echo 1 >/proc/sys/net/ipv4/conf/in0/rp_filter`)
		p := open(t)
		for _, c := range []struct{ rules, packet, want string }{
			{"from 10.0.0.5 prohibit", "10.0.0.5 1.1.1.1 in0", "EACCES, rule 50: from 10.0.0.5 prohibit"},
			{"from 10.0.0.5 blackhole", "10.0.0.5 1.1.1.1 in0", "EINVAL, rule 50: from 10.0.0.5 blackhole"},
			{"from 10.0.0.5 unreachable", "10.0.0.5 1.1.1.1 in0", "ENETUNREACH, rule 50: from 10.0.0.5 unreachable"},
			{"from fd00::5 prohibit", "fd00::5 2001:db8:9::1 in0", "EACCES, rule 50: from fd00::5 prohibit"},
			{"from fd00::/64 to 2001:db8:9::/48 blackhole", "fd00::5 2001:db8:9::1 in0", "EINVAL, rule 50: from fd00::/64 to 2001:db8:9::/48 blackhole"},
			{"to 2001:db8:9::1 unreachable", "- 2001:db8:9::1 -", "ENETUNREACH, rule 50: from all to 2001:db8:9::1 unreachable"},
			{"not from 10.0.0.6 iif in0 ipproto tcp dport 80 sport 1-9 prohibit", "10.0.0.5 1.1.1.1 in0 tcp", "EACCES, rule 50: not from 10.0.0.6 iif in0 ipproto tcp sport 1-9 dport 80 prohibit"},
			{"iif in0 ipproto tcp dport 80 sport 40000-40001 prohibit", "10.0.0.5 1.1.1.1 in0 tcp", "EACCES, rule 50: from all iif in0 ipproto tcp sport 40000-40001 dport 80 prohibit"},
			{"iif lo uidrange 0-7 prohibit", "- 1.1.1.1 -", "EACCES, rule 50: from all iif lo uidrange 0-7 prohibit"},
			{"not fwmark 0x1/0xff prohibit", "- 1.1.1.1 -", "EACCES, rule 50: not from all fwmark 0x1/0xff prohibit"},
			{"fwmark 1 prohibit; tos 0x10 prohibit; iif in1 prohibit; from 10.0.0.6 prohibit; dport 81 prohibit; oif in0 prohibit; iif in0 blackhole", "10.0.0.5 1.1.1.1 in0", "EINVAL, rule 56: from all iif in0 blackhole"},
			{"goto 60; prohibit; prohibit; from all nop; prohibit; lookup 99; lookup 77; lookup 99; lookup 99; lookup 99; blackhole", "10.0.0.5 1.1.1.1 in0", "EINVAL, rule 60: from all blackhole"},
			{"lookup 77; prohibit", "10.0.0.5 10.7.0.1 in0", "EACCES, rule 51: from all prohibit"}, // throw goes on
			{"lookup main suppress_prefixlength 0; prohibit", "10.0.0.5 1.1.1.1 in0", "EACCES, rule 51: from all prohibit"},
			{"lookup 77; prohibit", "10.0.0.5 10.8.0.1 in0", "EACCES, route prohibit 10.8.0.0/16 table 77"},
			{"lookup 77; prohibit", "10.0.0.5 10.9.0.1 in0", "EACCES, rule 51: from all prohibit"}, // not main's blackhole
			{"lookup 77; prohibit", "10.0.1.5 10.6.0.1 in0", "EINVAL|EXDEV"},                       // rp_filter
			{"from 10.0.0.6 blackhole", "10.0.1.5 1.1.1.1 in0", "EINVAL|EXDEV"},
			{"", "10.0.0.5 10.9.0.1 in0", "EINVAL, route blackhole 10.9.0.0/16"},
		} {
			f := strings.Fields(c.packet)
			q := to(f[1])
			q.Src, _ = netip.ParseAddr(f[0])
			if len(f) > 3 {
				q.Proto, q.SrcPort, q.DstPort = f[3], 40000, 80
			}
			six := map[bool]string{true: "-6 "}[q.Dst.Is6()]
			var script strings.Builder
			pref := 50
			for r := range strings.SplitSeq(c.rules, ";") {
				if r != "" {
					fmt.Fprintf(&script, "ip %srule add pref %d %s\n", six, pref, r)
					pref++
				}
			}
			nstest.Sh(t, script.String())
			l := p.Route(context.Background(), q, strings.TrimPrefix(f[2], "-"), "")
			got := l.Error
			if l.Rule != nil {
				got += fmt.Sprintf(", rule %d: %s", l.Rule.Priority, l.Rule.Text)
				if out := nstest.Sh(t, fmt.Sprintf("ip %srule del pref %d %s; echo deleted", six, l.Rule.Priority, l.Rule.Text)); out != "deleted" {
					t.Errorf("%s: ip says %s", l.Rule.Text, out)
				}
			}
			if l.Text != "" {
				got += ", route " + l.Text
			}
			if !slices.Contains(strings.Split(c.want, "|"), got) {
				t.Errorf("%s, packet %s: %s\nwant %s", c.rules, c.packet, got, c.want)
			}
			nstest.Sh(t, fmt.Sprintf("for i in $(seq 50 %d); do ip %srule del pref $i 2>/dev/null || true; done", pref, six))
		}
	})
}

// A neighbour that is not known is asked for, and the answer is waited for.
func TestNeighbour(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		p := open(t)
		for _, a := range []string{"192.0.2.2", "2001:db8::2"} {
			n := p.Neighbour(context.Background(), "eth0", netip.MustParseAddr(a))
			if !n.Known() || n.MAC != "02:00:00:00:00:02" || !n.Asked {
				t.Errorf("%+v", n)
			}
			if n = p.Neighbour(context.Background(), "eth0", n.Addr); !n.Known() || n.Asked {
				t.Errorf("a second time: %+v", n)
			}
		}
		if n := p.Neighbour(context.Background(), "eth0", netip.MustParseAddr("192.0.2.9")); n.Known() || !n.Asked || n.MAC != "" {
			t.Errorf("nobody: %+v", n)
		}
		nstest.Sh(t, "ip neigh replace 192.0.2.8 lladdr 02:00:00:00:00:08 dev eth0 nud permanent")
		if n := p.Neighbour(context.Background(), "eth0", netip.MustParseAddr("192.0.2.8")); n.State != "PERMANENT" || n.Asked {
			t.Errorf("permanent: %+v", n)
		}
		if n := p.Neighbour(context.Background(), "nosuch", netip.MustParseAddr("192.0.2.8")); n.State != "NONE" {
			t.Errorf("no device: %+v", n)
		}
	})
}

// Devices with what a trace says of them; tunnels with what they are made of.
func TestDevices(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		wire(t)
		nstest.Sh(t, `
			ip link add plumb-vxlan address 02:00:00:00:00:0a type vxlan id 4096 dstport 4789 local 192.0.2.1 nolearning
			ip link add v6 type vxlan id 7 dstport 4790 local 2001:db8::1
			bridge fdb append 02:00:00:00:00:0b dev plumb-vxlan dst 192.0.2.2 self permanent`)
		p := open(t)
		list, err := p.Devices(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		byName := map[string]facts.Device{}
		for _, d := range list {
			byName[d.Name] = d
		}
		eth0 := byName["eth0"]
		if !eth0.Up || !eth0.Carrier || eth0.MTU != 1500 || eth0.Kind != "veth" || eth0.MAC != "02:00:00:00:00:01" || !eth0.Has(netip.MustParseAddr("192.0.2.1")) || !eth0.Has(netip.MustParseAddr("2001:db8::1")) {
			t.Errorf("%+v", eth0)
		}
		if d := byName["plumb-vxlan"]; d.Up || d.Kind != "vxlan" || d.VNI != 4096 || d.Port != 4789 || d.Local != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("%+v", d)
		}
		if d := byName["v6"]; d.VNI != 7 || d.Port != 4790 || d.Local != netip.MustParseAddr("2001:db8::1") {
			t.Errorf("%+v", d)
		}
		if a, ok := p.Forwarding(context.Background(), "plumb-vxlan", "02:00:00:00:00:0b"); !ok || a != netip.MustParseAddr("192.0.2.2") {
			t.Error(a, ok)
		}
		if a, ok := p.Forwarding(context.Background(), "plumb-vxlan", "02:00:00:00:00:0c"); ok {
			t.Error(a)
		}
	})
}

// What is done within a namespace is of that namespace; the caller stays where it is.
func TestWithin(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := wire(t)
		if v := Sysctl("net/ipv4/ip_forward"); v != "0" && v != "1" {
			t.Errorf("ip_forward %q", v)
		}
		n.Sh("echo 3 >/proc/sys/net/ipv4/conf/eth0/log_martians")
		var mac, sysctl string
		err := Within(n.Path(), func() error {
			p, err := Open()
			if err != nil {
				return err
			}
			defer p.Close()
			list, err := p.Devices(context.Background())
			for _, d := range list {
				if d.Name == "eth0" {
					mac = d.MAC
				}
			}
			sysctl = Sysctl("net/ipv4/conf/eth0/log_martians")
			return err
		})
		if err != nil || mac != "02:00:00:00:00:02" || sysctl != "3" || Sysctl("net/ipv4/conf/eth0/log_martians") == "3" {
			t.Error(err, mac, sysctl)
		}
		if err := Within("/run/netns/nosuch", func() error { return nil }); !os.IsNotExist(err) && !strings.Contains(err.Error(), "no such file") {
			t.Error(err)
		}
		if Sysctl("net/ipv4/conf/nosuch/rp_filter") != "" {
			t.Error("a parameter of no device")
		}
	})
}

// Probes that are answered, refused, lost, and that cannot be sent.
func TestSend(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := wire(t)
		n.Sh("ip addr add 192.0.2.5/32 dev eth0; nft add table ip f; nft \"add chain ip f in { type filter hook input priority 0; }\"; nft add rule ip f in ip daddr 192.0.2.5 drop")
		nstest.Sh(t, "nft add table inet f; nft 'add chain inet f out { type filter hook output priority 0; }'; nft add rule inet f out ip daddr 192.0.2.6 drop; nft add rule inet f out ip6 daddr 2001:db8::6 drop")
		const blocked = "not sent: the sender's own netfilter drops it (operation not permitted)"
		const late = "no answer within 1s"
		for _, c := range []struct {
			p        facts.Packet
			answered bool
			text     string
		}{
			{to("192.0.2.2"), true, "echo reply after"},
			{to("2001:db8::2"), true, "echo reply after"},
			{facts.Packet{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), Proto: "icmp", Size: 1200}, true, "echo reply after"},
			{facts.Packet{Dst: netip.MustParseAddr("192.0.2.2"), Proto: "tcp", DstPort: 9}, true, "connection refused"},
			{facts.Packet{Dst: netip.MustParseAddr("192.0.2.2"), Proto: "udp", DstPort: 9}, false, "sent; of UDP no answer is expected"},
			{to("192.0.2.5"), false, late},
			{facts.Packet{Dst: netip.MustParseAddr("192.0.2.5"), Proto: "tcp", DstPort: 9}, false, late},
			{to("198.51.100.1"), false, "not sent, or refused on the way: network is unreachable"},
			{to("192.0.2.6"), false, blocked},
			{facts.Packet{Dst: netip.MustParseAddr("192.0.2.6"), Proto: "udp", DstPort: 9}, false, blocked},
			{to("2001:db8::6"), false, blocked},
		} {
			var s facts.Sent
			var err error
			// A device that has just come up may lose the first packets; an emulated one
			// does. And a busy machine may take longer than a second for any answer.
			for range 60 {
				s, err = Send(context.Background(), c.p)
				if unheard := c.answered && !s.Answered || s.Text == late && c.text != late; err != nil || !unheard {
					break
				}
			}
			if err != nil || s.Answered != c.answered || !strings.HasPrefix(s.Text, c.text) || s.Blocked != (c.text == blocked) {
				t.Errorf("%+v: %+v, %v", c.p, s, err)
			}
		}
	})
}
