package agent

import (
	"fmt"
	"testing"

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
