package conformance

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// holds is all that plumb has on the node, a line each, sorted: links, routes,
// endpoint records, addresses in use, attachments in the journal. Temporary files
// that somebody forgot are among them.
func (n *node) holds() []string {
	n.t.Helper()
	var list []string
	for line := range strings.Lines(n.sh("ip -br link")) {
		if strings.HasPrefix(line, "plb") {
			name, _, _ := strings.Cut(strings.Fields(line)[0], "@")
			list = append(list, "link "+name)
		}
	}
	for line := range strings.Lines(n.sh("ip -4 route show table all proto 112; ip -6 route show table all proto 112")) {
		list = append(list, "route "+strings.TrimSpace(line))
	}
	for _, kind := range []struct{ dir, what string }{
		{"endpoints", "record"}, {"addresses", "address"}, {"attachments", "attachment"},
	} {
		files, err := os.ReadDir(filepath.Join(n.stateDir, kind.dir))
		if err != nil && !os.IsNotExist(err) {
			n.t.Fatal(err)
		}
		for _, f := range files {
			name := f.Name()
			if kind.dir == "addresses" && (name == "lock" || strings.HasPrefix(name, "last_reserved_ip.")) {
				continue // of the allocator, for all its life
			}
			if unescaped, err := url.PathUnescape(name); err == nil {
				name = unescaped
			}
			list = append(list, kind.what+" "+strings.TrimSuffix(name, ".json"))
		}
	}
	slices.Sort(list)
	return list
}

// only gives the lines of holds that are of a kind.
func only(kind string, lines []string) []string {
	var list []string
	for _, l := range lines {
		if rest, ok := strings.CutPrefix(l, kind+" "); ok {
			list = append(list, rest)
		}
	}
	return list
}

// clean wants nothing of plumb's left on the node.
func (n *node) clean(after string) {
	n.t.Helper()
	if left := n.holds(); len(left) > 0 {
		n.t.Errorf("left after %s:\n%s", after, strings.Join(left, "\n"))
	}
}

// same wants the node to hold what it held before.
func (n *node) same(before []string, after string) {
	n.t.Helper()
	if now := n.holds(); !slices.Equal(now, before) {
		n.t.Errorf("after %s the node holds\n%s\nbefore:\n%s", after, strings.Join(now, "\n"), strings.Join(before, "\n"))
	}
}
