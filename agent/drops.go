package agent

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// netlinkDrops are the messages that the kernel could not deliver to this process's
// netlink sockets. The agent reads everything anew after that, so nothing is lost
// but time; many of them say that the node is too busy, or the buffers too small.
//
// The kernel counts by socket, and forgets with it: what was seen of one that is
// closed is kept here, for a counter must not fall.
type netlinkDrops struct {
	mu    sync.Mutex
	seen  map[string]int // by the inodes of the sockets that are open
	total map[string]int // by protocol
}

var netlinkDropsDesc = prometheus.NewDesc("plumb_netlink_drops_total",
	"Netlink messages that did not fit into the agent's sockets, by protocol (route, netfilter).", []string{"protocol"}, nil)

// Describe is the interface's.
func (*netlinkDrops) Describe(out chan<- *prometheus.Desc) { out <- netlinkDropsDesc }

// Collect adds what the kernel's own counts (sk_drops, net/netlink/af_netlink.c) have
// grown by.
func (d *netlinkDrops) Collect(out chan<- prometheus.Metric) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if table, err := os.ReadFile("/proc/self/net/netlink"); err == nil {
		d.add(string(table), ownSockets())
	}
	for protocol, n := range d.total {
		out <- prometheus.MustNewConstMetric(netlinkDropsDesc, prometheus.CounterValue, float64(n), protocol)
	}
}

// ownSockets gives the inodes of this process's sockets.
func ownSockets() map[string]bool {
	const dir = "/proc/self/fd/"
	inodes := map[string]bool{}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		target, _ := os.Readlink(dir + e.Name())
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return inodes
}

// add takes the column Drops of /proc/net/netlink for the sockets with these inodes.
func (d *netlinkDrops) add(table string, inodes map[string]bool) {
	if d.total == nil {
		d.total = map[string]int{"route": 0, "netfilter": 0}
	}
	names := map[int]string{0: "route", 12: "netfilter"} // NETLINK_ROUTE, NETLINK_NETFILTER
	now := map[string]int{}
	for line := range strings.Lines(table) {
		var socket, pid, groups, inode string
		var protocol, rmem, wmem, dump, locks, dropped int
		_, err := fmt.Sscan(line, &socket, &protocol, &pid, &groups, &rmem, &wmem, &dump, &locks, &dropped, &inode)
		name := names[protocol]
		if err != nil || name == "" || !inodes[inode] { // the first line has the columns' names
			continue
		}
		now[inode] = dropped
		if dropped >= d.seen[inode] {
			dropped -= d.seen[inode] // else it is another socket of that inode
		}
		d.total[name] += dropped
	}
	d.seen = now
}
