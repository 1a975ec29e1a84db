package conformance

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// versions of the specification that the plugin speaks.
var versions = []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"}

// result is an ADD's as it comes in any version; pointers tell what is not there
// from what is empty.
type result struct {
	CNIVersion string `json:"cniVersion"`
	Interfaces []struct {
		Name    string  `json:"name"`
		MAC     string  `json:"mac"`
		MTU     *int    `json:"mtu"`
		Sandbox *string `json:"sandbox"`
	} `json:"interfaces"`
	IPs []struct {
		Version   *string      `json:"version"`
		Address   netip.Prefix `json:"address"`
		Gateway   netip.Addr   `json:"gateway"`
		Interface *int         `json:"interface"`
	} `json:"ips"`
	Routes []struct {
		Dst     netip.Prefix `json:"dst"`
		Gateway netip.Addr   `json:"gw"`
	} `json:"routes"`
}

func TestEveryVersion(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			nstest.Run(t, func(t *testing.T) {
				n := newNode(t, layout{})
				p := n.pod("one")
				list := n.network(version, n.conf())
				if _, err := n.runtime().AddNetworkList(t.Context(), list, p.args()); err != nil {
					t.Fatal(err)
				}
				n.ping(n.addressOf(p, "-4"))
				err := n.runtime().CheckNetworkList(t.Context(), list, p.args())
				if version == "0.3.1" {
					// There is no CHECK in 0.3.1: who calls it nevertheless is told.
					err = p.call("CHECK", conf{"cniVersion": version}).failure(n)
					if code(err) != 1 {
						t.Errorf("CHECK in 0.3.1: %v", err)
					}
				} else if err != nil {
					t.Error(err)
				}
				if err := n.runtime().DelNetworkList(t.Context(), list, p.args()); err != nil {
					t.Error(err)
				}
				n.clean("DEL")
			})
		})
	}
}

// addressOf is the pod's address as the kernel has it, of the family -4 or -6.
func (n *node) addressOf(p pod, family string) string {
	n.t.Helper()
	out := p.sh("ip %s -br address show dev %s scope global", family, p.ifName)
	fields := strings.Fields(out)
	if len(fields) < 3 {
		n.t.Fatalf("%s %s has no address: %q", p.id, p.ifName, out)
	}
	address, _, _ := strings.Cut(fields[2], "/")
	return address
}

func TestResultInTheShapeOfItsVersion(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		for i, version := range versions {
			p := n.pod("pod" + string(rune('a'+i)))
			reply := p.call("ADD", conf{"cniVersion": version}).ok(n, "ADD")
			var r result
			if err := json.Unmarshal([]byte(reply.stdout), &r); err != nil {
				t.Fatalf("%s: %v\n%s", version, err, reply.stdout)
			}
			wantResult(t, p, r, version)
			if t.Failed() {
				t.Fatalf("%s: %s", version, reply.stdout)
			}
		}
	})
}

func wantResult(t *testing.T, p pod, r result, version string) {
	t.Helper()
	n := p.n
	if r.CNIVersion != version {
		t.Errorf("cniVersion %q, want %q", r.CNIVersion, version)
	}
	inPod := -1
	hostEnds := 0
	for i, iface := range r.Interfaces {
		// mtu came with 1.1.0; the specification's library writes it in 1.0.0 too.
		if version != "1.0.0" && (iface.MTU != nil) != (version == "1.1.0") || iface.MTU != nil && *iface.MTU != 1500 {
			t.Errorf("%s: mtu %v in %s", iface.Name, iface.MTU, version)
		}
		switch {
		case strings.HasPrefix(iface.Name, state.HostEndPrefix):
			hostEnds++
			if iface.MAC != state.HostEndMAC || iface.Sandbox != nil && *iface.Sandbox != "" {
				t.Errorf("host end: %+v", iface)
			}
			n.sh("ip link show %s", iface.Name)
		case iface.Name == p.ifName:
			inPod = i
			if iface.Sandbox == nil || *iface.Sandbox != p.netns {
				t.Errorf("sandbox of %s is not %s", iface.Name, p.netns)
			}
			if link := p.sh("ip -br link show %s", p.ifName); !strings.Contains(link, iface.MAC) {
				t.Errorf("mac %s, and the kernel has %s", iface.MAC, link)
			}
		default:
			t.Errorf("what is %+v?", iface)
		}
	}
	if inPod < 0 || hostEnds != 1 {
		t.Fatalf("%d host ends, pod's end at %d", hostEnds, inPod)
	}
	var got []string
	for _, ip := range r.IPs {
		if ip.Interface == nil || *ip.Interface != inPod {
			t.Errorf("%s is not on the pod's end", ip.Address)
		}
		if (ip.Version != nil) != (version < "1.0.0") {
			t.Errorf("%s has a version in %s, or none: %v", ip.Address, version, ip.Version)
		} else if ip.Version != nil && (*ip.Version == "4") != ip.Address.Addr().Is4() {
			t.Errorf("%s is of version %s", ip.Address, *ip.Version)
		}
		if !ip.Address.IsSingleIP() {
			t.Errorf("%s is more than one address", ip.Address)
		}
		got = append(got, ip.Gateway.String(), ip.Address.Addr().String())
	}
	want := []string{"169.254.1.1", n.addressOf(p, "-4"), "fe80::ecee:eeff:feee:eeee", n.addressOf(p, "-6")}
	if !slices.Equal(got, want) {
		t.Errorf("gateways and addresses %v, want %v", got, want)
	}
	got = nil
	for _, route := range r.Routes {
		got = append(got, route.Dst.String(), route.Gateway.String())
	}
	for _, want := range [][2]string{{"0.0.0.0/0", "169.254.1.1"}, {"::/0", "fe80::ecee:eeff:feee:eeee"}} {
		i := slices.Index(got, want[0])
		if i < 0 || got[i+1] != want[1] {
			t.Errorf("routes %v, want %v", got, want)
		}
	}
}

