package main

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/trace/facts"
)

// Ways that are in order, of both families, each walked by a real packet too.
func TestTraceOfHealthyWays(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		d := newTraced(t, tracedState)
		d.watch("n1", "n2", "n3")
		for _, c := range []struct {
			from, to string
			six      bool
			hops     string // places
			last     string
			unheard  bool     // no answer comes from there
			says     []string // lines, with single spaces
		}{
			{"a1", "a2", false, "pod a1, n1, pod a2", "delivered to default/a2; the answer comes back", false, []string{
				"route 10.244.1.11 dev " + end("a2") + " proto plumb scope link endpoint default/a2",
				"prerouting passes: 10.244.1.10 is routed back to " + end("a1"),
			}},
			{"a1", "b1", false, "pod a1, n1, n2, pod b1", "delivered to default/b1; the answer comes back", false, []string{
				"route 10.244.2.0/24 via 172.18.0.2 dev eth0 proto plumb plumb.yaml:15",
				"postrouting no masquerade: 10.244.2.10 is in @pools4 (10.244.0.0/16) plumb.yaml:3",
				"neighbour 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee PERMANENT",
			}},
			{"a1", "b1", true, "pod a1, n1, n2, pod b1", "delivered to default/b1; the answer comes back", false, []string{
				"route fd00:10:244:2::/64 via fd00:172:18::2 dev eth0 proto plumb metric 1024 plumb.yaml:15",
				"forward net.ipv6.conf.all.forwarding = 1",
			}},
			{"a1", "203.0.113.10", false, "pod a1, n1", "leaves the cluster by 172.18.0.254 on eth0 of n1, as 172.18.0.1 (translated from 10.244.1.10)", false, []string{
				"route default via 172.18.0.254 dev eth0",
				"postrouting masquerade as 172.18.0.1: 10.244.1.10 is in @masq4 (10.244.0.0/16), 203.0.113.10 is not in @pools4 or @exclude4 plumb.yaml:3",
			}},
			{"a1", "2001:db8::10", true, "pod a1, n1", "leaves the cluster by fd00:172:18::fe on eth0 of n1, as fd00:172:18::1 (translated from fd00:10:244:1::a)", false, nil},
			{"a1", "198.51.100.10", false, "pod a1, n1", "leaves the cluster by 172.18.0.254 on eth0 of n1 with its pod's address 10.244.1.10, which the outside has to know a route to (pool 10.244.0.0/16)", true, []string{
				"masquerade none: 198.51.100.0/24 is excluded (nat.exclude) plumb.yaml:8",
			}},
			{"n1", "b1", false, "n1, n2, pod b1", "delivered to default/b1; the answer comes back", false, nil},
			{"n1", "b1", true, "n1, n2, pod b1", "delivered to default/b1; the answer comes back", false, nil},
			{"n1", "a1", false, "n1, pod a1", "delivered to default/a1; the answer comes back", false, nil},
			{"n1", "n2", false, "n1, n2", "delivered to node n2; the answer comes back", false, nil},
			{"b1", "n1", true, "pod b1, n2, n1", "delivered to node n1, which sees it come from fd00:172:18::2 (translated from fd00:10:244:2::a)", false, nil},
			{"c1", "a1", false, "pod c1, n3, n1, pod a1", "delivered to default/a1; the answer comes back", false, nil},
		} {
			args := []string{c.from, c.to}
			if c.six {
				args = append(args, "-6")
			}
			r, text := d.trace(args...)
			var places []string
			for _, h := range r.Hops {
				places = append(places, strings.NewReplacer("node ", "", "default/", "").Replace(h.Place))
			}
			if got := strings.Join(places, ", "); got != c.hops || r.Summary != c.last || len(r.Warnings) > 0 {
				t.Errorf("%s: by %s, not %s\n%s", args, got, c.hops, text)
			}
			flat := strings.Join(strings.Fields(text), " ")
			for _, s := range c.says {
				if !strings.Contains(flat, s) {
					t.Errorf("%s: does not say %q\n%s", args, s, text)
				}
			}
			to := d.at(c.to, c.six)
			if strings.HasPrefix(to, "n") {
				to = map[bool]string{false: "172.18.0." + to[1:], true: "fd00:172:18::" + to[1:]}[c.six]
			}
			wait := patience
			if c.unheard {
				wait = 300 * time.Millisecond
			}
			if err := d.ping(c.from, to, wait); (err != nil) != c.unheard {
				t.Errorf("%s: traced as %q, and the ping: %v", args, r.Summary, err)
			}
		}
	})
}

// However the agent ends while it watches for a probe, the table that marks packets
// goes with it.
func TestLiveLeavesNothing(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		d := newTraced(t, tracedState)
		kill := d.watch("n2")
		c := &cluster{o: &options{}, sockets: d.dir}
		armed := make(chan struct{})
		ended := make(chan error, 1)
		go func() {
			p := facts.Packet{Dst: netip.MustParseAddr("10.244.2.10"), Proto: "icmp"}
			ended <- c.live(t.Context(), "n2", []facts.Packet{p}, func(l facts.Live) {
				if l.Armed {
					close(armed)
				}
			})
		}()
		select {
		case <-armed:
		case err := <-ended:
			t.Fatal(err)
		}
		d.sh("n2", "nft list tables | grep plumb-trace-")
		kill()
		if err := <-ended; err == nil {
			t.Error("the agent was killed, and the watch ended well")
		}
		d.sh("n2", `test "$(nft list tables)" = "table inet plumb"`)
	})
}

