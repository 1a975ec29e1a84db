package pod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// namespace is one of a pod's, held by a process that does nothing in it.
type namespace struct {
	t   testing.TB
	pid int
}

func newNamespace(t testing.TB) namespace {
	t.Helper()
	cmd := exec.Command("sleep", "infinity")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return namespace{t, cmd.Process.Pid}
}

func (n namespace) path() string { return fmt.Sprintf("/proc/%d/ns/net", n.pid) }

func (n namespace) sh(command string) string {
	n.t.Helper()
	return nstest.Sh(n.t, fmt.Sprintf("nsenter --net=%s sh -ec '%s'", n.path(), command))
}

func spec(n namespace, id string, addresses ...string) Spec {
	s := Spec{HostEnd: HostEndName(id, "eth0"), IfName: "eth0", NetNS: n.path(), MTU: 1400}
	for _, a := range addresses {
		s.Addresses = append(s.Addresses, netip.MustParseAddr(a))
	}
	for _, path := range strings.Fields("ipv4/conf/IF/proxy_arp ipv4/conf/IF/forwarding ipv4/conf/IF/rp_filter " +
		"ipv6/conf/IF/forwarding ipv6/conf/IF/proxy_ndp") {
		s.Sysctls = append(s.Sysctls, state.Sysctl{Path: "net/" + strings.ReplaceAll(path, "IF", s.HostEnd), Value: "1"})
	}
	s.Sysctls = append(s.Sysctls, state.Sysctl{Path: "net/ipv4/neigh/" + s.HostEnd + "/proxy_delay", Value: "0"})
	return s
}

func wire(t *testing.T, s Spec) {
	t.Helper()
	if err := Wire(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

// node is what the agent makes of a node with this pod: the switches, and the
// routes to the pod. Its own addresses are on lo, and it has no default route.
const node = `
	echo 1 > /proc/sys/net/ipv4/ip_forward
	echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
	ip address add 172.18.0.3/32 dev lo
	ip address add fc00::3/128 dev lo nodad
	until ip -6 route show table local | grep -q fc00::3; do sleep 0.01; done`

func route(t *testing.T, s Spec) {
	t.Helper()
	for _, a := range s.Addresses {
		nstest.Sh(t, fmt.Sprintf("ip route add %s dev %s proto 112", netip.PrefixFrom(a, a.BitLen()), s.HostEnd))
	}
}

// ping1 is one packet, answered.
func ping1(to string) string { return "ping -n -c 1 -W 20 " + to }

func TestWiredPodsReachEveryone(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, node)
		one, two := newNamespace(t), newNamespace(t)
		// As container runtimes leave a namespace.
		two.sh("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6")
		specs := []Spec{spec(one, "one", "10.244.1.5", "fd00:10:244:1::5"), spec(two, "two", "10.244.1.6", "fd00:10:244:1::6")}
		for _, s := range specs {
			wire(t, s)
			route(t, s)
		}
		if got := nstest.Sh(t, "ip route show default; ip -6 route show default"); got != "" {
			t.Fatalf("the node has a default route: %s", got)
		}
		for _, to := range []string{"10.244.1.6", "fd00:10:244:1::6", "172.18.0.3", "fc00::3"} {
			one.sh(ping1(to)) // the pod's first packets go first
		}
		for _, to := range []string{"10.244.1.5", "fd00:10:244:1::5", "172.18.0.3", "fc00::3"} {
			two.sh(ping1(to))
		}
		for _, to := range []string{"10.244.1.5", "fd00:10:244:1::5", "10.244.1.6", "fd00:10:244:1::6"} {
			nstest.Sh(t, ping1(to))
		}
	})
}

func TestHostReachesPodFirst(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, node)
		one := newNamespace(t)
		s := spec(one, "one", "10.244.1.5", "fd00:10:244:1::5")
		wire(t, s)
		route(t, s)
		nstest.Sh(t, ping1("10.244.1.5"))
		nstest.Sh(t, ping1("fd00:10:244:1::5"))
		// After the link was down, the routes are the agent's to put back, but the
		// pod's gateway comes back by itself.
		nstest.Sh(t, fmt.Sprintf("ip link set %s down; ip link set %s up", s.HostEnd, s.HostEnd))
		route(t, Spec{HostEnd: s.HostEnd, Addresses: s.Addresses[:1]})
		nstest.Sh(t, fmt.Sprintf("ip route replace fd00:10:244:1::5 dev %s proto 112", s.HostEnd))
		one.sh(ping1("172.18.0.3"))
		one.sh(ping1("fc00::3"))
	})
}

