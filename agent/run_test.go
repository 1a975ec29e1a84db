package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
)

const small = `apiVersion: plumb/v1
pools: [{cidr: 10.244.0.0/16, natOutgoing: true}]
nodes:
  - {name: n0, addresses: [192.0.2.1/24], podCIDRs: [10.244.1.0/24]}
`

// logged is a log that can be read while it is written.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs an agent in the test's namespace, until the test ends.
func start(t *testing.T, o Options) *logged {
	t.Helper()
	log := &logged{}
	o.Node, o.Log = "n0", slog.New(slog.NewTextHandler(log, nil))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- Run(ctx, o) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the agent ended with %v", err)
		}
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return log
}

func options(t *testing.T, text string) Options {
	t.Helper()
	dir := t.TempDir()
	o := Options{File: filepath.Join(dir, "plumb.yaml"), StateDir: filepath.Join(dir, "state"), Socket: filepath.Join(dir, "s", "plumb.sock")}
	if text != "" {
		write(t, o.File, text)
	}
	return o
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func soon(t *testing.T, what string, so func() bool) {
	t.Helper()
	for range 2000 {
		if so() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("not within 10 s: %s", what)
}

func get(t *testing.T, path string) (int, string) {
	t.Helper()
	r, err := http.Get("http://127.0.0.1:9178" + path)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func TestHealthReadinessMetricsAndStatus(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		o := options(t, "")
		o.HTTP, o.Version = "127.0.0.1:9178", "v1.2.3"
		start(t, o)
		soon(t, "it lives without a state file", func() bool { code, _ := get(t, "/healthz"); return code == 200 })
		if code, text := get(t, "/readyz"); code != 503 || !strings.Contains(text, "not converged yet") {
			t.Errorf("without a state file it is ready: %d %s", code, text)
		}
		write(t, o.File, small)
		soon(t, "it is ready", func() bool { code, _ := get(t, "/readyz"); return code == 200 })

		_, text := get(t, "/metrics")
		for _, line := range []string{
			"plumb_file_valid 1", `plumb_build_info{version="v1.2.3"} 1`, `plumb_objects{kind="route",state="had"} 1`,
			`plumb_changes_total{action="add",cause="wanted",kind="route"} 1`, "plumb_turns_total", "plumb_turn_seconds_count",
			`plumb_objects{kind="route",state="pending"} 0`, "plumb_converged 1", "plumb_ready 1", "plumb_conflicts 0",
			"plumb_failing 0", "plumb_last_converged_timestamp_seconds 1.", "plumb_file_loaded_timestamp_seconds 1.", "plumb_file_errors 0",
			`plumb_netlink_drops_total{protocol="route"} 0`, `plumb_netlink_drops_total{protocol="netfilter"} 0`,
			`plumb_changes_total{action="delete",cause="drift",kind="element"} 0`, `plumb_changes_total{action="add",cause="drift",kind="route"} 0`,
			`plumb_change_failures_total{kind="route"} 0`, `plumb_turns_total{read="all"} `,
			`plumb_file_loads_total{result="valid"} 1`, "plumb_endpoints 0", "go_goroutines", "process_resident_memory_bytes",
		} {
			if !strings.Contains(text, line) {
				t.Errorf("no %s in the metrics", line)
			}
		}
		_, text = get(t, "/status")
		var s Status
		if err := json.Unmarshal([]byte(text), &s); err != nil || !s.Converged || s.Node != "n0" || s.File.Hash == "" {
			t.Errorf("status: %v\n%s", err, text)
		}

		nstest.Sh(t, "ip route del blackhole 10.244.1.0/24")
		soon(t, "the repair is counted", func() bool {
			_, text := get(t, "/metrics")
			return strings.Contains(text, `plumb_changes_total{action="add",cause="drift",kind="route"} 1`)
		})
		write(t, o.File, "nonsense")
		soon(t, "the invalid file is counted", func() bool {
			_, text := get(t, "/metrics")
			return strings.Contains(text, "plumb_file_valid 0") && strings.Contains(text, "plumb_file_errors 1") && strings.Contains(text, "plumb_file_last_error_timestamp_seconds 1.") && strings.Contains(text, `plumb_file_loads_total{result="invalid"} 2`) // there was none at first
		})
		if code, _ := get(t, "/readyz"); code != 200 {
			t.Error("a node that works from the last good state is ready still")
		}
		if info, err := os.Stat(o.Socket); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the socket: %v, %v", info, err)
		}
	})
}

// Neither a port that is taken nor an address that comes late, as at boot, keeps the
// agent from its work; it answers when it can.
func TestHTTPWaitsForItsAddress(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "ip address flush dev lo")
		o := options(t, small)
		o.HTTP = "127.0.0.1:9178"
		log := start(t, o)
		said := func(text string) int { return strings.Count(log.String(), text) }
		soon(t, "it converges", func() bool { return strings.Contains(nstest.Sh(t, "ip route"), "blackhole 10.244.1.0/24") })
		soon(t, "it says why, and the mend", func() bool { return said("cannot assign requested address") == 1 && said("--http") == 1 })

		// The address comes, and another program has the port.
		l, err := net.Listen("tcp", "0.0.0.0:9178")
		if err != nil {
			t.Fatal(err)
		}
		nstest.Sh(t, "ip address add 127.0.0.1/8 dev lo")
		soon(t, "it says so", func() bool { return said("address already in use") == 1 })
		l.Close()
		soon(t, "it answers", func() bool { code, _ := get(t, "/healthz"); return code == 200 })
		if n, up := said("no health and metrics"), said("health and metrics over HTTP, now"); n != 2 || up != 1 {
			t.Errorf("it says %d times that it cannot, and %d times that it can", n, up)
		}
	})
}

