package conntrack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/kernel/rtnl"
)

// cluster is a node with two pods and a neighbour beyond it.
type cluster struct{ pod, other, world nstest.Namespace }

// newCluster wires it: pods 10.244.1.5 and .6, fd00:10:244:1::5 and ::6; the world
// 192.0.2.1, which also asks for the service 203.0.113.1 that the node leads to
// the first pod. What leaves for the world is masqueraded.
func newCluster(t *testing.T) cluster {
	t.Helper()
	c := cluster{nstest.NewNamespace(t), nstest.NewNamespace(t), nstest.NewNamespace(t)}
	nstest.Sh(t, "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
	for i, n := range []nstest.Namespace{c.pod, c.other} {
		nstest.Sh(t, fmt.Sprintf(`
			ip link add pod%[1]d type veth peer name eth0 netns %[2]d
			ip link set pod%[1]d address ee:ee:ee:ee:ee:ee up; echo 1 >/proc/sys/net/ipv4/conf/pod%[1]d/proxy_arp
			ip route add 10.244.1.%[1]d dev pod%[1]d; ip route add fd00:10:244:1::%[1]d dev pod%[1]d`, i+5, n.PID))
		n.Sh(fmt.Sprintf(`
			ip link set eth0 up; ip addr add 10.244.1.%[1]d/32 dev eth0; ip addr add fd00:10:244:1::%[1]d/128 dev eth0 nodad
			ip route add 169.254.1.1 dev eth0; ip route add default via 169.254.1.1
			ip neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent
			ip -6 route add default via fe80::ecee:eeff:feee:eeee dev eth0
			ip neigh add fe80::ecee:eeff:feee:eeee lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent`, i+5))
	}
	nstest.Sh(t, fmt.Sprintf(`
		ip link add up0 type veth peer name eth0 netns %d; ip link set up0 up
		ip addr add 192.0.2.2/24 dev up0; ip addr add 192.0.2.3/24 dev up0; ip addr add 2001:db8::2/64 dev up0 nodad
		nft -f - <<'.'
		table inet t {
			chain zones { type filter hook prerouting priority raw; }
			chain pre { type nat hook prerouting priority dstnat; ip daddr 203.0.113.1 dnat to 10.244.1.5; }
			chain post { type nat hook postrouting priority srcnat
				oifname up0 ip saddr 10.244.0.0/16 snat to 192.0.2.2
				oifname up0 ip6 saddr fd00:10:244::/48 masquerade
			}
		}
.`, c.world.PID))
	c.world.Sh(`ip link set eth0 up
		ip addr add 192.0.2.1/24 dev eth0; ip addr add 2001:db8::1/64 dev eth0 nodad; ip route add default via 192.0.2.2`)
	listen(t, c.pod, "10.244.1.5:53")
	listen(t, c.world, "192.0.2.1:53")
	listen(t, c.world, "[2001:db8::1]:53")
	return c
}

// listen answers over UDP and TCP, until the test ends, with the address that the
// asker is seen to have.
func listen(t *testing.T, n nstest.Namespace, at string) {
	t.Helper()
	n.Do(func() {
		udp, err := net.ListenPacket("udp", at)
		if err != nil {
			t.Error(err)
			return
		}
		tcp, err := net.Listen("tcp", at)
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { udp.Close(); tcp.Close() })
		go func() {
			for b := make([]byte, 9); ; {
				_, from, err := udp.ReadFrom(b)
				if err != nil {
					return
				}
				_, _ = udp.WriteTo([]byte(from.String()), from)
			}
		}()
		go func() {
			for {
				conn, err := tcp.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Write([]byte(conn.RemoteAddr().String()))
				t.Cleanup(func() { conn.Close() })
			}
		}()
	})
}

