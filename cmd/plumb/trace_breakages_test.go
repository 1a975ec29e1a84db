package main

import (
	"fmt"
	"time"
)

// unheard is how long a ping through a broken network is waited for.
const unheard = 200 * time.Millisecond

// broken is one thing that is wrong in a network that was right.
type broken struct {
	name   string
	at     string // the namespace where it is broken
	how    string // a script
	mend   string // puts it right again, by hand
	unmend string // takes it away, where nothing was right before
	// What is traced. Without from it is a1.
	from, to string
	args     string
	arrives  bool // the packet does all the same
	noPing   bool // a ping would not show it

	place, why string // of the diagnosis: the hop, and words that it says
	says       string // words of the mend, which make the network right again
	warns      string
}

var a1, b1 = end("a1"), end("b1")

// brokenRoutes are routes that are missing, wrong or in the way.
func brokenRoutes() []broken {
	return []broken{
		{
			name: "missing route", at: "n1", to: "b1",
			how: "ip route del 10.244.2.0/24", mend: "ip route replace 10.244.2.0/24 via 172.18.0.2 dev eth0 proto 112",
			place: "node n1", why: "plumb's route 10.244.2.0/24 via 172.18.0.2 dev eth0 proto plumb (plumb.yaml:15) is missing in the kernel",
			says: "ip route replace 10.244.2.0/24 via 172.18.0.2 dev eth0 proto 112",
		},
		{
			name: "missing IPv6 route", at: "n1", to: "b1", args: "-6",
			how: "ip -6 route del fd00:10:244:2::/64", mend: "ip -6 route replace fd00:10:244:2::/64 via fd00:172:18::2 dev eth0 proto 112",
			place: "node n1", why: "plumb's route fd00:10:244:2::/64 via fd00:172:18::2 dev eth0 proto plumb (plumb.yaml:15) is missing in the kernel",
		},
		{
			name: "missing route to the pod", at: "n2", to: "b1",
			how: "ip route del 10.244.2.10", mend: "ip route replace 10.244.2.10 dev " + b1 + " scope link proto 112",
			place: "node n2", why: "plumb's route 10.244.2.10/32 dev " + b1 + " scope link proto plumb (endpoint default/b1) is missing in the kernel",
		},
		{
			name: "missing way back", at: "n2", to: "b1",
			how: "ip route del 10.244.1.0/24", mend: "ip route replace 10.244.1.0/24 via 172.18.0.1 dev eth0 proto 112",
			place: "node n2", why: "plumb's route 10.244.1.0/24 via 172.18.0.1 dev eth0 proto plumb (plumb.yaml:12) is missing in the kernel",
		},
		{
			name: "blackhole", to: "10.244.2.77",
			place: "node n2", why: "nobody has 10.244.2.77: the packet ends in the blackhole of the node's podCIDR 10.244.2.0/24", says: "`plumb status` on n2",
		},
		{
			name: "IPv6 blackhole", to: "fd00:10:244:2::77",
			place: "node n2", why: "nobody has fd00:10:244:2::77: the packet ends in the blackhole of the node's podCIDR fd00:10:244:2::/64",
		},
		{
			name: "rp_filter", at: "n2", to: "b1",
			how:   "echo 1 >/proc/sys/net/ipv4/conf/eth0/rp_filter; ip link add odd type dummy 2>/dev/null || ip link add odd type veth peer name odd1; ip link set odd up; ip route add 10.244.1.10 dev odd",
			mend:  "echo 0 >/proc/sys/net/ipv4/conf/eth0/rp_filter; ip link del odd",
			place: "node n2", why: "rp_filter of eth0 drops packets from 10.244.1.10: the route back is 10.244.1.10 dev odd scope link", says: "sysctl -w net.ipv4.conf.eth0.rp_filter=2",
		},
		{
			name: "wrong next hop, another node", at: "n1", to: "b1", arrives: true,
			how: "ip route replace 10.244.2.0/24 via 172.18.0.3 proto 112", mend: "ip route replace 10.244.2.0/24 via 172.18.0.2 proto 112",
			warns: "the kernel has 10.244.2.0/24 via 172.18.0.3 dev eth0 proto plumb in place of plumb's route 10.244.2.0/24 via 172.18.0.2 dev eth0 proto plumb (plumb.yaml:15)",
		},
		{
			name: "wrong next hop, in a circle", at: "n1", to: "b1",
			how:   "ip route replace 10.244.2.0/24 via 172.18.0.3 proto 112; nsenter --net=/run/netns/n3 ip route replace 10.244.2.0/24 via 172.18.0.1 proto 112",
			mend:  "ip route replace 10.244.2.0/24 via 172.18.0.2 proto 112; nsenter --net=/run/netns/n3 ip route replace 10.244.2.0/24 via 172.18.0.2 proto 112",
			place: "node n1", why: "in place of plumb's", warns: "goes round in a circle",
		},
		{
			name: "foreign route in the way", at: "n1", to: "b1",
			how:   "ip route del 10.244.2.0/24; ip route add 10.244.2.0/24 via 172.18.0.254 proto static",
			mend:  "ip route del 10.244.2.0/24 proto 4; ip route add 10.244.2.0/24 via 172.18.0.2 proto 112",
			place: "node n1", why: "another's route, 10.244.2.0/24 via 172.18.0.254 dev eth0 proto static, is in the way of plumb's route 10.244.2.0/24", says: "ip route del 10.244.2.0/24 proto 4",
		},
		{
			name: "longer foreign route", at: "n1", to: "b1",
			how: "ip route add blackhole 10.244.2.10 proto static", mend: "ip route del blackhole 10.244.2.10 proto 4",
			place: "node n1", why: "another's route, blackhole 10.244.2.10 proto static, is in the way", says: "ip route del blackhole 10.244.2.10/32 proto 4",
		},
		{
			name: "node's address gone", at: "n2", to: "b1",
			how: "ip addr del 172.18.0.2/24 dev eth0", mend: "ip addr add 172.18.0.2/24 dev eth0; ip route replace default via 172.18.0.254; for n in 1 3; do ip route replace 10.244.$n.0/24 via 172.18.0.$n proto 112; done",
			place: "node n2", why: "no device of n2 has the address 172.18.0.2",
		},
		{
			name: "rule that prohibits", at: "n1", to: "b1",
			how: "ip rule add from 10.244.1.10 prohibit pref 77", mend: "ip rule del pref 77 from 10.244.1.10 prohibit",
			place: "node n1", why: "ip rule 77 refuses the packet: from 10.244.1.10 prohibit", says: "ip rule del pref 77 from 10.244.1.10 prohibit",
		},
		{
			name: "IPv6 rule that prohibits", at: "n1", to: "b1", args: "-6",
			how: "ip -6 rule add from fd00:10:244:1::a prohibit pref 77", mend: "ip -6 rule del pref 77 from fd00:10:244:1::a prohibit",
			place: "node n1", why: "ip rule 77 refuses the packet: from fd00:10:244:1::a prohibit", says: "ip -6 rule del pref 77 from fd00:10:244:1::a prohibit",
		},
		{
			name: "rule that is a blackhole", at: "n2", to: "b1",
			how: "ip rule add to 10.244.2.0/24 iif eth0 ipproto icmp blackhole pref 77", mend: "ip rule del pref 77 from all to 10.244.2.0/24 iif eth0 ipproto icmp blackhole",
			place: "node n2", why: "ip rule 77 refuses the packet: from all to 10.244.2.0/24 iif eth0 ipproto icmp blackhole", says: "ip rule del pref 77 from all to 10.244.2.0/24 iif eth0 ipproto icmp blackhole",
		},
		{
			name: "rule that makes unreachable", at: "n1", to: "b1",
			how: "ip rule add to 10.244.2.10 unreachable pref 77", mend: "ip rule del pref 77 from all to 10.244.2.10 unreachable",
			place: "node n1", why: "ip rule 77 refuses the packet: from all to 10.244.2.10 unreachable", says: "ip rule del pref 77 from all to 10.244.2.10 unreachable",
		},
		{
			name: "rule against the way back", at: "n1", to: "b1",
			how: "ip rule add to 10.244.1.10 prohibit pref 77", mend: "ip rule del pref 77 from all to 10.244.1.10 prohibit",
			place: "node n1", why: "is not routed back to " + a1 + ": ip rule 77 refuses the way back: from all to 10.244.1.10 prohibit", says: "ip rule del pref 77 from all to 10.244.1.10 prohibit",
		},
		{
			name: "rule in the pod", at: "a1", to: "b1",
			how: "ip rule add to 10.244.2.10 blackhole pref 77", mend: "ip rule del pref 77 from all to 10.244.2.10 blackhole",
			place: "pod default/a1", why: "ip rule 77 refuses the packet: from all to 10.244.2.10 blackhole", says: "nsenter --net=/run/netns/a1 ip rule del pref 77",
		},
		{
			name: "no default route", at: "n1", to: "203.0.113.10",
			how: "ip route del default", mend: "ip route add default via 172.18.0.254",
			place: "node n1", why: "node n1 has no route to 203.0.113.10", says: "default route",
		},
	}
}

