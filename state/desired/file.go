// Package desired is the desired-state file: its schema, a strict parser that
// reports every error with its place, and its validation. One file (or a
// directory of them) describes the whole cluster; each node finds itself in it.
package desired

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"time"
)

// APIVersion is the one version of the schema.
const APIVersion = "plumb/v1"

// Pos is a place in a state file. File is its name as the user gave it; Line
// and Column count from 1.
type Pos struct {
	File         string
	Line, Column int
}

// String is FILE:LINE without the file's directory, as origins are printed.
func (p Pos) String() string { return fmt.Sprintf("%s:%d", filepath.Base(p.File), p.Line) }

// File is the whole desired state, every default filled in.
type File struct {
	Cluster   string
	Pools     []Pool
	NAT       NAT
	Nodes     []Node
	Endpoints []Endpoint
	BGP       *BGP // nil where the file has no bgp section
	Settings  Settings
}

// CIDR is a prefix and its place in the file.
type CIDR struct {
	Pos    Pos
	Prefix netip.Prefix
}

// Reachability says how a pool's podCIDRs are made known to the other nodes.
type Reachability string

// The ways of reachability.
const (
	Static Reachability = "static"
	ByBGP  Reachability = "bgp"
)

// Encapsulation is the tunnel that a pool's packets take between nodes.
type Encapsulation string

// The encapsulations.
const (
	NoEncapsulation Encapsulation = "none"
	VXLAN           Encapsulation = "vxlan"
	IPIP            Encapsulation = "ipip"
)

// Encapsulate says when the tunnel is used.
type Encapsulate string

// Always, or only where the other node is in another subnet.
const (
	Always      Encapsulate = "always"
	CrossSubnet Encapsulate = "crossSubnet"
)

// Pool is a range of addresses that pods draw from.
type Pool struct {
	Pos           Pos
	CIDR          netip.Prefix
	NATOutgoing   bool
	Reachability  Reachability
	Encapsulation Encapsulation
	Encapsulate   Encapsulate
	VXLAN         VXLANOptions
}

// VXLANOptions are a pool's VXLAN parameters (RFC 7348).
type VXLANOptions struct {
	VNI  uint32 // 1..16777215, default 4096
	Port uint16 // default 4789
}

// NAT says how packets that leave the pools are masqueraded.
type NAT struct {
	Pos         Pos
	Exclude     []CIDR
	FullyRandom bool // default true
	PortRange   PortRange
	Address     netip.Addr // SNAT to this in place of masquerade; not valid: masquerade
	AddressPos  Pos
}

// PortRange is a range of ports, both included; zero where none is set.
type PortRange struct{ First, Last uint16 }

// Node is a node of the cluster.
type Node struct {
	Pos            Pos
	Name           string
	Addresses      []CIDR // with the length of the subnet, not masked
	PodCIDRs       []CIDR
	Labels         map[string]string
	ASN            uint32     // 0: BGP.ASN
	RouterID       netip.Addr // not valid: the first IPv4 address
	RouteReflector *RouteReflector
}

// RouteReflector makes a node reflect routes to the others (RFC 4456).
type RouteReflector struct {
	Pos       Pos
	ClusterID netip.Addr
}

// Endpoint is an endpoint that no CNI plugin makes.
type Endpoint struct {
	Pos       Pos
	Name      string
	Node      string
	Interface string
	Addresses []netip.Addr
}

// BGP is the bgp section.
type BGP struct {
	Pos             Pos
	ASN             uint32
	Mesh            bool
	ListenPort      int           // default 179; -1: never listen
	HoldTime        time.Duration // default 90s
	GracefulRestart GracefulRestart
	MaxPaths        int // default 8
	Peers           []Peer
	Filters         []Filter
	Advertise       []Advertise
}

// GracefulRestart is RFC 4724's.
type GracefulRestart struct {
	RestartTime time.Duration // default 120s
}

// Peer is an external BGP peer.
type Peer struct {
	Pos                  Pos
	Name                 string
	NodeSelector         map[string]string // nil: every node
	Address              netip.Addr        // one of Address and Prefix is valid
	Prefix               netip.Prefix
	ASN                  uint32
	Port                 uint16 // default 179
	PasswordFile         string
	TTLSecurity          bool // RFC 5082: the TTL is at least 256 - max(1, Multihop)
	Multihop             int
	LocalASN             uint32
	SourceAddress        netip.Addr
	Passive              bool
	RouteReflectorClient bool
	NextHopSelf          bool
	MaxPrefixes          int
	Families             []string // ipv4, ipv6; default: both that the node has
	Import, Export       []string // names of filters; nil: the default policy
}

// Filter is a named list of rules.
type Filter struct {
	Pos     Pos
	Name    string
	Rules   []FilterRule
	Default string // accept or reject; default reject
}

// FilterRule acts on the routes that match all that Match names.
type FilterRule struct {
	Pos    Pos
	Match  Match
	Set    SetActions
	Action string // accept, reject, next; default next
}

// Match is what a rule matches; a zero field matches everything.
type Match struct {
	Pos         Pos
	Prefix      netip.Prefix
	MinLength   int // of the prefix; both 0: exactly Prefix
	MaxLength   int
	Communities []string
	ASPath      string
	NextHop     netip.Prefix
	Source      netip.Prefix // the peer that the route came from
}

// SetActions is what a rule changes.
type SetActions struct {
	LocalPref      *uint32
	MED            *uint32
	AddCommunities []string
	PrependAS      int
}

// Advertise is one more prefix to originate.
type Advertise struct {
	Pos          Pos
	CIDR         netip.Prefix
	NodeSelector map[string]string
	Communities  []string
}

// Settings are the node's settings.
type Settings struct {
	Pos            Pos
	MTU            int           // 0: what the uplink and the encapsulation leave
	ResyncInterval time.Duration // default 60s
	RouteTable     uint32        // default 254
}

// Node finds a node by name.
func (f *File) Node(name string) (*Node, bool) {
	for i := range f.Nodes {
		if f.Nodes[i].Name == name {
			return &f.Nodes[i], true
		}
	}
	return nil, false
}
