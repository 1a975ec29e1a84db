package show

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/lab"
)

func check(t *testing.T, got, want string) {
	t.Helper()
	if want = strings.TrimPrefix(want, "\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

func TestStatus(t *testing.T) {
	var b strings.Builder
	Status(&b, &lab.Status{
		Name: "lab", Dir: "/run/plumb-lab/lab", Topology: "t",
		Nodes: []lab.NodeStatus{
			{Node: lab.Node{Name: "node1", Addresses: prefixes("192.0.2.1/24", "2001:db8::1/64")}, PID: 7, Converged: true},
			{Node: lab.Node{Name: "node2", Addresses: prefixes("192.0.2.2/24")}, Restarts: 3, Message: "no agent\nat all"},
		},
		Pods: []lab.Pod{{Name: "a1", Node: "node1", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Interface: "plb0"}},
	})
	check(t, b.String(), `
lab lab, topology t, in /run/plumb-lab/lab

NODE   ADDRESSES                    AGENT  RESTARTS  STATE
node1  192.0.2.1/24 2001:db8::1/64  7      0         converged
node2  192.0.2.2/24                 -      3         not converged: no agent

POD  NODE   ADDRESSES  INTERFACE
a1   node1  10.0.0.1   plb0
`)
}

func TestMatrix(t *testing.T) {
	m := &Matrix{
		from: []string{"a1", "a2", "a3"}, to: []string{"a1", "beyond"},
		cells: [][]*lab.PingResult{
			{{RTT: 50 * time.Microsecond}, {Error: "lost"}},
			{{RTT: 12340 * time.Microsecond}, {Error: "network is unreachable"}},
			{nil, nil},
		},
	}
	var b strings.Builder
	m.Write(&b, " ")
	check(t, b.String(), `
 from \ to  a1     beyond
 a1         0.05   lost
 a2         12.34  error
 a3         -      -
 a2 to beyond: network is unreachable
`)
	if sent, lost := m.Sent(); sent != 4 || lost != 2 {
		t.Errorf("%d sent, %d lost; want 4, 2", sent, lost)
	}
}

// What the demonstration finds wrong is its error.
func TestExpect(t *testing.T) {
	d := &demo{}
	d.expect(true, "right")
	if err := d.verdict(); err != nil {
		t.Errorf("with nothing wrong: %v", err)
	}
	d.expect(false, "ping %d", 1)
	if err := d.verdict(); !errors.Is(err, ErrWrong) || !strings.Contains(err.Error(), "\n  ping 1") {
		t.Errorf("with something wrong: %v", err)
	}
}
