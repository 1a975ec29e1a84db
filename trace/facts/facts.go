// Package facts is the vocabulary of plumb trace: what one node is asked about a
// packet, and what its kernel answers. It is spoken between the command and the
// agents, as JSON.
package facts

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/plumbnet/plumb/state"
)

// Packet is the packet that is followed.
type Packet struct {
	Src     netip.Addr `json:"src,omitzero"` // not valid: what the sender's kernel chooses
	Dst     netip.Addr `json:"dst"`
	Proto   string     `json:"proto"` // icmp (of either family), tcp, udp
	SrcPort uint16     `json:"srcPort,omitempty"`
	DstPort uint16     `json:"dstPort,omitempty"`
	Size    int        `json:"size,omitempty"` // in bytes, with its IP header; 0: small
}

// Check refuses what is no packet: one without a destination, or of two families.
func (p Packet) Check() error {
	switch {
	case !p.Dst.IsValid() || p.Dst.Is4In6() || p.Dst.Zone() != "":
		return fmt.Errorf("%q is no destination of a packet", p.Dst)
	case p.Src.IsValid() && (p.Src.Is4() != p.Dst.Is4() || p.Src.Zone() != ""):
		return fmt.Errorf("%s is no source of a packet to %s", p.Src, p.Dst)
	}
	return nil
}

// Back is the answer to the packet.
func (p Packet) Back() Packet {
	p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
	return p
}

// Question asks a node what it does with a packet that comes to it in one way:
// one of the fields after Packet is set.
type Question struct {
	Packet   Packet     `json:"packet"`
	Endpoint string     `json:"endpoint,omitempty"` // ID of the endpoint of this node that sends it
	Local    bool       `json:"local,omitempty"`    // the node itself sends it
	At       netip.Addr `json:"at,omitzero"`        // it comes over the wire, to the device with this address
	Dev      string     `json:"dev,omitempty"`      // it comes out of this tunnel device
	// Outer is the packet that the tunnel's packet came in, with Dev.
	Outer *Packet `json:"outer,omitempty"`
}

// Node is what a node answers.
type Node struct {
	Node string `json:"node"`
	// NotAsked says why this is not the kernel's answer, but what the state file
	// makes of the node.
	NotAsked string `json:"notAsked,omitempty"`

	Sender    *Endpoint `json:"sender,omitempty"`    // who has the source address here
	SenderPod *Pod      `json:"senderPod,omitempty"` // and its namespace, where the packet starts there
	In        *Device   `json:"in,omitempty"`        // nil: the packet starts on the node

	Lookup Lookup            `json:"lookup"` // where the kernel sends the packet
	Back   Lookup            `json:"back"`   // where it would send one to the source
	Local  bool              `json:"sourceIsLocal,omitempty"`
	Sysctl map[string]string `json:"sysctl"` // by path, those that count here

	Out       *Device    `json:"out,omitempty"`
	Neighbour *Neighbour `json:"neighbour,omitempty"`
	Tunnel    *Tunnel    `json:"tunnel,omitempty"` // where Out is one
	Uplinks   []Device   `json:"uplinks"`          // devices with the node's addresses

	NFT         NFT       `json:"nft"`
	Receiver    *Endpoint `json:"receiver,omitempty"` // who has the destination here
	ReceiverPod *Pod      `json:"receiverPod,omitempty"`
	Want        *Wanted   `json:"want,omitempty"`     // the longest route to the destination that plumb wants
	Sessions    []Session `json:"sessions,omitempty"` // the node's BGP sessions
}

// Endpoint is one of a node's endpoints.
type Endpoint struct {
	state.Endpoint
	State  string `json:"state"` // wired, pending, shadowed
	Why    string `json:"why,omitempty"`
	Origin string `json:"origin"`
}

// Lookup is the kernel's answer to RTM_GETROUTE.
type Lookup struct {
	Text   string          `json:"route,omitempty"` // the route, in the words of ip(8)
	Dst    netip.Prefix    `json:"dst,omitzero"`
	Type   state.RouteType `json:"type,omitempty"`
	Proto  uint8           `json:"protocol,omitempty"`
	Table  uint32          `json:"table,omitempty"`
	Via    state.NextHop   `json:"via,omitzero"`   // of several next hops the one that the kernel takes
	Hops   int             `json:"hops,omitempty"` // how many next hops the route has, where several
	Source netip.Addr      `json:"source,omitzero"`
	MTU    int             `json:"mtu,omitempty"` // of the path, where the kernel knows
	Origin string          `json:"origin,omitempty"`
	BGP    *Learned        `json:"bgp,omitempty"`
	// Error is why there is no route: the name of the errno (ENETUNREACH), and its words.
	Error string `json:"error,omitempty"`
	Words string `json:"words,omitempty"`
	Rule  *Rule  `json:"rule,omitempty"` // that refuses the packet, where no route does
}

// Rule is a policy rule that refuses what it matches (ip-rule(8)).
type Rule struct {
	Priority uint32 `json:"priority"`
	Text     string `json:"rule"` // in the words of ip(8): from 10.244.1.5 prohibit
}

// Learned is where a BGP route comes from.
type Learned struct {
	Peer    string     `json:"peer"`
	Address netip.Addr `json:"address,omitzero"`
	ASPath  []uint32   `json:"asPath"`
	Stale   bool       `json:"stale,omitempty"`
}

// Session is a BGP session of the node.
type Session struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
	State   string     `json:"state"` // established, or why not: idle, active …
	Error   string     `json:"error,omitempty"`
}

