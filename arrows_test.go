// Package plumb_test keeps what no single package can: which package may import
// which, and what the files outside the packages say.
package plumb_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/plumbnet/plumb"

// A path that ends in /... stands for the package and all below it, as for the
// go command.

// arrow is one line of arrows.
type arrow struct {
	from  string   // the folder
	may   []string // what its packages may import of plumb, besides what lies below each
	tests []string // what its tests may import as well
	why   string
}

// arrows: who may import whom. The first line that a package matches counts.
var arrows = []arrow{
	{from: "state/...", may: []string{"state/..."}, why: "state is the vocabulary; it knows nobody"},
	{from: "render/...", may: []string{"state/...", "render/..."}, why: "render is a pure function of the state"},
	{from: "trace/facts", may: []string{"state/..."}, why: "facts are the words between a node and who asks it"},
	{
		from: "trace/...", may: []string{"state/...", "render/...", "trace/..."},
		why: "trace judges what nodes answer; it asks through a function",
	},
	{
		from: "reconcile/...", may: []string{"state/...", "render/...", "reconcile/..."},
		why: "the engine knows kinds of object only by reconcile.Ops",
	},
	{from: "kernel/nstest", why: "nstest serves the tests of every package"},
	{
		from: "kernel/pod", may: []string{"state/...", "kernel/link/...", "kernel/rtnl/...", "kernel/sysctl"},
		why: "a pod's wiring is made of kinds, and is none",
	},
	{
		from: "kernel/path", may: []string{"state/...", "kernel/rtnl/...", "kernel/route", "trace/facts"},
		why: "a packet's path is asked of the kernel, and kept by nobody",
	},
	{
		from:  "kernel/...",
		may:   []string{"state/...", "kernel/rtnl/...", "kernel/link/...", "trace/facts"}, // the other kinds are of devices
		tests: []string{"kernel/...", "reconcile"},                                        // that it implements reconcile.Ops
		why:   "a kind of kernel object knows neither the engine nor, besides devices, the other kinds",
	},
	{from: "bgp/bgptest", why: "bgptest serves the tests of every package"},
	{
		from: "bgp/...", may: []string{"state/...", "bgp/..."},
		tests: []string{"reconcile", "render"}, // that it implements reconcile.Ops
		why:   "the speaker is a kind like the others",
	},
	{
		from: "cni/...", may: []string{"state/...", "render/...", "reconcile/...", "kernel/...", "cni/..."},
		why: "the CNI plugin is small, and needs no agent",
	},
	{
		from: "agent/...",
		may:  []string{"state/...", "render/...", "reconcile/...", "kernel/...", "bgp/...", "trace/...", "agent/..."},
		why:  "the agent puts the engine and the kinds together",
	},
	{
		from: "lab/...",
		may: []string{
			"state/...", "render/...", "reconcile/...", "kernel/...", "bgp/...", "cni/...", "agent/...", "lab/...",
		},
		why: "the lab runs the real programs, it does not link them",
	},
	{
		from: "cmd/plumb-cni/...",
		may:  []string{"state/...", "render/...", "reconcile/...", "kernel/...", "cni/..."},
		why:  "the CNI plugin is small, and needs no agent",
	},
	{
		from: "cmd/...",
		may: []string{
			"state/...", "render/...", "reconcile/...", "kernel/...", "bgp/...", "cni/...", "agent/...", "lab/...", "trace/...",
		},
		why: "nothing imports another program",
	},
	{
		from: "bench", tests: []string{"state/...", "render/...", "reconcile/...", "kernel/...", "agent/...", "bgp/..."},
		why: "benchmarks measure what there is, and nothing imports them",
	},
	{
		from: "examples/...", tests: []string{"state/...", "kernel/..."},
		why: "tests run the examples with the real programs, and nothing imports them",
	},
	{from: ".", tests: []string{"state/..."}, why: "the root holds tests of the repository, no code"},
}

// testsOnly: what only tests may import.
var testsOnly = []string{"kernel/nstest", "bgp/bgptest", "state/desired/volumetest"}

