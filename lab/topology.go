package lab

import (
	"bytes"
	_ "embed" // the default topology
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

//go:embed topologies/route-reflector.yaml
var routeReflector []byte

// Topology says what a lab consists of. Its comments are those of
// topologies/route-reflector.yaml.
type Topology struct {
	Name     string         `yaml:"name"`
	Segments []Segment      `yaml:"segments"`
	Hosts    []TopologyHost `yaml:"hosts"`
	Nodes    []TopologyNode `yaml:"nodes"`
	State    string         `yaml:"state"`

	source []byte // as it was read, for the supervisor
}

// Segment is an Ethernet segment: a bridge in a namespace of its own.
type Segment struct {
	Name string `yaml:"name"`
}

// TopologyHost is a host that runs no agent.
type TopologyHost struct {
	Name      string         `yaml:"name"`
	Segment   string         `yaml:"segment"`
	Addresses []netip.Prefix `yaml:"addresses"`
	Loopback  []netip.Prefix `yaml:"loopback"`
	Gateway   bool           `yaml:"gateway"`
	Also      []Port         `yaml:"also"`   // makes it a router between segments
	Bird      string         `yaml:"bird"`   // configuration of a BIRD that it runs
	GoBGPd    string         `yaml:"gobgpd"` // and of a gobgpd, in TOML
}

// Port is a connection to a segment.
type Port struct {
	Segment   string         `yaml:"segment" json:"segment"`
	Addresses []netip.Prefix `yaml:"addresses" json:"addresses"`
}

// TopologyNode is a node of the state file and its pods.
type TopologyNode struct {
	Name     string   `yaml:"name"`
	Segment  string   `yaml:"segment"`
	Pods     []string `yaml:"pods"`
	AutoPods []string `yaml:"autoPods"` // whose addresses the CNI plugin chooses
	State    string   `yaml:"state"`    // its agent's own state file; none: the lab's
}

// DefaultTopology is the text of the topology that is used where none is given.
func DefaultTopology() []byte { return bytes.Clone(routeReflector) }

// ReadTopology reads and checks a topology file; an empty path is the default one.
func ReadTopology(path string) (Topology, error) {
	if path == "" {
		return ParseTopology("route-reflector.yaml", routeReflector)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Topology{}, fmt.Errorf("topology: %w", err)
	}
	return ParseTopology(path, text)
}

// ParseTopology parses and checks a topology; file is its name in errors.
func ParseTopology(file string, text []byte) (Topology, error) {
	t := Topology{source: bytes.Clone(text)}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&t); err != nil {
		return Topology{}, yamlErrors(file, err)
	}
	// A topology that has no layout could not be brought up.
	errs := t.check()
	if len(errs) == 0 {
		if _, err := t.Layout(); err != nil {
			errs = append(errs, err)
		}
	}
	for i := range errs {
		errs[i] = fmt.Errorf("%s: %w", file, errs[i])
	}
	return t, errors.Join(errs...)
}

// yamlErrors gives the decoder's errors as FILE:LINE: MESSAGE, in the words of
// who writes YAML and not of who decodes it into Go.
func yamlErrors(file string, err error) error {
	lines := []string{strings.TrimPrefix(err.Error(), "yaml: ")}
	var several *yaml.TypeError
	if errors.As(err, &several) {
		lines = several.Errors
	}
	var errs []error
	for _, line := range lines {
		at := file
		if number, text, ok := strings.Cut(strings.TrimPrefix(line, "line "), ": "); ok && strings.HasPrefix(line, "line ") {
			at, line = file+":"+number, text
		}
		line = unknownField.ReplaceAllString(line, "unknown field $1")
		errs = append(errs, fmt.Errorf("%s: %s", at, line))
	}
	return errors.Join(errs...)
}

var unknownField = regexp.MustCompile(`field (\S+) not found in type \S+`)

// Names are files of /run/netns and, on bridges, interfaces (IFNAMSIZ is 16).
var namePattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$`)

func (t *Topology) check() []error {
	var errs []error
	used := map[string]string{}
	name := func(kind, name string) {
		switch {
		case !namePattern.MatchString(name):
			errs = append(errs, fmt.Errorf("%s %q: a name is 1 to 15 lower-case letters, digits and dashes, no dash at either end", kind, name))
		case used[name] != "":
			errs = append(errs, fmt.Errorf("%s %q: there is a %s of this name", kind, name, used[name]))
		}
		used[name] = kind
	}
	segments := map[string]bool{}
	for _, s := range t.Segments {
		name("segment", s.Name)
		segments[s.Name] = true
	}
	on := func(kind, name, segment string) {
		if !segments[segment] {
			errs = append(errs, fmt.Errorf("%s %q: there is no segment %q", kind, name, segment))
		}
	}
	for _, h := range t.Hosts {
		name("host", h.Name)
		on("host", h.Name, h.Segment)
		if len(h.Addresses) == 0 {
			errs = append(errs, fmt.Errorf("host %q: has no addresses", h.Name))
		}
		for _, p := range h.Also {
			on("host", h.Name, p.Segment)
		}
		if h.Bird != "" && h.GoBGPd != "" {
			errs = append(errs, fmt.Errorf("host %q: bird and gobgpd cannot both have the BGP port", h.Name))
		}
	}
	if len(t.Nodes) == 0 {
		errs = append(errs, errors.New("there are no nodes"))
	}
	for _, n := range t.Nodes {
		name("node", n.Name)
		on("node", n.Name, n.Segment)
		for _, p := range slices.Concat(n.Pods, n.AutoPods) {
			name("pod", p)
		}
	}
	return errs
}
