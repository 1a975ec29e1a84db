package agent

import (
	"cmp"
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/state"
)

// Status is the agent's view of its node, as `plumb status` prints it.
type Status struct {
	Node      string     `json:"node"`
	Cluster   string     `json:"cluster,omitempty"`
	Version   string     `json:"version"`
	PID       int        `json:"pid"`
	Started   time.Time  `json:"started"`
	DryRun    bool       `json:"dryRun,omitempty"`
	File      FileStatus `json:"file"`
	Converged bool       `json:"converged"` // on the current file, with nothing pending or failing
	LastTurn  time.Time  `json:"lastTurn,omitzero"`
	// LastConverged is when there was last nothing left to do.
	LastConverged time.Time            `json:"lastConverged,omitzero"`
	Objects       map[state.Kind]Count `json:"objects"`
	Drift         map[state.Kind]int   `json:"driftRepaired"` // changes by other hands, put back
	Pending       []Pending            `json:"pending"`
	Failing       []Failing            `json:"failing"`
	Conflicts     []Failing            `json:"conflicts"`
	Shadowed      []Shadowed           `json:"shadowed"`
	Warnings      []string             `json:"warnings"`
	Tunnels       []TunnelStatus       `json:"tunnels"`
	Endpoints     []EndpointStatus     `json:"endpoints"`
	BGP           *BGPStatus           `json:"bgp,omitempty"`
}

// Count is the numbers of objects of a kind.
type Count struct {
	Wanted  int `json:"wanted"`
	Had     int `json:"had"`
	Pending int `json:"pending"` // to be changed, and not failing
	Failing int `json:"failing"`
}

// Failing is an object that cannot be made, or a kind that cannot be read.
type Failing struct {
	Object   string    `json:"object"`
	Origin   string    `json:"origin,omitempty"`
	Error    string    `json:"error"`
	Since    time.Time `json:"since,omitzero"`
	Attempts int       `json:"attempts,omitempty"`
	Next     time.Time `json:"nextAttempt,omitzero"`
}

// Shadowed is an object that gave way to one of another origin.
type Shadowed struct {
	Object string `json:"object"`
	Origin string `json:"origin"`
	By     string `json:"by"`
}

// EndpointStatus is an endpoint of the node.
type EndpointStatus struct {
	Namespace   string   `json:"namespace,omitempty"` // of a pod, where the container runtime told it
	Name        string   `json:"name"`                // the pod's; of one that has none, the container's ID
	ID          string   `json:"id"`
	ContainerID string   `json:"containerID,omitempty"`
	Interface   string   `json:"interface"`
	Addresses   []string `json:"addresses"`
	Origin      string   `json:"origin"`
	State       string   `json:"state"` // wired, pending or shadowed
}

// status asks the loop, so it is one moment's whole view.
func (a *agent) status(ctx context.Context) (Status, error) {
	s := Status{
		Node: a.Node, Version: a.Version, PID: os.Getpid(), Started: a.started, DryRun: a.DryRun,
		File: *a.file.Load(),
	}
	if err := a.loop.Ask(ctx, func(e *reconcile.Engine) { a.fill(&s, e) }); err != nil {
		return s, err
	}
	var err error
	s.BGP, err = a.bgpStatus(ctx)
	if sp := a.speaker.open.Load(); sp != nil && s.BGP != nil {
		s.Warnings = append(s.Warnings, sp.Warnings()...)
	}
	return s, err
}

func (a *agent) fill(s *Status, e *reconcile.Engine) {
	if t := a.lastTurn.Load(); t != nil {
		s.LastTurn = *t
	}
	if t := a.converged.Load(); t != nil {
		s.LastConverged = *t
	}
	if a.sources.file != nil {
		s.Cluster = a.sources.file.Cluster
	}
	s.Objects = map[state.Kind]Count{}
	for kind, c := range e.Counts() {
		s.Objects[kind] = Count(c)
	}
	s.Drift = a.metrics.driftCounts()
	s.Pending = append(a.sources.pending(), a.bgpPending(e)...)
	s.Failing, s.Conflicts = []Failing{}, []Failing{}
	for _, f := range e.Failures() {
		item := Failing{f.Key.String(), f.Origin, f.Err.Error(), f.Since, f.Attempts, f.Next}
		if f.Conflict() {
			s.Conflicts = append(s.Conflicts, item)
		} else {
			s.Failing = append(s.Failing, item)
		}
	}
	s.Conflicts = append(s.Conflicts, a.sources.bgp.learned.conflicts()...)
	for _, b := range a.beside {
		s.Conflicts = append(s.Conflicts, Failing{Object: b.Key.String(), Origin: b.Origin, Error: b.String()})
	}
	for kind, err := range e.ReadErrors() {
		s.Failing = append(s.Failing, Failing{Object: string(kind), Error: err.Error()})
	}
	for _, text := range *a.records.Load() {
		s.Failing = append(s.Failing, Failing{Object: "endpoint record", Error: text})
	}
	if err := a.originals.Err(); err != nil {
		s.Failing = append(s.Failing, Failing{Object: "record of sysctls", Error: err.Error()})
	}
	s.Shadowed = []Shadowed{}
	shadowed := map[string]bool{}
	for _, sh := range e.Shadowed() {
		s.Shadowed = append(s.Shadowed, Shadowed{state.String(sh.Object), sh.Origin, sh.By})
		shadowed[sh.Origin] = true
	}
	s.Warnings = []string{}
	for _, w := range a.sources.allWarnings() {
		s.Warnings = append(s.Warnings, w.String())
	}
	for _, kind := range e.Contested() {
		s.Warnings = append(s.Warnings, string(kind)+": other hands keep changing plumb's objects; repairs are spaced out")
	}
	s.Tunnels = a.sources.tunnelStatus(e)
	s.Endpoints = a.sources.endpointStatus(shadowed)
	s.Converged = s.File.Valid && len(s.Pending) == 0 && e.Settled() &&
		len(s.Failing) == 0 && len(s.Conflicts) == 0 && !a.DryRun
}

func (s *sources) endpointStatus(shadowed map[string]bool) []EndpointStatus {
	out := []EndpointStatus{}
	for _, e := range s.endpoints {
		namespace, name := e.podName()
		es := EndpointStatus{
			Namespace: namespace, Name: name, ID: e.ID, ContainerID: e.ContainerID, Interface: e.Interface,
			Addresses: []string{}, Origin: e.origin, State: "wired",
		}
		for _, addr := range e.Addresses {
			es.Addresses = append(es.Addresses, addr.String())
		}
		switch {
		case e.pending != "":
			es.State = "pending"
		case shadowed[e.origin]:
			es.State = "shadowed"
		}
		out = append(out, es)
	}
	slices.SortFunc(out, func(a, b EndpointStatus) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// podName takes the name of a pod apart, as the CNI plugin put it together from
// the runtime's arguments. Other endpoints have no namespace.
func (e *endpointSource) podName() (namespace, name string) {
	if namespace, name, ok := strings.Cut(e.Name, "/"); ok && e.rank == rankEndpoint {
		return namespace, name
	}
	return "", e.Name
}
