package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/cni/libcni"
	"golang.org/x/sys/unix"
)

// The CNI plugin is measured beside ptp with host-local, which do the same work (a
// veth, addresses, routes), as whole processes. Each works on a node of its own, a
// namespace, so that neither sees the other's endpoints.

// plugin is one of the two, on its node.
type plugin struct {
	name, program, node string
	stdin               []byte
	env                 []string
	list                *libcni.NetworkConfigList
	runtime             *libcni.CNIConfig
}

func cniPlugins(b *testing.B) (ours, theirs *plugin) {
	b.Helper()
	bin := b.TempDir()
	for _, build := range [][]string{{"..", "./cmd/plumb-cni"}, {"../cni/conformance/testdata/peers", "tool"}} {
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", bin+"/", build[1])
		cmd.Dir = build[0]
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
	}
	sh(b, "mount --make-rprivate /; mount -t tmpfs tmpfs /run")
	b.Cleanup(func() { sh(b, "umount /run/netns/* /run/netns /run 2>/dev/null || umount -l /run") })
	dir := b.TempDir()
	state := filepath.Join(dir, "plumb.yaml")
	must(b, os.WriteFile(state, []byte(`apiVersion: plumb/v1
pools: [{cidr: 10.0.0.0/8}]
nodes:
  - {name: here, addresses: [10.99.0.1/16], podCIDRs: [10.1.0.0/16]}
`), 0o644))
	ours = newPlugin(b, bin, "plumb-cni", map[string]any{
		"type": "plumb-cni", "file": state, "node": "here", "stateDir": filepath.Join(dir, "state"),
	})
	theirs = newPlugin(b, bin, "ptp", map[string]any{
		"type": "ptp", "ipMasq": false, "mtu": 1500,
		"ipam": map[string]any{
			"type": "host-local", "dataDir": filepath.Join(dir, "host-local"), "routes": []any{map[string]string{"dst": "0.0.0.0/0"}},
			"ranges": []any{[]any{map[string]string{"subnet": "10.1.0.0/16"}}},
		},
	})
	return ours, theirs
}

func newPlugin(b *testing.B, bin, name string, conf map[string]any) *plugin {
	b.Helper()
	p := &plugin{name: name, program: filepath.Join(bin, name), node: "node-" + name, env: []string{"CNI_PATH=" + bin}}
	list, err := json.Marshal(map[string]any{"cniVersion": "1.0.0", "name": "net1", "plugins": []any{conf}})
	must(b, err)
	p.list, err = libcni.NetworkConfFromBytes(list)
	must(b, err)
	p.runtime = libcni.NewCNIConfigWithCacheDir([]string{bin}, b.TempDir(), nil)
	conf["cniVersion"], conf["name"] = "1.0.0", "net1"
	p.stdin, err = json.Marshal(conf)
	must(b, err)
	sh(b, `ip netns add %s; ip netns exec %[1]s sh -ec '
		ip link add up0 type veth peer name up1; ip link set lo up; ip link set up0 up; ip link set up1 up
		ip address add 10.99.0.1/16 dev up0; ip address add fc00::1/64 dev up0 nodad'`, p.node)
	return p
}

