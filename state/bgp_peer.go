package state

import (
	"net/netip"
	"strconv"
	"strings"
)

// BGPPeer is a session with one peer, or, where Prefix is set in place of
// Address, what is offered to whoever calls from that prefix (a dynamic
// neighbour). Everything about it is here but its filters' rules.
type BGPPeer struct {
	Name    string       `json:"name"` // of the peer in the state file, or of the node
	Address netip.Addr   `json:"address,omitzero"`
	Prefix  netip.Prefix `json:"prefix,omitzero"`
	ASN     uint32       `json:"asn"`
	// LocalASN is what this node calls itself on this session; 0: the speaker's.
	LocalASN uint32     `json:"localASN,omitempty"`
	Port     uint16     `json:"port,omitempty"`  // the peer's; 0: 179
	Source   netip.Addr `json:"source,omitzero"` // of the connection
	Passive  bool       `json:"passive,omitempty"`
	// TTL is that of packets to an external peer; 0: 1. MinTTL is the least that
	// a packet from the peer must have (RFC 5082); with it TTL is 0, and what is
	// sent has 255.
	TTL    uint8 `json:"ttl,omitempty"`
	MinTTL uint8 `json:"minTTL,omitempty"`
	// PasswordFile is where the password is (RFC 2385), and PasswordID what tells
	// one password from another without telling it.
	PasswordFile string `json:"passwordFile,omitempty"`
	PasswordID   string `json:"passwordID,omitempty"`
	// ClusterID makes the peer a client of this reflector (RFC 4456).
	ClusterID netip.Addr `json:"clusterID,omitzero"`
	// NextHopSelf puts this node into the next hop of what it learned elsewhere.
	NextHopSelf bool `json:"nextHopSelf,omitempty"`
	// NextHop4 and NextHop6 are this node's addresses as a next hop; not valid:
	// the session's own address. A session of the other family needs them.
	NextHop4 netip.Addr `json:"nextHop4,omitzero"`
	NextHop6 netip.Addr `json:"nextHop6,omitzero"`
	// MaxPrefixes is for each family; 0: no limit.
	MaxPrefixes uint32 `json:"maxPrefixes,omitempty"`
	IPv4        bool   `json:"ipv4,omitempty"`
	IPv6        bool   `json:"ipv6,omitempty"`
	// Import and Export name filters, separated by commas, tried in order. Without
	// Import, what lies in the speaker's Pools is accepted; without Export, what
	// this node originates is announced, and with Reflect also what it learned
	// from internal peers.
	Import  string `json:"import,omitempty"`
	Export  string `json:"export,omitempty"`
	Reflect bool   `json:"reflect,omitempty"`
	// HoldTime and RestartTime (RFC 4724) are in seconds.
	HoldTime    uint16 `json:"holdTime"`
	RestartTime uint16 `json:"restartTime"`
}

// Key is the address or the prefix: two sessions with one address cannot both be.
func (p BGPPeer) Key() Key {
	if p.Prefix.IsValid() {
		return Key{KindBGPPeer, p.Prefix.String()}
	}
	return Key{KindBGPPeer, p.Address.String()}
}

// Filters gives the names in Import or Export.
func Filters(names string) []string {
	if names == "" {
		return nil
	}
	return strings.Split(names, ",")
}

