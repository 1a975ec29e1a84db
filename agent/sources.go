package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// Ranks of the sources: who has an address or prefix that several want. An
// endpoint of the state file is somebody's explicit word, so it comes before one
// of the CNI plugin; both come before the node's own routes, and all before what
// was learned. Among equals the lower ID has it.
const (
	rankFileEndpoint = iota
	rankEndpoint
	rankNode
	rankLearned
)

// sources render the state file, the endpoints and the host's devices into an
// engine, each as far as it changed.
type sources struct {
	engine *reconcile.Engine
	node   string
	file   *desired.File // nil until one was loaded
	host   render.Host

	view    *render.View // rendered last
	base    []render.Wanted
	remotes map[string]*remoteSource // the other nodes, by name
	round   uint64                   // of rendering the nodes
	// after has a function called later, on the engine's goroutine; nil where there
	// is no later.
	after    func(time.Duration, func() error)
	handover *handover

	endpoints   map[string]*endpointSource // by ID
	byInterface map[string]map[string]bool // endpoint IDs by interface
	residents   *residents
	warnings    []render.Warning

	bgp bgpSources
}

type endpointSource struct {
	state.Endpoint
	origin  string
	rank    int
	pending string // why it has no routes yet
}

func newSources(e *reconcile.Engine, node string) *sources {
	return &sources{
		engine: e, node: node, host: render.Host{Interfaces: map[string]state.Interface{}},
		remotes:   map[string]*remoteSource{},
		endpoints: map[string]*endpointSource{}, byInterface: map[string]map[string]bool{},
		residents: newResidents(), bgp: bgpSources{learned: newLearned(e)},
	}
}

// setFile takes a new state file. Where the node is not in it, nothing changes.
func (s *sources) setFile(f *desired.File) error {
	previous := s.file
	s.file = f
	if err := s.renderNode(); err != nil {
		s.file = previous
		return err
	}
	errs := []error{s.renderBGP()}
	current := map[string]bool{}
	for _, e := range render.FileEndpoints(f, s.node) {
		current[e.ID] = true
		errs = append(errs, s.setEndpoint(e.Endpoint, e.Origin, rankFileEndpoint))
	}
	// What is announced of endpoints depends on pools, podCIDRs, and whether there is BGP.
	again := previous == nil || previous.Settings.RouteTable != f.Settings.RouteTable ||
		s.bgp.on && (previous.BGP != nil || f.BGP != nil)
	for id, e := range s.endpoints {
		switch {
		case e.rank == rankFileEndpoint && !current[id]:
			errs = append(errs, s.removeEndpoint(id, e.rank))
		case e.rank != rankFileEndpoint && again:
			errs = append(errs, s.renderEndpoint(e))
		}
	}
	return errors.Join(errs...)
}

// setEndpoint adds an endpoint, or puts it in place of one with the same ID.
func (s *sources) setEndpoint(e state.Endpoint, origin string, rank int) error {
	if old := s.endpoints[e.ID]; old != nil {
		s.residents.endpointChanged(old)
		if old.Interface != e.Interface {
			s.unindex(old)
		}
	}
	es := &endpointSource{Endpoint: e, origin: origin, rank: rank}
	s.residents.endpointChanged(es)
	s.endpoints[e.ID] = es
	if s.byInterface[e.Interface] == nil {
		s.byInterface[e.Interface] = map[string]bool{}
	}
	s.byInterface[e.Interface][e.ID] = true
	return s.renderEndpoint(es)
}

func (s *sources) removeEndpoint(id string, rank int) error {
	e := s.endpoints[id]
	if e == nil || e.rank != rank {
		return nil
	}
	delete(s.endpoints, id)
	s.residents.endpointChanged(e)
	s.unindex(e)
	return s.engine.SetSource(reconcile.Source{Rank: e.rank, ID: id}, nil)
}

func (s *sources) unindex(e *endpointSource) {
	ids := s.byInterface[e.Interface]
	delete(ids, e.ID)
	if len(ids) == 0 {
		delete(s.byInterface, e.Interface)
	}
}

func (s *sources) renderEndpoint(e *endpointSource) error {
	if s.file == nil {
		e.pending = "no valid state file yet"
		return nil
	}
	var wanted []render.Wanted
	wanted, e.pending = render.Endpoint(e.Endpoint, e.origin, s.file.Settings.RouteTable, s.host)
	wanted = append(wanted, s.endpointPrefixes(e)...)
	return s.engine.SetSource(reconcile.Source{Rank: e.rank, ID: e.ID}, wanted)
}