// on runs f on a thread in the plugin's node: what it starts is there too.
func (p *plugin) on(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends here
		fd, err := unix.Open("/run/netns/"+p.node, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = errors.Join(unix.Setns(fd, unix.CLONE_NEWNET), unix.Close(fd))
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// call runs a verb for a pod as a process, and gives how long it took.
func (p *plugin) call(verb, pod string) (took time.Duration, err error) {
	cmd := exec.Command(p.program)
	cmd.Env = append([]string{
		"CNI_COMMAND=" + verb, "CNI_CONTAINERID=" + pod, "CNI_NETNS=/run/netns/" + pod, "CNI_IFNAME=eth0",
	}, p.env...)
	cmd.Stdin = bytes.NewReader(p.stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	took = timed(func() { err = cmd.Run() })
	if err != nil {
		err = fmt.Errorf("%s %s %s: %w\n%s", p.name, verb, pod, err, out.Bytes())
	}
	return took, err
}

// times are those of many calls.
type times struct {
	mu       sync.Mutex
	add, del []time.Duration
}

func (t *times) note(add, del time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add, t.del = append(t.add, add), append(t.del, del)
}

// cycle is one ADD and one DEL of each of the pods, all at once.
func (p *plugin) cycle(b *testing.B, t *times, pods []string) {
	b.Helper()
	var wg sync.WaitGroup
	for _, pod := range pods {
		wg.Go(func() {
			err := p.on(func() error {
				add, err := p.call("ADD", pod)
				if err != nil {
					return err
				}
				del, err := p.call("DEL", pod)
				t.note(add, del)
				return err
			})
			if err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// podNamespaces makes n of them, each with the name of its pod.
func podNamespaces(b *testing.B, prefix string, n int) []string {
	b.Helper()
	names := make([]string, n)
	var batch strings.Builder
	for i := range names {
		names[i] = fmt.Sprintf("%s%d", prefix, i)
		fmt.Fprintf(&batch, "netns add %s\n", names[i])
	}
	sh(b, "ip -batch %s", file(b, prefix, batch.String()))
	return names
}

// fill gives the plugin's node n endpoints.
func (p *plugin) fill(b *testing.B, n int) {
	b.Helper()
	pods := podNamespaces(b, p.name, n)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			if err := p.on(func() error {
				for j := i; j < n; j += 4 {
					if _, err := p.call("ADD", pods[j]); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
}

// BenchmarkCNI measures ADD and DEL, alone and 16 at once, on an empty node and on
// one that has 1,000 endpoints.
func BenchmarkCNI(b *testing.B) {
	ours, theirs := cniPlugins(b)
	pods := podNamespaces(b, "pod", 16)
	const peer = "ptp + host-local"
	empty := map[string]time.Duration{}
	for _, existing := range []int{0, 1000} {
		if existing > 0 {
			ours.fill(b, existing)
			theirs.fill(b, existing)
		}
		for _, c := range []struct {
			name   string
			pods   []string
			rounds int
		}{{"alone", pods[:1], 41}, {"16 at once", pods, 6}} {
			var us, them times
			for range c.rounds { // in turn: a machine whose speed drifts is fair to both
				ours.cycle(b, &us, c.pods)
				theirs.cycle(b, &them, c.pods)
			}
			for _, r := range []struct {
				verb, aim    string
				ours, theirs []time.Duration
			}{{"ADD", "0.4", us.add, them.add}, {"DEL", "1", us.del, them.del}} {
				what := fmt.Sprintf("CNI %s, %s", r.verb, c.name)
				at := fmt.Sprintf("%s, %d endpoints there", what, existing)
				took := median(r.ours)
				results.add(row{what: at, peer: peer, ours: took, theirs: median(r.theirs), aim: r.aim})
				if existing == 0 {
					empty[what] = took
				} else {
					results.add(row{what: at + ", beside none", peer: "none there", ours: took, theirs: empty[what], aim: "1"})
				}
			}
		}
	}
	byLibcni(b, ours, theirs, pods[0])
}

// byLibcni measures as a container runtime sees it: with the library's own work.
func byLibcni(b *testing.B, ours, theirs *plugin, pod string) {
	b.Helper()
	got := map[*plugin]*times{ours: {}, theirs: {}}
	for range 31 {
		for _, p := range []*plugin{ours, theirs} {
			must(b, p.on(func() error {
				args := &libcni.RuntimeConf{ContainerID: pod, NetNS: "/run/netns/" + pod, IfName: "eth0"}
				var err, delErr error
				add := timed(func() { _, err = p.runtime.AddNetworkList(ctx, p.list, args) })
				del := timed(func() { delErr = p.runtime.DelNetworkList(ctx, p.list, args) })
				got[p].note(add, del)
				return errors.Join(err, delErr)
			}))
		}
	}
	const there = " by libcni, 1000 endpoints there"
	results.add(row{what: "CNI ADD" + there, peer: "ptp + host-local", ours: median(got[ours].add), theirs: median(got[theirs].add), aim: "0.4"})
	results.add(row{what: "CNI DEL" + there, peer: "ptp + host-local", ours: median(got[ours].del), theirs: median(got[theirs].del), aim: "1"})
}
