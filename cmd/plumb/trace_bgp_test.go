package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/lab/ns"
)

// Pods' routes by BGP, from a router (BIRD) that knows of n2's podCIDR: the trace says
// peer and AS path; and when the peer is gone, that it is the peer.
func TestTraceOfLearnedRoutes(t *testing.T) {
	t.Parallel()
	nstest.Run(t, func(t *testing.T) {
		file := strings.Replace(tracedState, "nat:\n", `bgp:
  asn: 64512
  mesh: false
  peers:
    - {name: tor, address: 172.18.0.254, asn: 64601, nodeSelector: {rack: r1}}
nat:
`, 1)
		file = strings.Replace(file, "  - name: n1\n", "  - name: n1\n    labels: {rack: r1}\n", 1)
		d := newTraced(t, file)
		for node, way := range map[string]string{"n2": "10.244.1.0/24 via 172.18.0.1", "gw": "10.244.1.0/24 via 172.18.0.1"} {
			d.sh(node, "ip route replace "+way)
		}
		conf := filepath.Join(d.dir, "bird.conf")
		if err := os.WriteFile(conf, []byte(`router id 172.18.0.254;
protocol device {}
protocol direct { ipv4; }
protocol static { ipv4; route 10.244.2.0/24 via 172.18.0.2; }
protocol bgp { local 172.18.0.254 as 64601; neighbor 172.18.0.1 as 64512; ipv4 { import all; export filter { if source = RTS_STATIC then { bgp_path.prepend(64700); accept; } reject; }; next hop keep; }; }
`), 0o644); err != nil {
			t.Fatal(err)
		}
		bird := exec.Command("bird", "-f", "-c", conf, "-s", filepath.Join(d.dir, "bird.ctl"), "-P", filepath.Join(d.dir, "bird.pid"))
		if err := ns.Do("gw", bird.Start); err != nil {
			t.Fatal(err)
		}
		stop := func() { _ = bird.Process.Kill(); _ = bird.Wait() }
		t.Cleanup(stop)
		d.background("n1", "agent", "--http", "")
		d.watch("n2", "n3")
		d.eventually("the route is learned", func() error {
			r, text := d.trace("a1", "b1")
			if !r.OK() || !strings.Contains(strings.Join(strings.Fields(text), " "), "proto plumb-bgp BGP tor (172.18.0.254), AS path 64601 64700") {
				return fmt.Errorf("%s", text)
			}
			return nil
		})
		d.sh("gw", "nft add table ip f; nft 'add chain ip f in { type filter hook input priority 0; }'; nft add rule ip f in tcp dport 179 reject with tcp reset; nft add rule ip f in tcp sport 179 reject with tcp reset")
		stop()
		d.sh("n1", "ip route del 10.244.2.0/24 proto 113 || true")
		d.eventually("the peer is blamed", func() error {
			r, text := d.trace("a1", "b1")
			if r.OK() || !strings.Contains(r.Fault.Why, "and learned none by BGP; peer tor (172.18.0.254) is ") {
				return fmt.Errorf("%s", text)
			}
			t.Log(text)
			return nil
		})
	})
}

// background starts plumb on a node, until the test ends.
func (d *traced) background(node string, args ...string) {
	d.t.Helper()
	cmd := exec.Command(d.plumb, append(args, d.flags(node)...)...)
	if err := ns.Do(node, cmd.Start); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

func (d *traced) eventually(what string, try func() error) {
	d.t.Helper()
	var err error
	for end := time.Now().Add(2 * patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	d.t.Fatalf("%s: not so: %v", what, err)
}