// setEndpoints takes all records of the CNI plugin at once; what is not among
// them is gone.
func (s *sources) setEndpoints(records []state.Endpoint) error {
	var errs []error
	current := make(map[string]bool, len(records))
	for _, r := range records {
		current[r.ID] = true
		if old := s.endpoints[r.ID]; old == nil || !same(old.Endpoint, r) {
			errs = append(errs, s.setEndpoint(r, endpointOrigin(r), rankEndpoint))
		}
	}
	for id, e := range s.endpoints {
		if e.rank == rankEndpoint && !current[id] {
			errs = append(errs, s.removeEndpoint(id, rankEndpoint))
		}
	}
	return errors.Join(errs...)
}

func same(a, b state.Endpoint) bool {
	addresses := slices.Equal(a.Addresses, b.Addresses)
	a.Addresses, b.Addresses = nil, nil
	return addresses && fmt.Sprint(a) == fmt.Sprint(b)
}

// setInterfaces takes all of the host's devices at once.
func (s *sources) setInterfaces(list []state.Interface) error {
	var gone []string
	current := map[string]bool{}
	for _, i := range list {
		current[i.Name] = true
	}
	for name := range s.host.Interfaces {
		if !current[name] {
			gone = append(gone, name)
		}
	}
	return s.changeInterfaces(list, gone)
}

// changeInterfaces takes devices as they are now and the names of those that are
// gone, and renders again what depends on them.
func (s *sources) changeInterfaces(changed []state.Interface, gone []string) error {
	var errs []error
	subnets := false
	touch := func(name string) {
		for id := range s.byInterface[name] {
			errs = append(errs, s.renderEndpoint(s.endpoints[id]))
		}
	}
	for _, i := range changed {
		old, had := s.host.Interfaces[i.Name]
		s.host.Interfaces[i.Name] = i
		if had && old.Carrier && !i.Carrier {
			s.lost(i)
		}
		if had && old.Up == i.Up && old.Index == i.Index && old.MTU == i.MTU && slices.Equal(old.Addresses, i.Addresses) {
			continue
		}
		subnets = subnets || isOutside(i.Name)
		touch(i.Name)
	}
	for _, name := range gone {
		if old, had := s.host.Interfaces[name]; had {
			s.lost(old)
			delete(s.host.Interfaces, name)
			subnets = subnets || isOutside(name)
			touch(name)
		}
	}
	if subnets {
		errs = append(errs, s.renderNode(), s.renderLearned())
	}
	return errors.Join(errs...)
}

// isOutside says whether a device may lead to other nodes by itself.
func isOutside(dev string) bool { return !render.IsHostEnd(dev) && !state.IsTunnel(dev) }

// handWired says whether the state file, and no CNI plugin, gives the device an
// endpoint.
func (s *sources) handWired(dev string) bool {
	for id := range s.byInterface[dev] {
		if s.endpoints[id].rank == rankFileEndpoint {
			return true
		}
	}
	return false
}

// What a Pending is.
const (
	pendingEndpoint = "endpoint"      // it has no interface yet
	pendingLearned  = "learned-route" // its next hop cannot be reached yet
	pendingTunnels  = "tunnels"       // the encapsulation changes
	pendingAddress  = "tunnel"        // no device has the address at which it ends
	pendingRestart  = "bgp-restart"   // learned routes of before stay until it is over
	pendingReset    = "bgp-reset"     // a change that ends a session
)

var pendingKinds = []string{pendingEndpoint, pendingLearned, pendingTunnels, pendingAddress, pendingRestart, pendingReset}

// Pending is an endpoint, or something else, that is known and not as it will be yet.
type Pending struct {
	Kind     string `json:"kind"`
	Endpoint string `json:"endpoint"` // or what else it is
	Origin   string `json:"origin"`
	Reason   string `json:"reason"`
}

func (p Pending) String() string { return p.Endpoint + ": " + p.Reason }

func (s *sources) pending() []Pending {
	out := []Pending{}
	for _, e := range s.endpoints {
		if e.pending != "" {
			out = append(out, Pending{Kind: pendingEndpoint, Endpoint: e.Name, Origin: e.origin, Reason: e.pending})
		}
	}
	out = append(out, s.bgp.learned.pending()...)
	if s.view != nil {
		for _, w := range s.view.Paths.Waiting() {
			out = append(out, Pending{Kind: pendingAddress, Endpoint: "tunnel " + w.Dev, Origin: w.Origin, Reason: w.Why})
		}
	}
	slices.SortFunc(out, func(a, b Pending) int { return strings.Compare(a.Endpoint, b.Endpoint) })
	if p, ok := s.handover.pending(); ok {
		out = append(out, p)
	}
	return out
}
