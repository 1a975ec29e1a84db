package bgp

import (
	"net/netip"
	"time"
)

// Session is a session as it is now.
type Session struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
	// Prefix is set where the peer is a dynamic neighbour: the prefix of its BGPPeer.
	Prefix   netip.Prefix `json:"prefix,omitzero"`
	ASN      uint32       `json:"asn"`
	State    string       `json:"state"` // idle, connect, active, opensent, openconfirm, established
	RouterID string       `json:"routerID,omitempty"`
	// Since is when it came into State, or left established.
	Since time.Time `json:"since"`
	// Restarting says that the peer restarts gracefully: its routes are kept.
	Restarting bool `json:"restarting,omitempty"`
	// Families have one entry for each family that is configured.
	Families []SessionFamily `json:"families"`
	// LastError is why the session ended last or does not come up, in words.
	LastError string    `json:"lastError,omitempty"`
	ErrorAt   time.Time `json:"errorAt,omitzero"`
}

// SessionFamily counts the prefixes of one family.
type SessionFamily struct {
	Family   string `json:"family"` // ipv4, ipv6
	Received uint64 `json:"received"`
	Accepted uint64 `json:"accepted"`
	Sent     uint64 `json:"sent"`
	EndOfRIB bool   `json:"endOfRIB"` // the peer has sent all that it has
}

// Established is the state of a session that carries routes.
const Established = "established"