// owners: modules that belong to one folder, in tests too.
var owners = []struct {
	owned []string
	by    string
	why   string
}{
	{
		owned: []string{
			"github.com/vishvananda/netlink/...", "github.com/vishvananda/netns/...",
			"github.com/google/nftables/...", "github.com/mdlayher/netlink/...",
		},
		by: "kernel/...", why: "only kernel/ talks to the kernel's network",
	},
	{owned: []string{"github.com/osrg/gobgp/..."}, by: "bgp/...", why: "only bgp/ speaks BGP"},
}

// pure: packages that may not import these directly, so that they cannot open
// files or sockets and their results depend on their arguments alone.
var pure = []struct {
	pkg   string
	never []string
}{
	{pkg: "state", never: sideEffects},
	{pkg: "render/...", never: sideEffects},
	{pkg: "reconcile/...", never: sideEffects},
	{pkg: "trace/...", never: sideEffects},
}

var sideEffects = []string{"os", "os/exec", "net", "net/http", "syscall", "golang.org/x/sys/..."}

// unlinked: what must not get into a program, by whatever way.
var unlinked = []struct {
	program string
	never   []string
	why     string
}{
	{
		program: "cmd/plumb-cni",
		never:   []string{"github.com/osrg/gobgp/...", "github.com/prometheus/..."},
		why:     "the CNI plugin starts in milliseconds",
	},
}

// pkg is what `go list -json` says about a package.
type pkg struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
}

func TestArrows(t *testing.T) {
	pkgs := list(t)
	if len(pkgs) == 0 {
		t.Fatal("go list gave no package")
	}
	for _, v := range violations(pkgs) {
		t.Error(v)
	}
}