// Wanted is a route that plumb wants on a node.
type Wanted struct {
	Route   state.Route `json:"route"`
	Text    string      `json:"text"`
	Origin  string      `json:"origin"`
	Trouble string      `json:"trouble,omitempty"` // why it is not there, where the agent knows
}

// Device is a network device as the kernel has it.
type Device struct {
	Name      string         `json:"name"`
	Kind      string         `json:"kind,omitempty"` // veth, vxlan, ipip, bridge …
	Missing   bool           `json:"missing,omitempty"`
	Up        bool           `json:"up"`
	Carrier   bool           `json:"carrier"`
	MTU       int            `json:"mtu"`
	MAC       string         `json:"mac,omitempty"`
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	VNI       uint32         `json:"vni,omitempty"`
	Port      uint16         `json:"port,omitempty"`
	Local     netip.Addr     `json:"local,omitzero"` // outer source of a tunnel
	Origin    string         `json:"origin,omitempty"`
}

// Has says whether the device has the address.
func (d *Device) Has(a netip.Addr) bool {
	for _, p := range d.Addresses {
		if p.Addr() == a {
			return true
		}
	}
	return false
}

// Neighbour is an entry of the neighbour table (ip-neighbour(8)).
type Neighbour struct {
	Addr  netip.Addr `json:"addr"`
	Dev   string     `json:"dev"`
	MAC   string     `json:"mac,omitempty"`
	State string     `json:"state"`           // REACHABLE, PERMANENT, FAILED …, NONE where there is no entry
	Asked bool       `json:"asked,omitempty"` // the kernel was made to ask for it
}

// Known says whether packets can be sent to the neighbour.
func (n *Neighbour) Known() bool {
	switch n.State {
	case "REACHABLE", "STALE", "DELAY", "PROBE", "PERMANENT", "NOARP":
		return true
	}
	return false
}

// Tunnel is how a packet goes into a tunnel on its node.
type Tunnel struct {
	Outer     Packet     `json:"outer"`         // not valid Dst: no forwarding entry says where to
	MAC       string     `json:"mac,omitempty"` // of the other end, for VXLAN
	Lookup    Lookup     `json:"lookup"`
	Out       *Device    `json:"out,omitempty"`
	Neighbour *Neighbour `json:"neighbour,omitempty"`
}

// Pod is what an endpoint's network namespace answers.
type Pod struct {
	NetNS     string     `json:"netns"`
	Device    *Device    `json:"device,omitempty"`
	Lookup    Lookup     `json:"lookup"`
	Neighbour *Neighbour `json:"neighbour,omitempty"`
	Err       string     `json:"error,omitempty"` // why it could not be looked at
}

// NFT is plumb's nftables table, and who else has chains that packets meet.
type NFT struct {
	Table    bool              `json:"table"` // false: not there, or dormant
	Chains   []state.Chain     `json:"chains"`
	Rules    []state.Rule      `json:"rules"`
	Elements []Element         `json:"elements"`          // those that hold an address of the packet
	Origins  map[string]string `json:"origins,omitempty"` // of rules, by key
	Foreign  []Chain           `json:"foreign,omitempty"`
	Err      string            `json:"error,omitempty"`
}

// Element is an element of one of plumb's sets.
type Element struct {
	state.Element
	Origin string `json:"origin,omitempty"`
}

// Chain is another owner's base chain.
type Chain struct {
	Table    string `json:"table"` // ip filter
	Name     string `json:"name"`
	Type     string `json:"type"` // filter, nat, route
	Hook     string `json:"hook"`
	Priority int32  `json:"priority"`
	Policy   string `json:"policy"`
	Rules    int    `json:"rules"`
}

// Address is the endpoint's address in the family of another.
func (e *Endpoint) Address(like netip.Addr) netip.Addr {
	for _, a := range e.Addresses {
		if a.Is4() == like.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

// Of is the path of a device's parameter: % stands for the device.
func Of(path, dev string) string { return strings.Replace(path, "%", dev, 1) }

// Seen is what a packet met in nftables, as the kernel traced it (meta nftrace).
type Seen struct {
	ID      uint32     `json:"id"` // of the packet in the kernel
	Table   string     `json:"table"`
	Chain   string     `json:"chain"`
	Rule    string     `json:"rule,omitempty"` // in the words of nft(8); what plumb cannot read is in brackets
	Handle  uint64     `json:"handle,omitempty"`
	Type    string     `json:"type"`    // rule, return, policy
	Verdict string     `json:"verdict"` // accept, drop, continue, jump CHAIN …
	In      string     `json:"in,omitempty"`
	Out     string     `json:"out,omitempty"`
	Src     netip.Addr `json:"src,omitzero"`
	Dst     netip.Addr `json:"dst,omitzero"`
}

// Live is a line of what a node says while it watches for a probe.
type Live struct {
	Armed bool   `json:"armed,omitempty"` // from now on it watches
	Seen  *Seen  `json:"seen,omitempty"`
	Err   string `json:"error,omitempty"`
}

// Send asks a node to send a probe: from an endpoint, or from the node itself.
type Send struct {
	Packet   Packet `json:"packet"`
	Endpoint string `json:"endpoint,omitempty"`
}

// Sent is what became of a probe, as its sender sees it.
type Sent struct {
	Answered bool   `json:"answered"`
	Blocked  bool   `json:"blocked,omitempty"` // the sender's own netfilter drops it
	Text     string `json:"text"`              // "echo reply after 0.1 ms", "no answer within 1s"
}