// brokenDevices are pods, devices and wires.
func brokenDevices() []broken {
	return []broken{
		{
			name: "proxy ARP off and no permanent neighbour", at: "n1", to: "b1",
			how:   "echo 0 >/proc/sys/net/ipv4/conf/" + a1 + "/proxy_arp; nsenter --net=/run/netns/a1 ip neigh del 169.254.1.1 dev eth0",
			mend:  "echo 1 >/proc/sys/net/ipv4/conf/" + a1 + "/proxy_arp; nsenter --net=/run/netns/a1 ip neigh replace 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee nud permanent dev eth0",
			place: "pod default/a1", why: "its permanent neighbour entry is gone, and proxy_arp is off on " + a1, says: "sysctl -w net.ipv4.conf." + a1 + ".proxy_arp=1",
		},
		{
			name: "MTU too small on the path", at: "n2", to: "b1", noPing: true,
			how: "ip link set eth0 mtu 1400", mend: "ip link set eth0 mtu 1500",
			place: "node n2", why: "packets of more than 1400 bytes vanish: eth0 of node n1 has mtu 1500, and sends to eth0 with mtu 1400", says: "ip link set eth0 mtu 1500",
		},
		{
			name: "MTU too small on the way out of the node", at: "n1", to: "b1", args: "--size 1480", noPing: true,
			how: "ip link set eth0 mtu 1400", mend: "ip link set eth0 mtu 1500",
			place: "node n1", why: "the packet of 1480 bytes is larger than the mtu 1400 of eth0", says: "ip link set eth0 mtu 1480",
		},
		{
			name: "a packet that the pod cannot send", to: "b1", args: "--size 1600", noPing: true,
			place: "pod default/a1", why: "the packet of 1600 bytes is larger than the mtu 1500 of eth0 in the pod", says: "send less than that",
		},
		{
			name: "MTU of the next link smaller", at: "n1", to: "203.0.113.10", arrives: true, noPing: true,
			how: "ip link set eth0 mtu 1400", mend: "ip link set eth0 mtu 1500",
			warns: "packets of more than 1400 bytes are answered 'fragmentation needed' (eth0); the sender has mtu 1500",
		},
		{
			name: "uplink down", at: "n1", to: "b1",
			how: "ip link set eth0 down", mend: upAgain(1, 2, 3),
			place: "node n1", why: "uplink eth0 is down", says: "ip link set eth0 up",
		},
		{
			name: "uplink of the other node down", at: "n2", to: "b1",
			how: "ip link set eth0 down", mend: upAgain(2, 1, 3),
			place: "node n2", why: "device eth0 is down", says: "ip link set eth0 up",
		},
		{
			name: "neighbour FAILED", at: "n1", to: "b1",
			how:   "nsenter --net=/run/netns/n2 ip link set eth0 arp off; ip neigh flush dev eth0; ip neigh replace 172.18.0.2 dev eth0 nud failed",
			mend:  "nsenter --net=/run/netns/n2 ip link set eth0 arp on; ip neigh flush dev eth0",
			place: "node n2", why: "172.18.0.2 is not answered for on eth0 of node n1", says: "flush dev eth0",
		},
		{
			name: "another MAC address", at: "n1", to: "b1",
			how: "ip neigh replace 172.18.0.2 lladdr 02:00:00:00:00:99 nud permanent dev eth0", mend: "ip neigh del 172.18.0.2 dev eth0",
			place: "node n2", why: "node n1 sends to 02:00:00:00:00:99, and eth0 has ", says: "ip neigh del 172.18.0.2 dev eth0",
		},
		{
			name: "another MAC address for the pod", at: "n2", to: "b1",
			how: "ip neigh replace 10.244.2.10 lladdr 02:00:00:00:00:99 nud permanent dev " + b1, mend: "ip neigh del 10.244.2.10 dev " + b1,
			place: "pod default/b1", why: "node n2 sends to 02:00:00:00:00:99, and eth0 has ", says: "ip neigh del 10.244.2.10 dev " + b1,
		},
		{
			name: "another MAC address for the IPv6 pod", at: "n2", to: "b1", args: "-6",
			how: "ip neigh replace fd00:10:244:2::a lladdr 02:00:00:00:00:99 nud permanent dev " + b1, mend: "ip neigh del fd00:10:244:2::a dev " + b1,
			place: "pod default/b1", why: "node n2 sends to 02:00:00:00:00:99, and eth0 has ", says: "ip neigh del fd00:10:244:2::a dev " + b1,
		},
		{
			name: "MTU smaller in the pod", at: "b1", to: "b1", args: "--size 1400", noPing: true,
			how: "ip link set eth0 mtu 1300", mend: "ip link set eth0 mtu 1500",
			place: "pod default/b1", why: "packets of more than 1300 bytes vanish: " + b1 + " of node n2 has mtu 1500, and sends to eth0 with mtu 1300", says: "nsenter --net=/run/netns/b1 ip link set eth0 mtu 1500",
		},
		{
			name: "MTU smaller in the pod, and a packet that fits", at: "b1", to: "b1", args: "--size 1200", arrives: true, noPing: true,
			how: "ip link set eth0 mtu 1300", mend: "ip link set eth0 mtu 1500",
			warns: "packets of more than 1300 bytes vanish",
		},
		{
			name: "host end down", at: "n1", to: "b1",
			how:   "ip link set " + a1 + " down",
			mend:  "ip link set " + a1 + " up; ip route replace 10.244.1.10 dev " + a1 + " scope link proto 112; ip -6 route replace fd00:10:244:1::a dev " + a1 + " proto 112",
			place: "pod default/a1", why: "the pod's host end " + a1 + " is down", says: "ip link set " + a1 + " up",
		},
		{
			name: "pod without a default route", at: "a1", to: "b1",
			how: "ip route del default", mend: "ip route add default via 169.254.1.1 dev eth0 onlink",
			place: "pod default/a1", why: "the pod has no route to 10.244.2.10", says: "ip route add default via 169.254.1.1 dev eth0 onlink",
		},
		{
			name: "pod's address gone", at: "b1", to: "b1",
			how: "ip addr del 10.244.2.10/32 dev eth0; ip addr add 192.0.2.9/32 dev eth0", mend: "ip addr del 192.0.2.9/32 dev eth0; ip addr add 10.244.2.10/32 dev eth0; ip route replace 169.254.1.1 dev eth0; ip route replace default via 169.254.1.1 dev eth0",
			place: "pod default/b1", why: "the pod does not have the address 10.244.2.10",
		},
		{
			name: "no permanent neighbour and no default route for proxy ARP", at: "n1", to: "b1",
			how:   "ip route del default; nsenter --net=/run/netns/a1 ip neigh del 169.254.1.1 dev eth0",
			mend:  "ip route add default via 172.18.0.254; nsenter --net=/run/netns/a1 ip neigh replace 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee nud permanent dev eth0",
			place: "pod default/a1", why: "proxy ARP answers only where the node has a route to that by another device", says: "ip neigh replace 169.254.1.1",
		},
		{
			name: "endpoint pending", at: "n2", to: "10.244.2.99",
			how: pendingRecord, mend: "", unmend: "rm $DIR/n2.state/endpoints/b9*",
			place: "node n2", why: "endpoint default/b9, which has 10.244.2.99, is pending: interface plb00000000000 does not exist",
		},
		{
			name: "sender pending", at: "n2", from: "b9", to: "a1", noPing: true,
			how: pendingRecord, unmend: "rm $DIR/n2.state/endpoints/b9*",
			place: "pod default/b9", why: "endpoint default/b9 is pending: interface plb00000000000 does not exist",
		},
	}
}

