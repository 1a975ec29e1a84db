package bgp

import (
	"net/netip"
	"time"
)

// Destination is a prefix of the RIB with all its paths, the best first.
type Destination struct {
	Prefix netip.Prefix `json:"prefix"`
	Paths  []RIBPath    `json:"paths"`
}

// RIBPath is a path with its attributes.
type RIBPath struct {
	NextHop netip.Addr `json:"nextHop"`
	// Peer is not valid for what this node originates.
	Peer netip.Addr `json:"peer,omitzero"`
	// Best is set for the best path and those that are used beside it; Why says
	// for the first what it has before the second, and for the others what they
	// lack.
	Best         bool      `json:"best,omitempty"`
	Why          string    `json:"why,omitempty"`
	Stale        bool      `json:"stale,omitempty"` // its peer restarts
	ASPath       []uint32  `json:"asPath"`
	LocalPref    uint32    `json:"localPref"`
	MED          uint32    `json:"med"`
	Origin       string    `json:"origin"` // igp, egp, incomplete
	Communities  []string  `json:"communities,omitempty"`
	OriginatorID string    `json:"originatorID,omitempty"`
	ClusterList  []string  `json:"clusterList,omitempty"`
	Since        time.Time `json:"since"`
}
