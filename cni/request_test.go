package cni

import (
	"fmt"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
)

func TestRequest(t *testing.T) {
	t.Setenv("NODE_NAME", "worker1")
	t.Setenv("PLUMB_FILE", "")
	t.Setenv("PLUMB_STATE_DIR", "")
	for _, tc := range []struct{ name, conf, args, want string }{
		{
			"defaults", `{}`, "",
			"worker1 /etc/plumb/plumb.yaml /var/lib/plumb mtu 0: container1 []",
		},
		{
			"all fields", `{"file":"/f","node":"n","stateDir":"/s","mtu":9000,"unknown":{"a":[1]}}`, "",
			"n /f /s mtu 9000: container1 []",
		},
		{
			"a pod of Kubernetes", `{}`, "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-1;K8S_POD_UID=3f=2a;",
			"worker1 /etc/plumb/plumb.yaml /var/lib/plumb mtu 0: default/web-1 []",
		},
		{
			"fixed addresses", `{"runtimeConfig":{"ips":["10.244.1.7/24"]},"args":{"cni":{"ips":["fd00::7"]}}}`, "IP=10.244.1.8, ::ffff:10.0.0.1",
			"worker1 /etc/plumb/plumb.yaml /var/lib/plumb mtu 0: container1 [10.244.1.7 fd00::7 10.244.1.8 10.0.0.1]",
		},
		{"no pair", `{}`, "K8S_POD_NAME", `4 CNI_ARGS; "K8S_POD_NAME" is not KEY=VALUE`},
		{"no address", `{}`, "IP=10.244.1.256", `4 CNI_ARGS; IP: "10.244.1.256" is not an address`},
		{"a zone", `{}`, "IP=fe80::1%eth0", `4 CNI_ARGS; IP: "fe80::1%eth0" is not an address`},
		{"wrong type", `{"mtu":"big"}`, "", "6 network configuration; json: cannot unmarshal string into Go struct field config.mtu of type int"},
		{"negative", `{"mtu":-1}`, "", "7 network configuration; mtu: -1 is not between 0 and 65535"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := newRequest(&skel.CmdArgs{ContainerID: "container1", IfName: "eth0", Args: tc.args, StdinData: []byte(tc.conf)})
			got := ""
			if err != nil {
				got = coded(err)
			} else {
				got = fmt.Sprintf("%s %s %s mtu %d: %s %v", r.Node, r.File, r.StateDir, r.MTU, r.name, r.fixed)
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// The container's ID may hold no slash, an interface's name neither, so the ID of
// the attachment can be taken apart again.
func TestAs(t *testing.T) {
	r := &request{CmdArgs: &skel.CmdArgs{ContainerID: "one", IfName: "eth0"}}
	other := r.as("two/net1")
	if other.ContainerID != "two" || other.IfName != "net1" || r.ContainerID != "one" {
		t.Errorf("%+v, %+v", other.CmdArgs, r.CmdArgs)
	}
	if nobody := r.as("torn"); nobody.ContainerID != "" || !strings.HasPrefix(nobody.hostEnd(), "plb") {
		t.Errorf("%+v", nobody.CmdArgs)
	}
}
