package link

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/link/monitor"
	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

const uplink = `
	ip link add eth0 type veth peer name peer0
	ip addr add 172.18.0.3/16 dev eth0
	echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
	ip addr add fc00::3/64 dev eth0 nodad
	ip link set eth0 up
	ip link set peer0 up
`

func vxlan4() state.Link {
	return state.Link{
		Name: state.VXLANDevice, Type: "vxlan", MAC: "02:00:00:00:00:03", MTU: 1450, Up: true,
		Tunnel: state.Tunnel{VNI: 4096, Port: 4789, Local: netip.MustParseAddr("172.18.0.3"), Parent: "eth0"},
	}
}

func vxlan6() state.Link {
	l := vxlan4()
	l.Name, l.MTU, l.Local = state.VXLANDevice6, 1430, netip.MustParseAddr("fc00::3")
	return l
}

func ipip() state.Link {
	return state.Link{
		Name: state.IPIPDevice, Type: "ipip", MTU: 1480, Up: true,
		Tunnel: state.Tunnel{Local: netip.MustParseAddr("172.18.0.3")},
	}
}

// hasIPIP says whether this kernel makes IPIP devices.
func hasIPIP(t *testing.T) bool {
	t.Helper()
	out := nstest.Sh(t, "ip link add probe0 type ipip local 127.0.0.1 2>&1 && ip link del probe0 || true")
	return !strings.Contains(out, "Unknown device type")
}

// tunnels are those that this kernel makes; both VXLAN devices have one VNI and port.
func tunnels(t *testing.T) []state.Link {
	t.Helper()
	all := []state.Link{vxlan4(), vxlan6()}
	if hasIPIP(t) {
		all = append(all, ipip())
	}
	return all
}

func expectLinks(t *testing.T, k *Kind, want ...state.Link) {
	t.Helper()
	got := read(t, k)
	if len(got) != len(want) {
		t.Errorf("%d devices, want %d: %v", len(got), len(want), got)
	}
	for _, w := range want {
		if got[w.Name] != w {
			t.Errorf("wrote %s\nread  %s", state.String(w), state.String(got[w.Name]))
		}
	}
}

func TestTunnelsReadBackAsWritten(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, uplink)
		k := newKind(t)
		want := tunnels(t)
		for range 2 { // twice: Apply is idempotent
			for _, l := range want {
				apply(t, k, add(l))
			}
			expectLinks(t, k, want...)
		}
		if out := nstest.Sh(t, "ip -d link show plumb-vxlan"); !strings.Contains(out,
			"vxlan id 4096 local 172.18.0.3 dev eth0 srcport 0 0 dstport 4789 nolearning") {
			t.Errorf("ip says: %s", out)
		}
		for _, l := range want {
			apply(t, k, del(l.Name))
		}
		expectLinks(t, k)
	})
}

// What can be changed while packets flow is; the device stays the same one.
func TestMTUAndMACChangeInPlace(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, uplink)
		k := newKind(t)
		before := vxlan4()
		apply(t, k, add(before))
		index := nstest.Sh(t, "ip -o link show plumb-vxlan | cut -d: -f1")
		after := before
		after.MTU, after.MAC = 1300, "02:00:00:00:00:04"
		apply(t, k, state.Change[state.Link]{Action: state.Modify, Before: before, After: after})
		expectLinks(t, k, after)
		if now := nstest.Sh(t, "ip -o link show plumb-vxlan | cut -d: -f1"); now != index {
			t.Error("it is another device")
		}
	})
}

// A tunnel that others put into a bridge is taken out again, and stays the same one.
func TestATunnelInABridge(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, uplink+"ip link add br0 type bridge")
		k := newKind(t)
		apply(t, k, add(vxlan4()))
		events := make(chan event, 1000)
		watch(t, k, func(es []event) {
			for _, e := range es {
				events <- e
			}
		})
		index := nstest.Sh(t, "ip -o link show plumb-vxlan | cut -d: -f1")
		nstest.Sh(t, "ip link set plumb-vxlan master br0")
		have := vxlan4()
		have.Odd = "master br0"
		expectLinks(t, k, have)
		expect(t, events, "its bridge", func(e event) bool { return e.Object == have })
		apply(t, k, state.Change[state.Link]{Action: state.Modify, Before: have, After: vxlan4()})
		expectLinks(t, k, vxlan4())
		expect(t, events, "free again", func(e event) bool { return e.Object == vxlan4() })
		if now := nstest.Sh(t, "ip -o link show plumb-vxlan | cut -d: -f1"); now != index {
			t.Error("it is another device")
		}
	})
}

