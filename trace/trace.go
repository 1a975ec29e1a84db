// Package trace follows one packet through the cluster, from what each node's kernel
// answers, and says whether it arrives, or which hop drops it and what mends that.
// It is pure: it asks through a function that it is given, and judges the answers.
package trace

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/plumbnet/plumb/state/desired"
	"github.com/plumbnet/plumb/trace/facts"
)

// Outcome is what becomes of a packet.
type Outcome string

// The outcomes. Of these, Dropped and Unanswered are bad.
const (
	Delivered  Outcome = "delivered"  // to a pod, another endpoint, or a node
	Left       Outcome = "left"       // to a destination outside, by a gateway of which plumb knows nothing
	Dropped    Outcome = "dropped"    // on a node, or lost on a wire
	Unanswered Outcome = "unanswered" // delivered, but the answer to it is dropped
)

// Trace is a packet's way.
type Trace struct {
	From     string       `json:"from"`
	To       string       `json:"to"`
	Packet   facts.Packet `json:"packet"`  // as it was sent
	Arrives  facts.Packet `json:"arrives"` // as it is at its end: its source may be translated
	Hops     []Hop        `json:"hops"`
	Outcome  Outcome      `json:"outcome"`
	Summary  string       `json:"summary"`
	Fault    *Fault       `json:"fault,omitempty"`
	Warnings []string     `json:"warnings,omitempty"`
	Routers  []netip.Addr `json:"routers,omitempty"` // between nodes: what they do is not known
	// Answer is the way back, where the packet arrives at something of the cluster.
	Answer *Trace `json:"answer,omitempty"`
	Probe  *Probe `json:"probe,omitempty"` // a real packet, where one was sent
}

// OK says that nothing is wrong.
func (t *Trace) OK() bool { return t.Outcome == Delivered || t.Outcome == Left }

// Hop is a pod or a node on the way.
type Hop struct {
	Place string      `json:"place"` // "pod default/web-1", "node worker1"
	Steps []Step      `json:"steps"`
	Facts *facts.Node `json:"facts,omitempty"` // what the node answered
}

// Step is a thing that the packet meets.
type Step struct {
	Name   string `json:"name"` // route, neighbour, prerouting …
	Text   string `json:"text"`
	Origin string `json:"origin,omitempty"` // the line of the file, the endpoint, the BGP peer
	Mark   Mark   `json:"mark,omitempty"`
}

// Mark says what a step means.
type Mark string

// A step without a mark is as it should be.
const (
	Odd Mark = "odd" // works, but not as plumb wants it
	Bad Mark = "bad" // the packet ends here
)

// Fault is why a packet does not arrive.
type Fault struct {
	Place string `json:"place"` // the hop
	Why   string `json:"why"`
	Mend  string `json:"mend"`
}

// Start is where a packet starts: in an endpoint of a node, or on the node itself.
type Start struct {
	Node     string
	Endpoint string // its ID; empty: the node itself
	Name     string // of the endpoint or node, as it is printed
}

// Ask asks a node what it does with a packet. An error that wraps ErrUnreachable
// says that the node cannot be asked; then the file answers.
type Ask func(ctx context.Context, node string, q facts.Question) (*facts.Node, error)

// ErrUnreachable says that a node cannot be asked.
var ErrUnreachable = errors.New("cannot be asked")

// limit bounds the hops; a packet itself ends after 64 (its TTL).
const limit = 32

// Follow follows a packet, and the answer to it.
func Follow(ctx context.Context, f *desired.File, from Start, to string, p facts.Packet, ask Ask) (*Trace, error) {
	w := &walker{ctx: ctx, file: f, ask: ask, seen: map[string]bool{}, t: &Trace{From: from.Name, To: to, Packet: p, Hops: []Hop{}}}
	end, err := w.follow(from, p)
	if err != nil {
		return nil, err
	}
	t := w.t
	if end == nil || t.Outcome != Delivered || w.translated {
		return t, nil
	}
	back := &walker{ctx: ctx, file: f, ask: ask, seen: map[string]bool{}, answer: true, t: &Trace{From: to, To: from.Name, Hops: []Hop{}}}
	back.t.Packet = t.Arrives.Back()
	if _, err = back.follow(*end, back.t.Packet); err != nil {
		return nil, err
	}
	t.Answer = back.t
	if back.t.OK() {
		t.Summary += "; the answer comes back" + back.t.ifRouters()
		t.Warnings = append(t.Warnings, back.t.Warnings...)
		return t, nil
	}
	t.Outcome, t.Fault = Unanswered, back.t.Fault
	t.Summary = "the packet arrives, but its answer is dropped " + at(back.t.Fault.Place) + ": " + back.t.Fault.Why
	return t, nil
}

// ifRouters is what a summary leaves open: the nodes can be asked, and no router.
func (t *Trace) ifRouters() string {
	switch len(t.Routers) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf(", if router %s passes it on", t.Routers[0])
	}
	return ", if routers " + t.routers() + " pass it on"
}

func (t *Trace) routers() string {
	var names []string
	for _, r := range t.Routers {
		names = append(names, r.String())
	}
	return strings.Join(names, " and ")
}

func at(place string) string { return "at " + place }