func TestWhatIsInThePod(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		one := newNamespace(t)
		s := spec(one, "one", "10.244.1.5", "fd00:10:244:1::5")
		wire(t, s)
		for _, c := range []struct{ command, want string }{
			{"ip -br address show dev eth0 scope global", "eth0@… UP 10.244.1.5/32 fd00:10:244:1::5/128"},
			{"ip address show tentative", ""},
			{"ip route", "169.254.1.1 dev eth0 scope link\ndefault via 169.254.1.1 dev eth0"},
			{"ip -6 route show default", "default via fe80::ecee:eeff:feee:eeee dev eth0 metric 1024 pref medium"},
			{"ip neighbour show nud permanent", "169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee PERMANENT\nfe80::ecee:eeff:feee:eeee dev eth0 lladdr ee:ee:ee:ee:ee:ee PERMANENT"},
			{"ip -br link show lo", "lo UNKNOWN 00:00:00:00:00:00 <LOOPBACK,UP,LOWER_UP>"},
			{"ip link show eth0 | grep -o \"mtu [0-9]*\"", "mtu 1400"},
		} {
			got := tidy(one.sh(c.command))
			// The kernel tells the carrier a moment late (net/core/link_watch.c).
			got = strings.Replace(got, "eth0@… UNKNOWN", "eth0@… UP", 1)
			if got != c.want {
				t.Errorf("%s:\n%s\nwant\n%s", c.command, got, c.want)
			}
		}
		if mac := one.sh("ip -br link show dev eth0"); !strings.Contains(mac, podMAC(s.HostEnd).String()) {
			t.Errorf("pod's end: %s", mac)
		}
		host := nstest.Sh(t, "ip address show dev "+s.HostEnd)
		for want, there := range map[string]bool{
			"link/ether " + state.HostEndMAC: true, "inet6 fe80::ecee:eeff:feee:eeee/64": true,
			"mtu 1400": true, "tentative": false, "inet ": false, "LOWER_UP": true,
		} {
			if strings.Contains(host, want) != there {
				t.Errorf("%q in the host end is %v, not %v:\n%s", want, !there, there, host)
			}
		}
		if n := strings.Count(host, "inet6"); n != 1 {
			t.Errorf("the host end has %d IPv6 addresses:\n%s", n, host)
		}
		got := nstest.Sh(t, strings.ReplaceAll(`cd /proc/sys/net
			cat ipv4/conf/IF/proxy_arp ipv4/neigh/IF/proxy_delay ipv4/conf/IF/forwarding ipv4/conf/IF/rp_filter \
				ipv6/conf/IF/forwarding ipv6/conf/IF/accept_ra ipv6/conf/IF/proxy_ndp`, "IF", s.HostEnd))
		if want := "1 0 1 1 1 0 1"; strings.Join(strings.Fields(got), " ") != want {
			t.Errorf("host end's sysctls: %s, want %s", got, want)
		}
	})
}

func tidy(s string) string {
	s = regexp.MustCompile(`[ \t]+(\n|$)`).ReplaceAllString(s, "$1")
	s = regexp.MustCompile(`@\S+`).ReplaceAllString(s, "@…")
	lines := strings.Split(regexp.MustCompile(` +`).ReplaceAllString(s, " "), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestOneFamilyAlone(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, node)
		four, six := newNamespace(t), newNamespace(t)
		four.sh("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6")
		s4, s6 := spec(four, "four", "10.244.1.5"), spec(six, "six", "fd00:10:244:1::6")
		wire(t, s4)
		wire(t, s6)
		route(t, s4)
		route(t, s6)
		four.sh(ping1("172.18.0.3"))
		six.sh(ping1("fc00::3"))
		if got := four.sh("ip -6 route; ip -6 address show dev eth0"); got != "" {
			t.Errorf("IPv6 in a pod that has none: %s", got)
		}
		if got := six.sh("ip -4 route; ip -4 address show dev eth0; ip -4 neighbour"); got != "" {
			t.Errorf("IPv4 in a pod that has none: %s", got)
		}
	})
}

func TestHostWithOtherAddressHabits(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, node+`
			echo 1 > /proc/sys/net/ipv6/conf/default/addr_gen_mode
			echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6`)
		one := newNamespace(t)
		s := spec(one, "one", "fd00:10:244:1::5")
		wire(t, s)
		route(t, s)
		one.sh(ping1("fc00::3"))
	})
}

func TestUnwire(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		one := newNamespace(t)
		s := spec(one, "one", "10.244.1.5")
		wire(t, s)
		for range 2 {
			if err := Unwire(s.HostEnd); err != nil {
				t.Error(err)
			}
		}
		nothingLeft(t, one)
		if err := Unwire("lo"); err == nil || !strings.Contains(err.Error(), "not plumb's") {
			t.Errorf("unwiring lo: %v", err)
		}
		wire(t, s) // as new
	})
}

// nothingLeft says that host and pod are as they were.
func nothingLeft(t *testing.T, n namespace) {
	t.Helper()
	if got := nstest.Sh(t, "ip -br link"); strings.Contains(got, state.HostEndPrefix) {
		t.Errorf("left on the host:\n%s", got)
	}
	if got := n.sh("ip -br link show type veth; ip route"); strings.Contains(got, "169.254") || strings.Contains(got, "eth0") {
		t.Errorf("left in the pod:\n%s", got)
	}
}

