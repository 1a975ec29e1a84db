package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/plumbnet/plumb/bgp/bgptest"
)

// bgpRounds is how often each receiver is measured, in turn with the others; medians
// count.
const bgpRounds = 3

// BenchmarkBGP is the way of a table from a peer, BIRD, to the kernel, with plumb,
// BIRD and FRR as receivers: the time from when the peer has begun to announce to
// the last route, CPU and peak memory; the same for its withdrawal; and one prefix
// that flaps among the others.
func BenchmarkBGP(b *testing.B) {
	plumb := buildPlumb(b)
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				fmt.Printf("%d prefixes      learned  withdrawn        CPU     memory   flap\n", n)
				all := map[string][]received{}
				for range bgpRounds {
					for _, r := range []struct {
						name  string
						start func(*testing.B) []int
					}{
						{"plumb", func(b *testing.B) []int { return receivePlumb(b, plumb) }},
						{"BIRD", receiveBIRD},
						{"FRR", receiveFRR},
					} {
						var got received
						b.Run(r.name, func(b *testing.B) { got = receive(b, n, r.start) })
						fmt.Printf("  %-10s %v\n", r.name, got)
						all[r.name] = append(all[r.name], got)
					}
				}
				us := medians(all["plumb"])
				for _, peer := range []string{"BIRD", "FRR"} {
					them := medians(all[peer])
					results.add(row{what: fmt.Sprintf("%d prefixes learned by BGP", n), peer: peer, ours: us.learned, theirs: them.learned, aim: map[string]string{"BIRD": "0.8", "FRR": "0.6"}[peer]})
					results.add(row{what: fmt.Sprintf("%d prefixes withdrawn", n), peer: peer, ours: us.withdrawn, theirs: them.withdrawn})
					results.add(row{what: fmt.Sprintf("CPU of %d prefixes learned and withdrawn", n), peer: peer, ours: us.cpu, theirs: them.cpu})
					results.add(row{what: fmt.Sprintf("peak memory with %d prefixes", n), peer: peer, ours: us.megabytes(), theirs: them.megabytes(), megabytes: true, aim: map[string]string{"FRR": "1"}[peer]})
					results.add(row{what: fmt.Sprintf("one flap among %d prefixes", n), peer: peer, ours: us.flap, theirs: them.flap, aim: "20 ms"})
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// received is what a receiver did, and took for it.
type received struct {
	learned, withdrawn, cpu, flap, flapCPU time.Duration
	memory                                 int // kB, at its peak
}

func (r received) megabytes() time.Duration { return time.Duration(r.memory / 1024) }

// medians takes each figure for itself.
func medians(list []received) (m received) {
	of := func(pick func(received) time.Duration) time.Duration {
		var all []time.Duration
		for _, r := range list {
			all = append(all, pick(r))
		}
		return median(all)
	}
	m.learned = of(func(r received) time.Duration { return r.learned })
	m.withdrawn = of(func(r received) time.Duration { return r.withdrawn })
	m.cpu = of(func(r received) time.Duration { return r.cpu })
	m.flap = of(func(r received) time.Duration { return r.flap })
	m.flapCPU = of(func(r received) time.Duration { return r.flapCPU })
	m.memory = int(of(func(r received) time.Duration { return time.Duration(r.memory) }))
	return m
}

func (r received) String() string {
	return fmt.Sprintf("%8s %8s %8s %7d MB   %s (%s CPU)", round(r.learned), round(r.withdrawn), round(r.cpu), r.memory/1024, round(r.flap), round(r.flapCPU))
}

const (
	bgpNear, bgpFar = "192.0.2.1", "192.0.2.2"
	flaps           = 11
)

// receive runs a receiver, which gives its processes, beside an announcer.
func receive(b *testing.B, n int, start func(*testing.B) []int) (r received) {
	a := announce(b)
	pids := start(b)
	bgptest.Eventually(b, "the session is up", func() bool { return strings.Contains(a.ctl("show protocols peer"), "Established") })
	var table strings.Builder
	for i := range n - 1 {
		fmt.Fprintf(&table, "route 10.%d.%d.%d/32 blackhole;\n", 1+i>>16, i>>8&255, i&255)
	}
	must(b, os.WriteFile(a.path("table"), []byte(table.String()), 0o600))
	a.ctl("configure") // the protocol that has the table is disabled still
	count := countRoutes(b)
	before := used(pids)
	r.learned = timed(func() { a.ctl("enable many"); a.ctl("enable single"); count.until(b, n) })
	flapBefore := used(pids)
	var flapped []time.Duration
	for i := range flaps {
		verb, want := "disable single", n-1
		if i%2 == 1 {
			verb, want = "enable single", n
		}
		flapped = append(flapped, timed(func() { a.ctl(verb); count.until(b, want) }))
		time.Sleep(20 * time.Millisecond)
	}
	r.flap, r.flapCPU = median(flapped), (used(pids)-flapBefore)/flaps
	r.withdrawn = timed(func() { a.ctl("disable many"); count.until(b, 0) })
	r.cpu = used(pids) - before - r.flapCPU*flaps
	for _, pid := range pids {
		r.memory += peak(pid)
	}
	return r
}

// announcer is a BIRD in a namespace of its own, with a table and one more prefix
// that can be announced and withdrawn.
type announcer struct {
	h   *bgptest.Host
	dir string
}

func (a announcer) path(name string) string { return filepath.Join(a.dir, name) }

func (a announcer) ctl(command string) string {
	out, _ := a.h.Command(append([]string{"birdc", "-s", a.path("ctl")}, strings.Fields(command)...)...).CombinedOutput()
	return string(out)
}

func announce(b *testing.B) announcer {
	links++
	link := fmt.Sprintf("peer%d", links)
	a := announcer{bgptest.NewHost(b, link, []string{bgpNear + "/24"}, []string{bgpFar + "/24"}), b.TempDir()}
	b.Cleanup(func() { sh(b, "ip link del %s", link) })
	must(b, os.WriteFile(a.path("table"), nil, 0o600))
	must(b, os.WriteFile(a.path("conf"), []byte(`router id 192.0.2.2;
protocol device {}
protocol direct { ipv4; }
protocol static single { disabled; ipv4; route 10.250.0.1/32 blackhole; }
protocol static many { disabled; ipv4;
include "`+a.path("table")+`";
}
protocol bgp peer { local 192.0.2.2 as 64513; neighbor 192.0.2.1 as 64512; connect delay time 1; ipv4 { import none; export where source = RTS_STATIC; }; }
`), 0o600))
	cmd := a.h.Command("bird", "-f", "-c", a.path("conf"), "-s", a.path("ctl"), "-P", a.path("pid"))
	must(b, cmd.Start())
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return a
}

var links int // made so far: the kernel takes its time to forget one

// used is the CPU time of processes, with that of their ended threads (proc(5)).
func used(pids []int) (total time.Duration) {
	for _, pid := range pids {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		for _, f := range fields[11:13] {
			ticks, _ := strconv.Atoi(f)
			total += time.Duration(ticks) * (time.Second / 100)
		}
	}
	return total
}

// peak is the most memory that a process had, in kB.
func peak(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	kB, _ := strconv.Atoi(strings.Fields(after + " 0")[0])
	return kB
}

// background runs a program until the benchmark ends.
func background(b *testing.B, args ...string) int {
	b.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	must(b, cmd.Start())
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

func receivePlumb(b *testing.B, plumb string) []int {
	dir := b.TempDir()
	file := filepath.Join(dir, "plumb.yaml")
	must(b, os.WriteFile(file, []byte(`apiVersion: plumb/v1
pools: [{cidr: 10.0.0.0/8}]
nodes: [{name: here, addresses: [192.0.2.1/24]}]
bgp: {asn: 64512, peers: [{name: peer, address: 192.0.2.2, asn: 64513}]}
`), 0o644))
	return []int{background(b, plumb, "agent", "-f", file, "--node", "here", "--state-dir", dir, "--socket", filepath.Join(dir, "s"), "--http", "")}
}

func receiveBIRD(b *testing.B) []int {
	dir := b.TempDir()
	conf := filepath.Join(dir, "conf")
	must(b, os.WriteFile(conf, []byte(`router id 192.0.2.1;
protocol device {}
protocol direct { ipv4; }
protocol kernel { ipv4 { export where source = RTS_BGP; }; }
protocol bgp { local 192.0.2.1 as 64512; neighbor 192.0.2.2 as 64513; connect delay time 1; ipv4 { import all; export none; }; }
`), 0o644))
	return []int{background(b, "bird", "-f", "-c", conf, "-s", filepath.Join(dir, "ctl"), "-P", filepath.Join(dir, "pid"))}
}

func receiveFRR(b *testing.B) []int {
	dir, err := os.MkdirTemp("", "frr") //nolint:usetesting // the user frr must reach it
	must(b, err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	sh(b, "chown frr:frr %s", dir)
	path := func(name string) string { return filepath.Join(dir, name) }
	must(b, os.WriteFile(path("zebra.conf"), []byte("hostname zebra\n"), 0o644))
	must(b, os.WriteFile(path("bgpd.conf"), []byte(`router bgp 64512
 no bgp ebgp-requires-policy
 neighbor 192.0.2.2 remote-as 64513
`), 0o644))
	zebra := background(b, "/usr/lib/frr/zebra", "-f", path("zebra.conf"), "-i", path("zebra.pid"), "-z", path("api"), "--vty_socket", dir, "-u", "frr", "-g", "frr")
	bgptest.Eventually(b, "zebra runs", func() bool { _, err := os.Stat(path("api")); return err == nil })
	bgpd := background(b, "/usr/lib/frr/bgpd", "-f", path("bgpd.conf"), "-i", path("bgpd.pid"), "-z", path("api"), "--vty_socket", dir, "-u", "frr", "-g", "frr")
	return slices.Clip([]int{zebra, bgpd})
}
