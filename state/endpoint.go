package state

import "net/netip"

// Endpoint is something on this node that owns addresses: a pod that the CNI
// plugin wired, or a VM or container that the state file names.
type Endpoint struct {
	// ID is unique on the node: "CONTAINER/IFNAME" for a pod, "file/NAME" for
	// one of the state file.
	ID        string       `json:"id"`
	Name      string       `json:"name"` // default/web-1
	Interface string       `json:"interface"`
	Addresses []netip.Addr `json:"addresses"`
	// Pod's end, as the CNI plugin made it; empty for others.
	Network     string `json:"network,omitempty"` // name of the CNI configuration
	ContainerID string `json:"containerID,omitempty"`
	IfName      string `json:"ifName,omitempty"`
	NetNS       string `json:"netns,omitempty"`
}