// What cannot be traced is refused in one line.
func TestTraceRefuses(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		d := newTraced(t, tracedState)
		d.watch("n1", "n2")
		for _, c := range []struct{ args, want string }{
			{"a1 nosuch", `TO: "nosuch" is no address, no pod that is known (namespace/name, as ` + "`plumb status`" + ` lists them), and no node of the file; the pods of n3 are not known here: give an address`},
			{"203.0.113.10 a1", "FROM: 203.0.113.10 is no endpoint that is known, and no node's address: a packet has to start in the cluster"},
			{"10.244.3.10 a1", "FROM: 10.244.3.10 is no endpoint that is known, and no node's address: a packet has to start in the cluster; the pods of n3 are not known here: run this on n3"},
			{"a1 b1 --port 80", "--port: icmp has no ports; give --proto tcp or udp too"},
			{"a1 b1 --proto tcp", "--proto tcp: give --port too"},
			{"a1 b1 --proto sctp", `--proto "sctp": it is one of icmp, tcp, udp`},
			{"a1 203.0.113.10 -6", "default/a1 (10.244.1.10, fd00:10:244:1::a) and 203.0.113.10 (203.0.113.10) have no address of one family"},
			{"a1 b1 --source fd00::1", "--source fd00::1: 10.244.2.10 is of the other family"},
			{"a1 b1 --live --source 10.0.0.1", "--live: a real packet comes from FROM's own address; leave out --source"},
		} {
			out, code := d.run("n1", append([]string{"trace", "--sockets", d.dir}, strings.Fields(c.args)...)...)
			if want := "plumb: " + c.want + "\n"; code != 2 || out != want {
				t.Errorf("%s: exit status %d\n%swant\n%s", c.args, code, out, want)
			}
		}
	})
}

// A node that cannot be asked is answered for by the file, and this one needs no agent.
func TestTraceAsTheFileHasIt(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		d := newTraced(t, tracedState)
		r, text := d.trace("a1", "10.244.2.10")
		if want := "delivered to the pod with 10.244.2.10 on n2, if n2 is as the file has it"; r.Summary != want {
			t.Errorf("want %s\n%s", want, text)
		}
		if !strings.Contains(text, "cannot be asked: no agent of n2 answers here") {
			t.Error(text)
		}
		// One that is stuck is left alone after one question, and named.
		stuck, err := net.Listen("unix", d.dir+"/n2.sock")
		if err != nil {
			t.Fatal(err)
		}
		out, code := d.run("n1", "trace", "--sockets", d.dir, "a1", "10.244.2.10")
		if code != 0 || !strings.Contains(out, `Get "http://plumb/status": context deadline exceeded; as the file has it`) {
			t.Errorf("exit status %d\n%s", code, out)
		}
		stuck.Close()
		d.sh("n1", "ip route del 10.244.2.0/24")
		if r, text = d.trace("default/a1", "10.244.2.10"); r.OK() || r.Fault.Place != "node n1" {
			t.Error(text)
		}
		d.sh("n2", "ip link set eth0 down")
		d.sh("n1", "ip route add 10.244.2.0/24 via 172.18.0.2 proto 112; ip neigh flush dev eth0")
		if r, text = d.trace("a1", "10.244.2.10"); r.OK() || !strings.Contains(r.Summary, "172.18.0.2 is not answered for on eth0 of node n1") {
			t.Error(text)
		}
	})
}

// TO may be a name of the host's resolver; one that nobody knows is an error, at once.
func TestTraceToAName(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		d := newTraced(t, tracedState)
		nstest.Sh(t, `
			mount -t tmpfs tmpfs /mnt
			echo "203.0.113.10 host.example.test" >/mnt/hosts; echo "2001:db8::10 host.example.test" >>/mnt/hosts; echo >/mnt/resolv.conf
			mount --bind /mnt/hosts /etc/hosts; mount --bind /mnt/resolv.conf /etc/resolv.conf`)
		for family, way := range map[string]string{"-4": "172.18.0.254", "-6": "fd00:172:18::fe"} {
			r, text := d.trace("a1", "host.example.test", family)
			if !r.OK() || !strings.Contains(text, "leaves the cluster by "+way) || !strings.Contains(text, "host.example.test has several addresses") {
				t.Error(text)
			}
		}
		out, code := d.run("n1", "trace", "a1", "nobody.example.test")
		if code != 2 || !strings.Contains(out, "is no address, no pod that is known") || !strings.Contains(out, "nobody.example.test: no such host") && !strings.Contains(out, "connection refused") {
			t.Errorf("exit status %d\n%s", code, out)
		}
	})
}