func TestFailedWireTakesAllBack(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		one := newNamespace(t)
		one.sh("ip link add x0 type bridge; ip link set x0 addrgenmode none; ip link set x0 up; ip route add default dev x0")
		before := one.sh("ip -br link; ip address; ip route")
		s := spec(one, "one", "10.244.1.5", "fd00:10:244:1::5")
		err := Wire(t.Context(), s)
		if !errors.Is(err, syscall.EEXIST) || !strings.Contains(err.Error(), "default route via 169.254.1.1") {
			t.Errorf("error %v", err)
		}
		nothingLeft(t, one)
		if after := one.sh("ip -br link; ip address; ip route"); after != before {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
	})
}

func TestWhatStandsInTheWayStays(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		one, two := newNamespace(t), newNamespace(t)
		s := spec(one, "one", "10.244.1.5")
		wire(t, s)
		err := Wire(t.Context(), s)
		if !errors.Is(err, syscall.EEXIST) || !strings.Contains(err.Error(), "interface "+s.HostEnd+":") {
			t.Errorf("wired twice: %v", err)
		}
		other := spec(one, "other", "10.244.1.6")
		if err := Wire(t.Context(), other); !errors.Is(err, syscall.EEXIST) || !strings.Contains(err.Error(), "interface eth0 in "+one.path()) {
			t.Errorf("wired with an eth0 already: %v", err)
		}
		one.sh("ip link show eth0")
		if got := nstest.Sh(t, "ip -br link"); !strings.Contains(got, s.HostEnd) || strings.Contains(got, other.HostEnd) {
			t.Errorf("on the host:\n%s", got)
		}
		nothingInPod(t, two)
	})
}

func nothingInPod(t *testing.T, n namespace) {
	t.Helper()
	if got := n.sh("ip -br link show up; ip route"); got != "" {
		t.Errorf("in the pod: %s", got)
	}
}

func TestWireRefuses(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		one := newNamespace(t)
		good := spec(one, "one", "10.244.1.5")
		for want, change := range map[string]func(*Spec){
			`host end "eth7" does not begin with plb`: func(s *Spec) { s.HostEnd = "eth7" },
			`"" is no interface's name`:               func(s *Spec) { s.IfName = "" },
			`"a/b" is no interface's name`:            func(s *Spec) { s.IfName = "a/b" },
			"no addresses":                            func(s *Spec) { s.Addresses = nil },
			`"fe80::1%eth0" is no address for a pod`:  func(s *Spec) { s.Addresses = []netip.Addr{netip.MustParseAddr("fe80::1%eth0")} },
			"network namespace: open /run/netns/no":   func(s *Spec) { s.NetNS = "/run/netns/no" },
			"network namespace /dev/null: ":           func(s *Spec) { s.NetNS = "/dev/null" },
			"making the veth: ":                       func(s *Spec) { s.MTU = 1 },
			"in the pod: address 10.244.1.5: ":        func(s *Spec) { s.Addresses = append(s.Addresses, s.Addresses[0]) },
		} {
			s := good
			change(&s)
			if err := Wire(t.Context(), s); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %s", err, want)
			}
		}
		missing := good
		missing.NetNS = "/run/netns/no"
		if err := Wire(t.Context(), missing); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a missing namespace is not fs.ErrNotExist: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := Wire(ctx, good); !errors.Is(err, context.Canceled) {
			t.Errorf("after its context: %v", err)
		}
		nothingLeft(t, one)
		nothingInPod(t, one)
	})
}

// No thread of the process stays in a pod's namespace, however many are wired at
// once.
func TestManyAtOnceLeaveThreadsAtHome(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, node)
		const n = 16
		pods := make([]namespace, n)
		for i := range pods {
			pods[i] = newNamespace(t)
		}
		var wg sync.WaitGroup
		for i, p := range pods {
			wg.Go(func() {
				s := spec(p, fmt.Sprint(i), fmt.Sprintf("10.244.1.%d", i+1), fmt.Sprintf("fd00:10:244:1::%x", i+1))
				if err := Wire(t.Context(), s); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		home, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			at, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/net")
			if err == nil && at != home {
				t.Errorf("thread %s is in %s, not %s", task.Name(), at, home)
			}
		}
		if got := strings.Count(nstest.Sh(t, "ip -br link show type veth"), state.HostEndPrefix); got != n {
			t.Errorf("%d host ends", got)
		}
	})
}

func TestHostEndName(t *testing.T) {
	seen := map[string]bool{}
	for _, id := range [][2]string{{"a", "eth0"}, {"a", "eth1"}, {"aeth", "0"}, {"b", "eth0"}} {
		name := HostEndName(id[0], id[1])
		if !regexp.MustCompile(`^plb[0-9a-f]{11}$`).MatchString(name) || seen[name] {
			t.Errorf("%v: %s", id, name)
		}
		seen[name] = true
		if mac := podMAC(name); mac[0]&3 != 2 {
			t.Errorf("%s is not a locally administered unicast address", mac)
		}
	}
	// The name is what a restarted plugin finds its pod by: it never changes.
	if got, want := HostEndName("a", "eth0"), "plb263a9a147be"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