// Each rule is broken once, so that none is a rule in name only.
func TestArrowsAreKept(t *testing.T) {
	of := func(folder string) string { return module + "/" + folder }
	for _, tc := range []struct {
		name string
		pkg  pkg
		want string // empty: allowed
	}{
		{
			name: "downwards",
			pkg:  pkg{ImportPath: of("render"), Imports: []string{"fmt", "net/netip", of("state"), of("state/desired")}},
		},
		{
			name: "upwards",
			pkg:  pkg{ImportPath: of("state/desired"), Imports: []string{of("render")}},
			want: "state/desired must not import render: state is the vocabulary; it knows nobody",
		},
		{
			name: "sideways",
			pkg:  pkg{ImportPath: of("kernel/route"), Imports: []string{of("kernel/rtnl"), of("kernel/nft")}},
			want: "kernel/route must not import kernel/nft: a kind of kernel object knows neither the engine nor, besides devices, the other kinds",
		},
		{
			name: "sideways in a test",
			pkg:  pkg{ImportPath: of("kernel/route"), XTestImports: []string{of("kernel/link"), of("kernel/nstest")}},
		},
		{
			name: "upwards in a test",
			pkg:  pkg{ImportPath: of("kernel/route"), XTestImports: []string{of("agent")}},
			want: "a test of kernel/route must not import agent: a kind of kernel object knows neither the engine nor, besides devices, the other kinds",
		},
		{
			name: "test helper in a program",
			pkg:  pkg{ImportPath: of("lab"), Imports: []string{of("kernel/nstest")}},
			want: "lab imports kernel/nstest, which is for tests only",
		},
		{
			name: "a program imported",
			pkg:  pkg{ImportPath: of("lab"), Imports: []string{of("cmd/plumb")}},
			want: "lab must not import cmd/plumb: the lab runs the real programs, it does not link them",
		},
		{
			name: "the agent in the CNI plugin",
			pkg:  pkg{ImportPath: of("cmd/plumb-cni"), Imports: []string{of("agent")}},
			want: "cmd/plumb-cni must not import agent: the CNI plugin is small, and needs no agent",
		},
		{
			name: "a library's owner",
			pkg:  pkg{ImportPath: of("kernel/nft"), Imports: []string{"github.com/google/nftables/expr"}},
		},
		{
			name: "another's library",
			pkg:  pkg{ImportPath: of("lab"), TestImports: []string{"github.com/vishvananda/netlink"}},
			want: "lab must not import github.com/vishvananda/netlink: only kernel/ talks to the kernel's network",
		},
		{
			name: "BGP elsewhere",
			pkg:  pkg{ImportPath: of("agent"), Imports: []string{"github.com/osrg/gobgp/v3/pkg/server"}},
			want: "agent must not import github.com/osrg/gobgp/v3/pkg/server: only bgp/ speaks BGP",
		},
		{
			name: "a file read where it is pure",
			pkg:  pkg{ImportPath: of("render/text"), Imports: []string{"os"}},
			want: "render/text must not import os: it is pure, without files and sockets",
		},
		{
			name: "the state file is read in state/desired",
			pkg:  pkg{ImportPath: of("state/desired"), Imports: []string{"os"}},
		},
		{
			name: "a socket where it is pure",
			pkg:  pkg{ImportPath: of("state"), Imports: []string{"golang.org/x/sys/unix"}},
			want: "state must not import golang.org/x/sys/unix: it is pure, without files and sockets",
		},
		{
			name: "linked by a detour",
			pkg:  pkg{ImportPath: of("cmd/plumb-cni"), Deps: []string{"fmt", "github.com/prometheus/client_golang/prometheus"}},
			want: "cmd/plumb-cni must not link github.com/prometheus/client_golang/prometheus: " +
				"the CNI plugin starts in milliseconds (go list -deps, go mod why)",
		},
		{
			name: "a folder without a rule",
			pkg:  pkg{ImportPath: of("util")},
			want: "util: no rule says what it may import: add one to arrows",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := strings.Join(violations([]pkg{tc.pkg}), "\n"); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func list(t *testing.T) []pkg {
	t.Helper()
	noteFiles(t)
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports,Deps", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var pkgs []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		pkgs = append(pkgs, p)
	}
}

// noteFiles reads every folder, so that go test, which cannot see what go list
// reads, does not give a cached result when a file has changed.
func noteFiles(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && (path == "bin" || path != "." && strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// violations gives one line for each import that breaks a rule.
func violations(pkgs []pkg) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, p := range pkgs {
		self := short(p.ImportPath)
		tests := slices.Concat(p.TestImports, p.XTestImports)

		rule := slices.IndexFunc(arrows, func(a arrow) bool { return match(a.from, self) })
		if rule < 0 {
			say("%s: no rule says what it may import: add one to arrows", self)
			continue
		}
		a := arrows[rule]
		for _, imp := range ofPlumb(p.Imports) {
			if matchAny(testsOnly, imp) {
				say("%s imports %s, which is for tests only", self, imp)
			} else if !match(self+"/...", imp) && !matchAny(a.may, imp) {
				say("%s must not import %s: %s", self, imp, a.why)
			}
		}
		for _, imp := range ofPlumb(tests) {
			if !match(self+"/...", imp) && !matchAny(a.may, imp) && !matchAny(a.tests, imp) && !matchAny(testsOnly, imp) {
				say("a test of %s must not import %s: %s", self, imp, a.why)
			}
		}

		for _, o := range owners {
			for _, imp := range slices.Concat(p.Imports, tests) {
				if matchAny(o.owned, imp) && !match(o.by, self) {
					say("%s must not import %s: %s", self, imp, o.why)
				}
			}
		}
		for _, r := range pure {
			for _, imp := range p.Imports {
				if match(r.pkg, self) && matchAny(r.never, imp) {
					say("%s must not import %s: it is pure, without files and sockets", self, imp)
				}
			}
		}
		for _, u := range unlinked {
			for _, dep := range p.Deps {
				if self == u.program && matchAny(u.never, dep) {
					say("%s must not link %s: %s (go list -deps, go mod why)", self, dep, u.why)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// short is an import path of plumb without the module: kernel/route; "." is the
// root.
func short(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

// ofPlumb gives the imports that are packages of plumb, short.
func ofPlumb(imports []string) []string {
	var out []string
	for _, imp := range imports {
		if match(module+"/...", imp) {
			out = append(out, short(imp))
		}
	}
	return out
}

func match(pattern, path string) bool {
	if folder, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == folder || strings.HasPrefix(path, folder+"/")
	}
	return path == pattern
}

func matchAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, path) })
}
