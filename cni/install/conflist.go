package install

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Conf is what goes into the built-in conflist. An empty field is left out of it,
// and the plugin finds its own value.
type Conf struct {
	File     string   // the state file, as the host names it
	Node     string   // the node's name in the state file
	StateDir string   // the state directory, as the host names it
	MTU      int      // of pods' interfaces, in bytes
	Chain    []string // of Chainable, in the order in which they are to run
}

// cniVersion is the version of the CNI specification that the conflist asks its
// plugins for. The plugin knows 1.1.0 too; containerd 1.6, which many nodes still
// run, refuses a result of that version.
const cniVersion = "1.0.0"

// network is the conflist's name. Runtimes keep what they remember of a pod under
// it, so it stays as it is for as long as there are pods.
const network = "plumb"

// Chainable are the plugins that the built-in conflist can run behind plumb-cni:
// published ports (hostPort) and limits of bandwidth, which plumb leaves to those
// who do it already.
func Chainable() []string { return []string{"portmap", "bandwidth"} }

// capabilities are what a runtime is asked to pass to each plugin; see the CNI
// conventions, CONVENTIONS.md of containernetworking/cni.
var capabilities = map[string]string{
	Plugin: "ips", "portmap": "portMappings", "bandwidth": "bandwidth",
}

type list struct {
	CNIVersion string   `json:"cniVersion"`
	Name       string   `json:"name"`
	Plugins    []plugin `json:"plugins"`
}

type plugin struct {
	Type         string          `json:"type"`
	File         string          `json:"file,omitempty"`
	Node         string          `json:"node,omitempty"`
	StateDir     string          `json:"stateDir,omitempty"`
	MTU          int             `json:"mtu,omitempty"`
	Capabilities map[string]bool `json:"capabilities,omitempty"`
}

// Conflist is the built-in conflist.
func (c Conf) Conflist() ([]byte, error) {
	if c.MTU != 0 && (c.MTU < 576 || c.MTU > 65535) {
		return nil, fmt.Errorf("mtu %d: it is a number of bytes, 0 or 576 to 65535", c.MTU)
	}
	l := list{CNIVersion: cniVersion, Name: network}
	l.Plugins = append(l.Plugins, plugin{Type: Plugin, File: c.File, Node: c.Node, StateDir: c.StateDir, MTU: c.MTU})
	for i, name := range c.Chain {
		if !slices.Contains(Chainable(), name) {
			return nil, fmt.Errorf("chain %q: it is of %s; for others give a conflist of your own",
				name, strings.Join(Chainable(), ", "))
		}
		if slices.Contains(c.Chain[:i], name) {
			return nil, fmt.Errorf("chain: %s is there twice", name)
		}
		l.Plugins = append(l.Plugins, plugin{Type: name})
	}
	for i, p := range l.Plugins {
		l.Plugins[i].Capabilities = map[string]bool{capabilities[p.Type]: true}
	}
	b, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("conflist: %w", err)
	}
	return append(b, '\n'), nil
}