// ask sends a packet, and gives as whom the other side saw the asker.
func ask(t *testing.T, n nstest.Namespace, network, to string, port int) (seen string) {
	t.Helper()
	n.Do(func() {
		d := net.Dialer{Timeout: 20 * time.Second}
		d.LocalAddr = &net.UDPAddr{Port: port}
		if network == "tcp" {
			d.LocalAddr = &net.TCPAddr{Port: port}
		}
		conn, err := d.Dial(network, to)
		if err != nil {
			t.Errorf("%s to %s: %v", network, to, err)
			return
		}
		if network == "tcp" {
			t.Cleanup(func() { conn.Close() }) // an open connection
		} else {
			defer conn.Close()
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		b := make([]byte, 100)
		_, err = conn.Write([]byte("who?"))
		k, err2 := conn.Read(b)
		if err := errors.Join(err, err2); err != nil {
			t.Errorf("%s to %s: %v", network, to, err)
		}
		seen = string(b[:k])
	})
	return seen
}

// flows gives what conntrack(8) lists, and of it the lines that have text in them.
func flows(t testing.TB, text string) (with, all []string) {
	t.Helper()
	for line := range strings.Lines(nstest.Sh(t, "conntrack -L 2>/dev/null")) {
		all = append(all, line)
		if strings.Contains(line, "="+text+" ") {
			with = append(with, line)
		}
	}
	return with, all
}

func addrs(addresses ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range addresses {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func TestFlowsOfAPodAreDeletedAndNoOthers(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		c := newCluster(t)
		for i, n := range []nstest.Namespace{c.pod, c.other} {
			n.Sh("ping -n -c1 -W20 192.0.2.1; ping -n -c1 -W20 2001:db8::1")
			ask(t, n, "udp", "192.0.2.1:53", 4000+i)
			ask(t, n, "tcp", "192.0.2.1:53", 4000+i)
			ask(t, n, "udp", "[2001:db8::1]:53", 4060+i)
			ask(t, n, "tcp", "[2001:db8::1]:53", 4060+i)
		}
		ask(t, c.world, "udp", "203.0.113.1:53", 5000) // a service: the pod is in the replies alone
		ask(t, c.world, "tcp", "203.0.113.1:53", 5000)
		ask(t, c.other, "udp", "10.244.1.5:53", 6000) // without translation
		nstest.Sh(t, "ping -n -c1 -W20 10.244.1.5")

		v4, _ := flows(t, "10.244.1.5")
		v6, all := flows(t, "fd00:10:244:1::5")
		// ICMP, UDP and TCP to the world; two from it; one from the other pod; one from the node
		if len(v4) != 7 || len(v6) != 3 {
			t.Fatalf("%d and %d flows to begin with:\n%s", len(v4), len(v6), strings.Join(all, ""))
		}
		deleted, err := Delete(t.Context(), addrs("::ffff:10.244.1.5", "fd00:10:244:1::5%eth0")...)
		if deleted != 10 || err != nil {
			t.Errorf("deleted %d, %v", deleted, err)
		}
		v4, _ = flows(t, "10.244.1.5")
		v6, left := flows(t, "fd00:10:244:1::5")
		if len(v4)+len(v6) != 0 || len(left) != len(all)-10 {
			t.Errorf("then there are:\n%s", strings.Join(left, ""))
		}
		if with, _ := flows(t, "10.244.1.6"); len(with) != 3 {
			t.Errorf("the other pod has %d flows", len(with))
		}
		// The family that is not asked for is not gone through.
		if deleted, err = Delete(t.Context(), addrs("10.244.1.6")...); deleted != 3 || err != nil {
			t.Errorf("the other pod's: deleted %d, %v", deleted, err)
		}
		if deleted, err = Delete(t.Context(), addrs("fd00:10:244:1::6")...); deleted != 3 || err != nil {
			t.Errorf("the other pod's of IPv6: deleted %d, %v", deleted, err)
		}
		if deleted, err = Delete(t.Context(), addrs("10.244.1.5", "10.244.1.6", "fd00::")...); deleted != 0 || err != nil {
			t.Errorf("none is left: deleted %d, %v", deleted, err)
		}
	})
}

// The rules of translation change while a flow goes on: it keeps the old one, and
// so would the next pod's that has its addresses and ports.
func TestTheNextPodDoesNotInherit(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		c := newCluster(t)
		if seen := ask(t, c.pod, "udp", "192.0.2.1:53", 4000); seen != "192.0.2.2:4000" {
			t.Fatal("seen as", seen)
		}
		nstest.Sh(t, "nft insert rule inet t post oifname up0 ip saddr 10.244.0.0/16 snat to 192.0.2.3")
		if seen := ask(t, c.pod, "udp", "192.0.2.1:53", 4000); seen != "192.0.2.2:4000" {
			t.Fatal("the flow that goes on is seen as", seen)
		}
		if deleted, err := Delete(t.Context(), netip.MustParseAddr("10.244.1.5")); deleted != 1 || err != nil {
			t.Fatal(deleted, err)
		}
		if seen := ask(t, c.pod, "udp", "192.0.2.1:53", 4000); seen != "192.0.2.3:4000" {
			t.Error("the next one is seen as", seen)
		}
	})
}

