package agent

import (
	"fmt"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// netlinkDrops are the messages that the kernel could not deliver to this process's
// netlink sockets. The agent reads everything anew after that, so nothing is lost
// but time; many of them say that the node is too busy, or the buffers too small.
type netlinkDrops struct{}

var netlinkDropsDesc = prometheus.NewDesc("plumb_netlink_drops_total",
	"Netlink messages that did not fit into the agent's sockets, by protocol (route, netfilter).", []string{"protocol"}, nil)

// Describe is the interface's.
func (netlinkDrops) Describe(out chan<- *prometheus.Desc) { out <- netlinkDropsDesc }

// Collect gives the kernel's own counts (sk_drops, net/netlink/af_netlink.c).
func (netlinkDrops) Collect(out chan<- prometheus.Metric) {
	table, err := os.ReadFile("/proc/self/net/netlink")
	if err != nil {
		return
	}
	for protocol, n := range countDrops(string(table), ownSockets()) {
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

// countDrops adds up the column Drops of /proc/net/netlink for the sockets with
// these inodes, by protocol.
func countDrops(table string, inodes map[string]bool) map[string]int {
	drops := map[string]int{"route": 0, "netfilter": 0}
	names := map[int]string{0: "route", 12: "netfilter"} // NETLINK_ROUTE, NETLINK_NETFILTER
	for line := range strings.Lines(table) {
		var socket, pid, groups, inode string
		var protocol, rmem, wmem, dump, locks, dropped int
		_, err := fmt.Sscan(line, &socket, &protocol, &pid, &groups, &rmem, &wmem, &dump, &locks, &dropped, &inode)
		if name := names[protocol]; err == nil && name != "" && inodes[inode] { // the first line has the columns' names
			drops[name] += dropped
		}
	}
	return drops
}