// Fields prints the session. The password is named by its file and its ID.
func (p BGPPeer) Fields() []Field {
	f := []Field{{"(name)", p.Name}}
	if p.Address.IsValid() {
		f = append(f, Field{"address", p.Address.String()})
	}
	if p.Prefix.IsValid() {
		f = append(f, Field{"prefix", p.Prefix.String()})
	}
	f = append(f, Field{"asn", decimal(p.ASN)})
	f = appendNumber(f, "local-asn", p.LocalASN)
	f = appendNumber(f, "port", uint32(p.Port))
	f = appendAddr(f, "source", p.Source)
	f = appendFlag(f, "passive", p.Passive)
	f = appendNumber(f, "ttl", uint32(p.TTL))
	f = appendNumber(f, "min-ttl", uint32(p.MinTTL))
	f = appendText(f, "password-file", p.PasswordFile)
	f = appendText(f, "password-id", p.PasswordID)
	f = appendAddr(f, "client-of-cluster", p.ClusterID)
	f = appendFlag(f, "next-hop-self", p.NextHopSelf)
	f = appendAddr(f, "next-hop4", p.NextHop4)
	f = appendAddr(f, "next-hop6", p.NextHop6)
	f = appendNumber(f, "max-prefixes", p.MaxPrefixes)
	f = append(f, Field{"families", strings.Join(p.Families(), ",")})
	f = appendText(f, "import", p.Import)
	f = appendText(f, "export", p.Export)
	f = appendFlag(f, "reflect", p.Reflect)
	return append(f,
		Field{"hold-time", strconv.Itoa(int(p.HoldTime))},
		Field{"restart-time", strconv.Itoa(int(p.RestartTime))})
}

// Families names the families of the session's routes: ipv4, ipv6.
func (p BGPPeer) Families() []string {
	var f []string
	if p.IPv4 {
		f = append(f, "ipv4")
	}
	if p.IPv6 {
		f = append(f, "ipv6")
	}
	return f
}

// Resets says which changes from p to after end the session, so that the routes
// of both sides go and come again, in the words of Fields; none: the change takes
// effect on the living session, or is one that Later names. Name, filters, Reflect,
// NextHopSelf, the next hops and MaxPrefixes never do.
func (p BGPPeer) Resets(after BGPPeer) []string {
	var out []string
	differs := func(name string, d bool) {
		if d {
			out = append(out, name)
		}
	}
	differs("asn", p.ASN != after.ASN)
	differs("local-asn", p.LocalASN != after.LocalASN)
	differs("port", p.port() != after.port() && !(p.Passive && after.Passive))
	differs("source", p.Source != after.Source)
	differs("passive", p.Passive != after.Passive)
	differs("ttl", p.TTL != after.TTL)
	differs("min-ttl", p.MinTTL != after.MinTTL)
	differs("password", p.PasswordID != after.PasswordID)
	differs("client-of-cluster", p.ClusterID != after.ClusterID)
	differs("families", p.IPv4 != after.IPv4 || p.IPv6 != after.IPv6)
	differs("restart-time", (p.RestartTime == 0) != (after.RestartTime == 0)) // a capability
	return out
}

// Later says which changes from p to after count from the next session on, in the
// words of Fields: what both sides told each other when they opened this one.
func (p BGPPeer) Later(after BGPPeer) []string {
	var out []string
	if p.HoldTime != after.HoldTime {
		out = append(out, "hold-time")
	}
	if p.RestartTime != after.RestartTime {
		out = append(out, "restart-time")
	}
	return out
}

// Resets says which changes of the speaker end every session.
func (s BGPSpeaker) Resets(after BGPSpeaker) []string {
	var out []string
	if s.ASN != after.ASN {
		out = append(out, "asn")
	}
	if s.RouterID != after.RouterID {
		out = append(out, "router-id")
	}
	if s.ListenPort != after.ListenPort {
		out = append(out, "listen")
	}
	return out
}

// BGPResets says which fields make the change end sessions; none: no session ends.
func BGPResets(before, after Object) []string {
	switch b := before.(type) {
	case BGPPeer:
		if a, ok := after.(BGPPeer); ok {
			return b.Resets(a)
		}
	case BGPSpeaker:
		if a, ok := after.(BGPSpeaker); ok {
			return b.Resets(a)
		}
	}
	return nil
}

func (p BGPPeer) port() uint16 {
	if p.Port == 0 {
		return 179
	}
	return p.Port
}

func appendNumber(f []Field, name string, n uint32) []Field {
	if n != 0 {
		f = append(f, Field{name, decimal(n)})
	}
	return f
}

func appendAddr(f []Field, name string, a netip.Addr) []Field {
	if a.IsValid() {
		f = append(f, Field{name, a.String()})
	}
	return f
}