// Who asks why a node is not ready hears what is in the way.
func TestReadinessNamesWhatIsInTheWay(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "ip route add unreachable 10.244.1.0/24 proto 99; ip route add unreachable 10.244.2.0/24 proto 99")
		o := options(t, "apiVersion: plumb/v1\nnode: []\nnat: 1\n")
		o.HTTP = "127.0.0.1:9178"
		start(t, o)
		says := func(text string) {
			t.Helper()
			soon(t, "not ready: "+text, func() bool {
				code, got := get(t, "/readyz")
				return code == 503 && strings.Contains(got, text)
			})
		}
		says(`not converged yet: no valid state file: ` + o.File + `:2:1: unknown field "node"`)
		says("; and 1 more")
		write(t, o.File, strings.Replace(small, "[10.244.1.0/24]", "[10.244.1.0/24, 10.244.2.0/24]", 1))
		says("not converged yet: route 10.244.1.0/24")
		says("(plumb.yaml:4) is in conflict: ")
		says("; and 1 more, see plumb status")
		nstest.Sh(t, "ip route del 10.244.1.0/24 proto 99")
		says("not converged yet: route 10.244.2.0/24")
		nstest.Sh(t, "ip route del 10.244.2.0/24 proto 99")
		soon(t, "it is ready", func() bool { code, _ := get(t, "/readyz"); return code == 200 })
	})
}

func TestAFullDiskDoesNotKeepTheAgentFromItsWork(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		o := options(t, small)
		nstest.Sh(t, fmt.Sprintf("mount --make-rprivate /; mkdir %[1]s; mount -t tmpfs -o size=64k tmpfs %[1]s; touch %[1]s/lock; head -c 100k /dev/zero >%[1]s/full 2>/dev/null || true", o.StateDir))
		t.Cleanup(func() { nstest.Sh(t, "umount "+o.StateDir) }) // after the agent's end
		log := start(t, o)
		soon(t, "it converges", func() bool {
			text := nstest.Sh(t, "ip route; nft list ruleset; cat /proc/sys/net/ipv4/ip_forward")
			return strings.Contains(text, "blackhole 10.244.1.0/24") && strings.Contains(text, "masq4") && strings.HasSuffix(text, "1")
		})
		soon(t, "it says so", func() bool { return strings.Contains(log.String(), "no space left on device") })
	})
}

func TestEndpointsWaitForTheirInterfaces(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		o := options(t, small+"endpoints: [{name: vm, node: n0, interface: tap0, addresses: [10.244.1.9]}]\n")
		o.HTTP = "127.0.0.1:9178"
		log := start(t, o)
		soon(t, "the status tells", func() bool {
			_, text := get(t, "/status")
			return strings.Contains(text, "interface tap0 does not exist") && strings.Contains(text, `"converged":false`)
		})
		soon(t, "the log tells", func() bool { return strings.Contains(log.String(), "endpoint waits") })
		nstest.Sh(t, "ip link add tap0 type veth peer name vm0; ip link set vm0 up; ip link set tap0 up")
		soon(t, "the route comes", func() bool { return strings.Contains(nstest.Sh(t, "ip route"), "10.244.1.9 dev tap0") })
		nstest.Sh(t, "ip link set tap0 name tap1")
		soon(t, "a renamed interface is another", func() bool {
			_, text := get(t, "/status")
			return !strings.Contains(nstest.Sh(t, "ip route"), "10.244.1.9") && strings.Contains(text, "interface tap0 does not exist")
		})
	})
}

// Endpoints that wait are told from what else does: here, routes of before a restart,
// for a peer that does not come.
func TestWhatIsPendingIsCountedByKind(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "ip route add unreachable 10.244.9.0/24 proto 113") // learned before
		o := options(t, small+"bgp: {asn: 64512, peers: [{name: tor, address: 192.0.2.9, asn: 64496}]}\n")
		o.HTTP = "127.0.0.1:9178"
		start(t, o)
		counts := func(lines ...string) func() bool {
			return func() bool {
				_, text := get(t, "/metrics")
				return !slices.ContainsFunc(lines, func(l string) bool { return !strings.Contains(text, l+"\n") })
			}
		}
		soon(t, "the restart is pending, and no endpoint", counts("plumb_endpoints_pending 0",
			`plumb_pending{kind="bgp-restart"} 1`, `plumb_pending{kind="endpoint"} 0`, `plumb_pending{kind="tunnels"} 0`,
			`plumb_pending{kind="learned-route"} 0`, `plumb_pending{kind="bgp-reset"} 0`))
		write(t, o.File, small+"endpoints: [{name: vm, node: n0, interface: tap0, addresses: [10.244.1.9]}]\n")
		soon(t, "an endpoint is pending, and no restart", counts("plumb_endpoints_pending 1",
			`plumb_pending{kind="bgp-restart"} 0`, `plumb_pending{kind="endpoint"} 1`))
	})
}

func TestAReadOnlyStateDirectoryDoesNotKeepTheAgentFromItsWork(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		o := options(t, small)
		nstest.Sh(t, fmt.Sprintf("mount --make-rprivate /; mkdir %[1]s; mount -t tmpfs -o ro tmpfs %[1]s", o.StateDir))
		t.Cleanup(func() { nstest.Sh(t, "umount "+o.StateDir) }) // after the agent's end
		log := start(t, o)
		soon(t, "it converges", func() bool { return strings.Contains(nstest.Sh(t, "ip route"), "blackhole 10.244.1.0/24") })
		soon(t, "it says so", func() bool { return strings.Contains(log.String(), "read-only file system") })
		if _, err := Lock(t.TempDir(), "another"); err == nil || !strings.Contains(err.Error(), "another plumb (process ") {
			t.Errorf("without the file nothing keeps a second plumb away: %v", err)
		}
	})
}