func TestFlowsInOtherZones(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		c := newCluster(t)
		ask(t, c.pod, "udp", "192.0.2.1:53", 4000)
		nstest.Sh(t, "nft add rule inet t zones udp sport { 4001, 4011 } ct zone set 7; nft add rule inet t zones udp dport { 4001, 4011 } ct zone set 7")
		ask(t, c.pod, "udp", "192.0.2.1:53", 4001)
		ask(t, c.other, "udp", "192.0.2.1:53", 4011)
		nstest.Sh(t, "nft add rule inet t zones udp sport 4002 ct original zone set 8")
		ask(t, c.pod, "udp", "192.0.2.1:53", 4002)
		nstest.Sh(t, "conntrack -I -t 600 -u SEEN_REPLY --reply-zone 9 -p udp -s 10.244.1.5 -d 192.0.2.1 --sport 4003 --dport 53")

		before, all := flows(t, "10.244.1.5")
		text := strings.Join(before, "")
		for _, zone := range []string{"zone=7", "zone-orig=8", "zone-reply=9"} {
			if !strings.Contains(text, zone) {
				t.Errorf("no flow with %s:\n%s", zone, strings.Join(all, ""))
			}
		}
		deleted, err := Delete(t.Context(), netip.MustParseAddr("10.244.1.5"))
		if deleted != 4 || len(before) != 4 || err != nil {
			t.Errorf("deleted %d of %d, %v", deleted, len(before), err)
		}
		left, all := flows(t, "10.244.1.5")
		if len(left) != 0 {
			t.Errorf("left:\n%s", strings.Join(left, ""))
		}
		if other, _ := flows(t, "10.244.1.6"); len(other) != 1 || !strings.Contains(other[0], "zone=7") {
			t.Errorf("the other pod's flow in the zone:\n%s", strings.Join(all, ""))
		}
	})
}

func TestNothingToDelete(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		for _, addresses := range [][]netip.Addr{nil, {{}}, addrs("10.244.1.5", "fd00::5")} {
			if deleted, err := Delete(t.Context(), addresses...); deleted != 0 || err != nil {
				t.Errorf("%v: %d, %v", addresses, deleted, err)
			}
		}
		fill(t, "10.244.1.5", 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if deleted, err := Delete(ctx, netip.MustParseAddr("10.244.1.5")); deleted != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %d, %v", deleted, err)
		}
	})
}

func TestMoreFlowsThanOneBatchHolds(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		fill(t, "10.244.0.0", 30_000)
		fill(t, "192.0.2.1", 1) // whom all of them go to
		deleted, err := Delete(t.Context(), netip.MustParseAddr("192.0.2.1"))
		if deleted != 30_001 || err != nil {
			t.Errorf("deleted %d, %v", deleted, err)
		}
		if left := nstest.Sh(t, "conntrack -C"); left != "0" {
			t.Errorf("%s are left", left)
		}
	})
}

// A flow that went by itself meanwhile is no error; one that came in its place
// with the same addresses and ports is another.
func TestGoneMeanwhile(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		s := open(t)
		fill(t, "10.244.1.5", 2)
		wanted, family := targets(addrs("10.244.1.5", "10.244.1.6"))
		found, err := find(t.Context(), s, family, wanted)
		if len(found) != 2 || err != nil {
			t.Fatal(found, err)
		}
		nstest.Sh(t, "conntrack -D -s 10.244.1.5 2>&1")
		fill(t, "10.99.0.0", 100) // in the old one's memory, which its ID depends on
		fill(t, "10.244.1.5", 1)
		deleted, err := remove(s, found)
		if deleted != 1 || err != nil {
			t.Errorf("deleted %d, %v", deleted, err)
		}
		if with, _ := flows(t, "10.244.1.5"); len(with) != 1 {
			t.Error("the new flow was taken for the old one")
		}
	})
}

func TestAKernelWithoutCtnetlink(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EPROTONOSUPPORT, unix.EINVAL} {
		if err := supported(&rtnl.Error{Errno: errno}); !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, errno) {
			t.Errorf("%v becomes %v", errno, err)
		}
	}
	if err := supported(unix.EPERM); errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}
