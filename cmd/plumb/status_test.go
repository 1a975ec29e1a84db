package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/agent"
)

func TestStatusAsText(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const container = "3f2a91c07de4b5a6978812345678901234567890abcdefabcdefabcdefabcdef"
	s := agent.Status{
		Node: "worker1", Cluster: "demo", Version: "v1.2.3", PID: 4711, Started: start, Converged: true,
		File:          agent.FileStatus{Path: "/etc/plumb/plumb.yaml", Hash: "5545f352f4470000", LoadedAt: start, Valid: true},
		LastConverged: start.Add(time.Minute),
		Tunnels: []agent.TunnelStatus{
			{Device: "plumb-ipip", Type: "ipip", Local: "172.18.0.3", MTU: 1480, State: "failing"},
			{
				Device: "plumb-vxlan", Type: "vxlan", VNI: 4096, Port: 4789, Local: "172.18.0.3", Parent: "eth0", MTU: 1450,
				Addresses: []string{"10.244.1.0/32", "fd00:10:244:1::/128"}, Remotes: 3, State: "up",
			},
		},
		Endpoints: []agent.EndpointStatus{
			{Name: "db-vm", ID: "file/db-vm", Interface: "tap0", Addresses: []string{"10.244.1.200"}, Origin: "plumb.yaml:31", State: "pending"},
			{Name: container, ID: container + "/eth0", ContainerID: container, Interface: "plb0123456789a", Addresses: []string{"10.244.1.7"}, State: "wired"},
			{
				Namespace: "default", Name: "web-1", ID: container + "/eth0", ContainerID: container,
				Interface: "plb3f2a91c07de", Addresses: []string{"10.244.1.5", "fd00:10:244:1::5"}, State: "wired",
			},
			{Namespace: "kube-system", Name: "coredns-76f75df574-4hjkz", ID: "cri-container-1/eth0", ContainerID: "cri-container-1", Interface: "plbaaaaaaaaaaa", State: "shadowed"},
		},
	}
	var out strings.Builder
	printStatus(&out, &s, start.Add(2*time.Minute))
	const want = `
node     worker1 (cluster demo)
agent    v1.2.3, process 4711, up 2m0s
file     /etc/plumb/plumb.yaml, 5545f352f447, loaded 2m0s ago
state    converged, last 1m0s ago
objects  

TUNNEL       VNI   PORT  LOCAL       PARENT  MTU   ADDRESSES                          REMOTES  STATE
plumb-ipip   -     -     172.18.0.3  -       1480  -                                  -        failing
plumb-vxlan  4096  4789  172.18.0.3  eth0    1450  10.244.1.0/32,fd00:10:244:1::/128  3        up

NAMESPACE    NAME                      ADDRESSES                    INTERFACE       CONTAINER        STATE
-            db-vm                     10.244.1.200                 tap0            -                pending
-            -                         10.244.1.7                   plb0123456789a  3f2a91c07de4     wired
default      web-1                     10.244.1.5,fd00:10:244:1::5  plb3f2a91c07de  3f2a91c07de4     wired
kube-system  coredns-76f75df574-4hjkz  -                            plbaaaaaaaaaaa  cri-container-1  shadowed
`
	if got := "\n" + out.String(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	b, err := json.Marshal(s)
	if err != nil || strings.Count(string(b), `"containerID":"`+container+`"`) != 2 {
		t.Errorf("JSON has not the whole container ID: %v\n%s", err, b)
	}
}
