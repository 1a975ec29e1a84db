package runtimes

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// holds lists all that the node has of pods, a line each: links, routes, endpoint
// records, addresses in use, attachments, what the runtime's libcni remembers, flows.
// What the node itself has of plumb (blackholes of its podCIDRs, routes to other
// nodes) is not among it.
func (n *node) holds() []string {
	n.t.Helper()
	var list []string
	for line := range strings.Lines(n.sh("ip -br link")) {
		if strings.HasPrefix(line, "plb") {
			list = append(list, "link "+strings.TrimSpace(line))
		}
	}
	for line := range strings.Lines(n.sh("ip route show table all proto 112; ip -6 route show table all proto 112")) {
		if strings.Contains(line, " dev plb") {
			list = append(list, "route "+strings.TrimSpace(line))
		}
	}
	for _, dir := range []string{n.stateDir + "/endpoints", n.stateDir + "/addresses", n.stateDir + "/attachments", "/var/lib/cni"} {
		list = append(list, n.files(dir)...)
	}
	return append(list, n.flows()...)
}

// files lists the files below a folder, but for those that the allocator of
// addresses keeps for all its life.
func (n *node) files(dir string) []string {
	n.t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "lock" || strings.HasPrefix(d.Name(), "last_reserved_ip.") {
			return err
		}
		list = append(list, "file "+path)
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.t.Fatal(err)
	}
	return list
}

// flows lists the entries of conntrack that have a pod's address.
func (n *node) flows() []string {
	n.t.Helper()
	// The file is of the namespace of who reads it.
	table, err := os.ReadFile("/proc/net/nf_conntrack")
	if err != nil {
		n.t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(string(table)) {
		for _, field := range strings.Fields(line) {
			_, value, _ := strings.Cut(field, "=")
			a, err := netip.ParseAddr(value)
			if err == nil && (pods4.Contains(a) || pods6.Contains(a)) {
				list = append(list, "flow "+strings.TrimSpace(line))
				break
			}
		}
	}
	return list
}

// count counts the lines that begin with a word.
func count(lines []string, word string) int {
	c := 0
	for _, line := range lines {
		if strings.HasPrefix(line, word+" ") {
			c++
		}
	}
	return c
}

// clean wants nothing of pods on the node, nor of plumb's that the agent does not want.
func (n *node) clean() {
	n.t.Helper()
	if left := n.holds(); len(left) > 0 {
		n.t.Errorf("%d left when all pods were removed:\n%s", len(left), strings.Join(left[:min(len(left), 50)], "\n"))
	}
	n.settled()
}

// settled wants a running agent that has converged, and nothing to change.
func (n *node) settled() {
	n.t.Helper()
	n.await("plumb status", func() error { return finish(n.plumbCommand("status")) })
	if err := finish(n.plumbCommand("diff")); err != nil {
		n.t.Error(err)
	}
}