// Each wrong attribute is read, printed and undone.
func TestAWrongTunnelIsReplaced(t *testing.T) {
	for _, c := range []struct{ make, odd string }{
		{"vxlan id 4097 local 172.18.0.3 dev eth0 dstport 4789 nolearning", "id 4097"},
		{"vxlan id 4096 local 172.18.0.3 dev eth0 dstport 8472 nolearning", "dstport 8472"},
		{"vxlan id 4096 local 172.18.0.9 dev eth0 dstport 4789 nolearning", "local 172.18.0.9"},
		{"vxlan id 4096 dev eth0 dstport 4789 nolearning", "id 4096 dev eth0"},
		{"vxlan id 4096 local 172.18.0.3 dev peer0 dstport 4789 nolearning", "dev peer0"},
		{"vxlan id 4096 local 172.18.0.3 dstport 4789 nolearning", "local 172.18.0.3 dstport"},
		{"vxlan id 4096 local 172.18.0.3 dev eth0 dstport 4789", " learning"},
		{"vxlan id 4096 local 172.18.0.3 dev eth0 dstport 4789 nolearning remote 172.18.0.4", "remote 172.18.0.4"},
		{"vxlan id 4096 local 172.18.0.3 dev eth0 dstport 4789 nolearning group 239.1.1.1", "remote 239.1.1.1"},
		{"vxlan id 4096 local 172.18.0.3 dev eth0 dstport 4789 nolearning ttl 5 tos 8", "ttl 5 tos 8"},
		{"vxlan id 4096 local 172.18.0.3 dev eth0 dstport 4789 nolearning srcport 1000 2000", "srcport 1000 2000"},
		{"vxlan id 4096 local 172.18.0.3 dev eth0 dstport 4789 nolearning proxy l2miss l3miss rsc", "proxy"},
		{"vxlan id 4096 local 172.18.0.3 dev eth0 dstport 4789 nolearning noudpcsum", "noudpcsum"},
		{"vxlan id 4096 local 172.18.0.3 dev eth0 dstport 4789 nolearning maxaddress 9", "maxaddress 9"},
		{"vxlan id 4096 local 172.18.0.3 dev eth0 dstport 4789 nolearning gbp", "gbp"},
		{"vxlan id 4096 local 172.18.0.3 dev eth0 dstport 4789 nolearning df set", "df 1"},
		{"vxlan external dstport 4789", "external"},
		{"bridge", "type bridge"},
	} {
		t.Run(c.make, func(t *testing.T) {
			t.Parallel()
			nstest.Run(t, func(t *testing.T) {
				nstest.Sh(t, uplink+"ip link add plumb-vxlan type "+c.make)
				k := newKind(t)
				have := read(t, k)["plumb-vxlan"]
				if line := state.String(have); !strings.Contains(line, c.odd) {
					t.Errorf("read as %s, without %q", line, c.odd)
				}
				apply(t, k, state.Change[state.Link]{Action: state.Modify, Before: have, After: vxlan4()})
				expectLinks(t, k, vxlan4())
			})
		})
	}
}

