package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// conf is a plugin's configuration.
type conf map[string]any

// conf gives the plugin's configuration on this node, with changes.
func (n *node) conf(changes ...conf) conf {
	c := conf{"type": "plumb-cni", "file": n.file, "node": "worker1", "stateDir": n.stateDir}
	for _, change := range changes {
		maps.Copy(c, change)
	}
	return c
}

// network is a list of one plugin, as libcni takes it.
func (n *node) network(version string, c conf) *libcni.NetworkConfigList {
	n.t.Helper()
	name, ok := c["name"]
	if !ok {
		name = "net1"
	}
	b, err := json.Marshal(map[string]any{"cniVersion": version, "name": name, "plugins": []conf{c}})
	if err != nil {
		n.t.Fatal(err)
	}
	list, err := libcni.NetworkConfFromBytes(b)
	if err != nil {
		n.t.Fatal(err)
	}
	return list
}

// runtime is libcni with the built programs.
func (n *node) runtime() *libcni.CNIConfig {
	return libcni.NewCNIConfigWithCacheDir([]string{os.Getenv(programs)}, n.cache, nil)
}

// args are an attachment's, for libcni.
func (p pod) args() *libcni.RuntimeConf {
	return &libcni.RuntimeConf{ContainerID: p.id, NetNS: p.netns, IfName: p.ifName}
}

// add calls ADD by libcni in version 1.1.0; the test fails where it does.
func (p pod) add(changes ...conf) *types100.Result {
	p.n.t.Helper()
	r, err := p.tryAdd(changes...)
	if err != nil {
		p.n.t.Fatalf("ADD %s: %v", p.id, err)
	}
	return r
}

func (p pod) tryAdd(changes ...conf) (*types100.Result, error) {
	p.n.t.Helper()
	r, err := p.n.runtime().AddNetworkList(p.n.t.Context(), p.n.network("1.1.0", p.n.conf(changes...)), p.args())
	if err != nil {
		return nil, err
	}
	return types100.NewResultFromResult(r)
}

// del calls DEL by libcni in version 1.1.0.
func (p pod) del(changes ...conf) {
	p.n.t.Helper()
	if err := p.n.runtime().DelNetworkList(p.n.t.Context(), p.n.network("1.1.0", p.n.conf(changes...)), p.args()); err != nil {
		p.n.t.Fatalf("DEL %s: %v", p.id, err)
	}
}

// check calls CHECK by libcni in version 1.1.0.
func (p pod) check(changes ...conf) error {
	p.n.t.Helper()
	return p.n.runtime().CheckNetworkList(p.n.t.Context(), p.n.network("1.1.0", p.n.conf(changes...)), p.args())
}

// code is the code of an error that a plugin gave, 0 for any other.
func code(err error) uint {
	if e := (*types.Error)(nil); errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// addresses of a result, without the lengths of prefixes.
func addresses(r *types100.Result) []string {
	var list []string
	for _, ip := range r.IPs {
		list = append(list, ip.Address.IP.String())
	}
	return list
}

// reply is what one run of a plugin gave.
type reply struct {
	status         int // of the process; -1: killed
	stdout, stderr string
}

// failure decodes the error that a failed plugin owes: JSON on stdout, a version, a
// code, words. The test fails where it is not so.
func (r reply) failure(n *node) *types.Error {
	n.t.Helper()
	var e types.Error
	if r.status == 0 {
		n.t.Fatalf("%s: it succeeded: %s", n.doing, r.stdout)
	}
	d := json.NewDecoder(strings.NewReader(r.stdout))
	d.DisallowUnknownFields()
	var whole struct {
		types.Error
		CNIVersion string `json:"cniVersion"`
	}
	if err := d.Decode(&whole); err != nil {
		n.t.Fatalf("%s: no error in JSON on stdout: %v\nstdout: %q\nstderr: %q", n.doing, err, r.stdout, r.stderr)
	}
	e = whole.Error
	if d.More() {
		n.t.Errorf("more than one document on stdout: %q", r.stdout)
	}
	if e.Code == 0 || e.Msg == "" {
		n.t.Errorf("%s: an error without code or msg: %s", n.doing, r.stdout)
	}
	if strings.Contains(r.stdout+r.stderr, "goroutine ") {
		n.t.Errorf("a panic:\n%s%s", r.stdout, r.stderr)
	}
	return &e
}

// raw is a call by hand: stdin and environment as they are.
func (n *node) raw(stdin []byte, env ...string) reply {
	n.t.Helper()
	cmd := n.command(stdin, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		n.t.Fatal(err)
	}
	return reply{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func (n *node) command(stdin []byte, env ...string) *exec.Cmd {
	cmd := exec.Command(program("plumb-cni"))
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "CNI_PATH=" + os.Getenv(programs)}, env...)
	return cmd
}

// stdin is a single plugin's configuration in version 1.1.0, with changes.
func (n *node) stdin(changes ...conf) []byte {
	n.t.Helper()
	b, err := json.Marshal(n.conf(append([]conf{{"cniVersion": "1.1.0", "name": "net1"}}, changes...)...))
	if err != nil {
		n.t.Fatal(err)
	}
	return b
}

// env is the environment of a call for the pod; more comes last, and wins.
func (p pod) env(verb string, more ...string) []string {
	return append([]string{
		"CNI_COMMAND=" + verb, "CNI_CONTAINERID=" + p.id, "CNI_NETNS=" + p.netns, "CNI_IFNAME=" + p.ifName,
	}, more...)
}

// call calls a verb by hand.
func (p pod) call(verb string, changes ...conf) reply {
	p.n.t.Helper()
	return p.n.raw(p.n.stdin(changes...), p.env(verb)...)
}

// ok wants success of a call by hand.
func (r reply) ok(n *node, what string) reply {
	n.t.Helper()
	if r.status != 0 {
		n.t.Fatalf("%s: exit status %d\n%s%s", what, r.status, r.stdout, r.stderr)
	}
	return r
}

func (r reply) String() string { return fmt.Sprintf("%d %s%s", r.status, r.stdout, r.stderr) }