// brokenRules are addresses, parameters and nftables.
func brokenRules() []broken {
	return []broken{
		{
			name: "spoofed source", to: "b1", args: "--source 10.244.1.99", noPing: true,
			place: "node n1", why: "nftables chain inet plumb prerouting drops it: source 10.244.1.99 is not routed back to " + a1, says: "has to send from one of its own addresses",
		},
		{
			name: "another pod's source", to: "b1", args: "--source 10.244.1.11", noPing: true,
			place: "node n1", why: "source 10.244.1.11 is not routed back to " + a1 + ": the route back to it is 10.244.1.11 dev " + end("a2"),
		},
		{
			name: "forwarding off", at: "n1", to: "b1",
			how: "echo 0 >/proc/sys/net/ipv4/conf/" + a1 + "/forwarding", mend: "echo 1 >/proc/sys/net/ipv4/conf/" + a1 + "/forwarding",
			place: "node n1", why: "forwarding is off (net.ipv4.conf." + a1 + ".forwarding = 0)", says: "sysctl -w net.ipv4.conf." + a1 + ".forwarding=1",
		},
		{
			name: "forwarding off on the uplink", at: "n2", to: "b1",
			how: "echo 0 >/proc/sys/net/ipv4/conf/eth0/forwarding", mend: "echo 1 >/proc/sys/net/ipv4/conf/eth0/forwarding",
			place: "node n2", why: "forwarding is off (net.ipv4.conf.eth0.forwarding = 0)", says: "sysctl -w net.ipv4.conf.eth0.forwarding=1 (plumb sets no parameters of eth0",
		},
		{
			name: "forwarding off on the other node", at: "n2", to: "b1",
			how: "echo 0 >/proc/sys/net/ipv4/ip_forward", mend: "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv4/conf/" + b1 + "/rp_filter",
			place: "node n2", why: "forwarding is off (net.ipv4.ip_forward = 0)", says: "sysctl -w net.ipv4.ip_forward=1",
		},
		{
			name: "IPv6 forwarding off", at: "n2", to: "b1", args: "-6",
			how: "echo 0 >/proc/sys/net/ipv6/conf/all/forwarding", mend: "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding",
			place: "node n2", why: "forwarding is off (net.ipv6.conf.all.forwarding = 0)",
		},
		{
			name: "masquerade missing", at: "n1", to: "203.0.113.10",
			how: "nft delete element inet plumb masq4 { 10.244.0.0/16 }", mend: "nft add element inet plumb masq4 { 10.244.0.0/16 }",
			place: "node n1", why: "the packet leaves with its pod's address 10.244.1.10, which nobody outside answers: 10.244.1.10 is not in @masq4", says: "plumb apply",
		},
		{
			name: "foreign nft rule that drops", at: "n2", to: "b1", args: "--live",
			how:   "nft add table ip filter; nft 'add chain ip filter FORWARD { type filter hook forward priority 0; }'; nft add rule ip filter FORWARD ip daddr 10.244.2.10 counter drop",
			mend:  "nft delete rule ip filter FORWARD handle 2; nft delete table ip filter",
			place: "node n2", why: "nftables chain ip filter FORWARD drops the probe: ip daddr 10.244.2.10 counter drop", says: "nft delete rule ip filter FORWARD handle 2",
		},
		{
			name: "foreign nft policy that drops", at: "n1", to: "b1", args: "--live -6",
			how:   "nft add table inet fw; nft 'add chain inet fw forward { type filter hook forward priority 0; policy drop; }'",
			mend:  "nft add rule inet fw forward ip6 daddr fd00:10:244:2::a accept; nft delete table inet fw",
			place: "node n1", why: "nftables chain inet fw forward drops the probe: its policy is drop", says: "nft add rule inet fw forward ip6 daddr fd00:10:244:2::a accept",
		},
		{
			name: "foreign nft rule that drops what the node sends", at: "n1", from: "n1", to: "b1", args: "--live",
			how:   "nft add table inet fw; nft 'add chain inet fw output { type filter hook output priority 0; }'; nft add rule inet fw output ip daddr 10.244.2.10 drop",
			mend:  "nft delete table inet fw",
			place: "node n1", why: "nftables chain inet fw output drops the probe: ip daddr 10.244.2.10 drop", says: "nft delete rule inet fw output handle 2",
		},
		{
			name: "nft rule in the pod", at: "a1", to: "b1", args: "--live",
			how:   "nft add table inet fw; nft 'add chain inet fw output { type filter hook output priority 0; }'; nft add rule inet fw output ip daddr 10.244.2.10 drop",
			mend:  "nft delete table inet fw",
			place: "pod default/a1", why: "the sender's own netfilter drops the probe", says: "nsenter --net=/run/netns/a1 nft -a list ruleset",
		},
		{
			name: "nft rule in the pod, of which TCP is told nothing", at: "a1", to: "b1", args: "--live --proto tcp --port 80",
			how:   "nft add table inet fw; nft 'add chain inet fw output { type filter hook output priority 0; }'; nft add rule inet fw output ip daddr 10.244.2.10 drop",
			mend:  "nft delete table inet fw",
			place: "pod default/a1", why: "no answer within 1s; its node saw nothing of it, so it does not leave the pod", says: "nsenter --net=/run/netns/a1 nft -a list ruleset",
		},
		{
			name: "foreign nft rule that drops the answer", at: "n1", to: "b1", args: "--live --proto tcp --port 80",
			how:   "nft add table inet fw; nft 'add chain inet fw forward { type filter hook forward priority 0; }'; nft add rule inet fw forward ip saddr 10.244.2.10 drop",
			mend:  "nft delete table inet fw",
			place: "node n1", why: "nftables chain inet fw forward drops the probe: ip saddr 10.244.2.10 drop",
		},
	}
}

// pendingRecord is an endpoint whose interface is not there.
const pendingRecord = `cd $DIR/n2.state/endpoints
	sed "s/b1/b9/; s/b1.eth0/b9\/eth0/; s/10.244.2.10/10.244.2.99/; s/2::a/2::99/; s/plb[0-9a-f]*/plb00000000000/" b1%2Feth0.json >.b9; mv .b9 b9%2Feth0.json`

// upAgain: routes and IPv6 addresses go with their device.
func upAgain(self, one, other int) string {
	return fmt.Sprintf(`ip link set eth0 up; ip addr add fd00:172:18::%d/64 dev eth0 nodad
	ip route replace default via 172.18.0.254; ip -6 route replace default via fd00:172:18::fe
	for n in %d %d; do ip route replace 10.244.$n.0/24 via 172.18.0.$n proto 112; ip -6 route replace fd00:10:244:$n::/64 via fd00:172:18::$n proto 112; done`, self, one, other)
}