func TestAWrongIPIPIsReplaced(t *testing.T) {
	for _, c := range []struct{ make, odd string }{
		{"local 172.18.0.9", "local 172.18.0.9"},
		{"local 172.18.0.3 remote 172.18.0.4", "remote 172.18.0.4"},
		{"local 172.18.0.3 dev eth0", "dev eth0"},
		{"local 172.18.0.3 ttl 7", "ttl 7"},
		{"local 172.18.0.3 nopmtudisc", "nopmtudisc"},
		{"mode any local 172.18.0.3", "mode 0"},
		{"external", "external"},
	} {
		t.Run(c.make, func(t *testing.T) {
			nstest.Run(t, func(t *testing.T) {
				nstest.Sh(t, uplink)
				k := newKind(t)
				if !hasIPIP(t) { // then what must hold is the error; a virtual machine runs the rest
					err := errors.Join(k.Apply(t.Context(), []state.Change[state.Link]{add(ipip())})...)
					if !errors.Is(err, unix.EOPNOTSUPP) || !strings.Contains(fmt.Sprint(err), "this kernel makes no devices of type ipip (module ipip)") {
						t.Errorf("error %v", err)
					}
					return
				}
				nstest.Sh(t, "ip link add plumb-ipip type ipip "+c.make)
				have := read(t, k)["plumb-ipip"]
				if line := state.String(have); !strings.Contains(line, c.odd) {
					t.Errorf("read as %s, without %q", line, c.odd)
				}
				apply(t, k, state.Change[state.Link]{Action: state.Modify, Before: have, After: ipip()})
				expectLinks(t, k, ipip())
			})
		})
	}
}

func TestTunnelsThatCannotBeMade(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, uplink+`ip link add other type vxlan id 77 local 172.18.0.3 dev eth0 dstport 4789
			ip link add veth9 type veth peer name veth8`)
		k := newKind(t)
		taken, orphan := vxlan4(), vxlan4()
		taken.VNI = 77
		orphan.Parent = "eth9"
		for _, c := range []struct {
			want state.Link
			text string
		}{
			{taken, "interface plumb-vxlan: making it: another device has VNI 77 on port 4789"},
			{orphan, "interface plumb-vxlan: making it: its parent eth9 does not exist"},
		} {
			err := k.Apply(t.Context(), []state.Change[state.Link]{add(c.want)})[0]
			if err == nil || !strings.HasPrefix(err.Error(), c.text) {
				t.Errorf("error %v, want %s", err, c.text)
			}
		}
		expectLinks(t, k) // nothing half-made
	})
}

// The kernel makes a device that is too wide for its parent narrower, without a
// word (vxlan_dev_configure), and refuses to widen it.
func TestATunnelThatIsTooWide(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, uplink)
		k := newKind(t)
		wide := vxlan4()
		wide.MTU = 1500
		apply(t, k, add(wide))
		expectLinks(t, k, vxlan4())
		err := k.Apply(t.Context(), []state.Change[state.Link]{add(wide)})[0]
		if !errors.Is(err, unix.EINVAL) || !strings.HasPrefix(err.Error(), "interface plumb-vxlan: setting mtu 1500: ") {
			t.Errorf("error %v", err)
		}
	})
}

// Events carry a tunnel as Read would give it.
func TestWatchSeesTunnels(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, uplink)
		k := newKind(t)
		events := make(chan event, 1000)
		watch(t, k, func(es []event) {
			for _, e := range es {
				events <- e
			}
		})
		want := vxlan4()
		apply(t, k, add(want))
		expect(t, events, "as made", func(e event) bool { return e.Object == want })
		nstest.Sh(t, "ip link set plumb-vxlan mtu 1000")
		other := want
		other.MTU = 1000
		expect(t, events, "its MTU", func(e event) bool { return e.Object == other })
		nstest.Sh(t, "ip link set eth0 down; ip link set eth0 name uplink0; ip link set uplink0 up; ip link set plumb-vxlan mtu 1001")
		other.MTU, other.Parent = 1001, "uplink0"
		expect(t, events, "its parent renamed", func(e event) bool { return e.Object == other })
		nstest.Sh(t, "ip link del uplink0")
		expect(t, events, "gone with its parent", func(e event) bool { return e.Gone && e.Key == want.Key() })
	})
}

// Whatever the bytes, decoding ends, and stays within them.
func FuzzDecodeTunnel(f *testing.F) {
	f.Add("vxlan", []byte{8, 0, 1, 0, 0, 16, 0, 0, 6, 0, 15, 0, 18, 181, 0, 0, 5, 0, 7, 0, 0, 0, 0, 0})
	f.Add("ipip", []byte{8, 0, 2, 0, 172, 18, 0, 3, 5, 0, 10, 0, 1, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, kind string, info []byte) {
		decodeTunnel(monitor.Link{Kind: kind, Info: info}, func(index int) string { return nameOf(nil, index) })
	})
}
