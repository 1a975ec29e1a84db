package agent

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
)

func TestEndpointsByTheNamesOfTheirPods(t *testing.T) {
	s := newSources(nil, "n0")
	for _, e := range []endpointSource{
		{Endpoint: state.Endpoint{ID: "c/eth0", Name: "kube-system/dns", ContainerID: "c", Interface: "plbc"}, rank: rankEndpoint},
		{Endpoint: state.Endpoint{ID: "b/net1", Name: "default/web-1", ContainerID: "b", Interface: "plbb1"}, rank: rankEndpoint},
		{Endpoint: state.Endpoint{ID: "b/eth0", Name: "default/web-1", ContainerID: "b", Interface: "plbb0"}, rank: rankEndpoint, pending: "interface plbb0 does not exist"},
		{Endpoint: state.Endpoint{ID: "a/eth0", Name: "a", ContainerID: "a", Interface: "plba"}, rank: rankEndpoint, origin: "endpoint a"},
		{Endpoint: state.Endpoint{ID: "file/rack/vm", Name: "rack/vm", Interface: "tap0"}, rank: rankFileEndpoint},
	} {
		s.endpoints[e.ID] = &e
	}
	got := ""
	for _, e := range s.endpointStatus(map[string]bool{"endpoint a": true}) {
		got += fmt.Sprintf("%q %q %q %s %s\n", e.Namespace, e.Name, e.ContainerID, e.Interface, e.State)
	}
	const want = `"" "a" "a" plba shadowed
"" "rack/vm" "" tap0 wired
"default" "web-1" "b" plbb0 pending
"default" "web-1" "b" plbb1 wired
"kube-system" "dns" "c" plbc wired
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// A change that waits, and would end sessions, is pending in the status, with what it
// does.
func TestPendingResets(t *testing.T) {
	peer := state.BGPPeer{Name: "tor", Address: netip.MustParseAddr("192.0.2.2"), ASN: 64601, IPv4: true, HoldTime: 90, RestartTime: 120}
	port, hold := peer, peer
	port.Port, hold.HoldTime = 1179, 30
	have := state.Snapshot{}
	have.Put(peer)
	for _, c := range []struct {
		want state.BGPPeer
		says string
	}{
		{peer, ""},
		{hold, ""},
		{port, "bgp-peer 192.0.2.2: resets the session: port (plumb.yaml:9)"},
	} {
		e := reconcile.NewEngine(reconcile.KindOf[state.Object](recorded{have}, true, bgpKinds...))
		if err := e.SetSource(bgpSource, []render.Wanted{{Object: c.want, Origin: "plumb.yaml:9"}}); err != nil {
			t.Fatal(err)
		}
		if err := e.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, p := range pendingResets(e) {
			got += p.String() + " (" + p.Origin + ")"
		}
		if got != c.says {
			t.Errorf("%s: %q, not %q", c.want.Key(), got, c.says)
		}
	}
}