func TestVersionSaysWhatIsSpoken(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		info, err := n.runtime().GetVersionInfo(t.Context(), "plumb-cni")
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range versions {
			if !slices.Contains(info.SupportedVersions(), v) {
				t.Errorf("%v lacks %s", info.SupportedVersions(), v)
			}
		}
		for _, v := range []string{"0.1.0", "0.2.0"} { // their results hold one address only
			if slices.Contains(info.SupportedVersions(), v) {
				t.Errorf("%v has %s", info.SupportedVersions(), v)
			}
		}
		// It says so whatever is on stdin, and without a state file.
		n.sh("rm %s", n.file)
		for _, stdin := range []string{"", `{"cniVersion": "0.4.0"}`, "nonsense"} {
			n.raw([]byte(stdin), "CNI_COMMAND=VERSION").ok(n, "VERSION")
		}
	})
}

func TestOtherVersionsAreRefused(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		p := n.pod("one")
		for _, version := range []string{"0.2.0", "1.2.0", "2.0.0"} {
			e := p.call("ADD", conf{"cniVersion": version}).failure(n)
			if e.Code != 1 || !strings.Contains(e.Details, version) {
				t.Errorf("%s: %+v", version, e)
			}
		}
		if e := p.call("ADD", conf{"cniVersion": "one"}).failure(n); e.Code != 1 && e.Code != 6 {
			t.Errorf("a version that is none: %+v", e)
		}
		// GC and STATUS came with 1.1.0.
		for _, verb := range []string{"GC", "STATUS"} {
			if e := p.call(verb, conf{"cniVersion": "1.0.0"}).failure(n); e.Code != 1 {
				t.Errorf("%s in 1.0.0: %+v", verb, e)
			}
		}
		n.clean("calls in other versions")
	})
}

// What the pod's record says is what the agent and `plumb status` work with.
func TestRecord(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		p := n.pod("one")
		args := p.args()
		args.Args = [][2]string{
			{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", "web-1"}, {"K8S_POD_UID", "123"},
		}
		list := n.network("1.0.0", n.conf())
		if _, err := n.runtime().AddNetworkList(t.Context(), list, args); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(n.stateDir, "endpoints", "one%2Feth0.json"))
		if err != nil {
			t.Fatal(err)
		}
		var e state.Endpoint
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatal(err)
		}
		if e.ID != "one/eth0" || e.Name != "default/web-1" || e.ContainerID != "one" || e.IfName != "eth0" ||
			e.NetNS != p.netns || !strings.HasPrefix(e.Interface, state.HostEndPrefix) || len(e.Addresses) != 2 {
			t.Errorf("%s", b)
		}
		for i, family := range []string{"-4", "-6"} {
			if got, want := e.Addresses[i].String(), n.addressOf(p, family); got != want {
				t.Errorf("address %s, the pod has %s", got, want)
			}
		}
		var more struct{ Network string }
		if err := json.Unmarshal(b, &more); err != nil || more.Network != "net1" {
			t.Errorf("network %q, want net1 (%v)", more.Network, err)
		}
	})
}
