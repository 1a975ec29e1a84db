package bgp

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"github.com/osrg/gobgp/v3/pkg/server"

	"github.com/plumbnet/plumb/state"
)

// Options say how a speaker is opened.
type Options struct {
	Log       *slog.Logger
	Passwords *Passwords // nil: sessions with a password cannot be made
	// StateDir is where is remembered what has to be known after a restart: that there
	// are sessions, and the addresses of dynamic neighbours; empty: nowhere.
	StateDir string
	// Restarting says that an earlier run left sessions to their peers (Spoke), or its
	// routes in the kernel: peers are told so, and Batch.Settled comes when they have
	// sent theirs.
	Restarting bool
	// LimitRetry is how long a session that had too many prefixes stays down; 0: a
	// minute. It doubles each time, up to a quarter of an hour.
	LimitRetry time.Duration
	// OpenWait is how long a peer that has taken a connection is given to open the
	// session; 0: 15 seconds.
	OpenWait time.Duration
}

// Speaker is the BGP speaker. Its methods may be called at any time from any
// goroutine, except where they say otherwise.
type Speaker struct {
	options   Options
	log       *slog.Logger
	server    *server.BgpServer
	serverLog *serverLog
	updates   *updates
	ctx       context.Context // until Close
	cancel    context.CancelFunc

	current  atomic.Pointer[config] // what is configured; never changed, only replaced
	version  atomic.Uint64          // counts what may change how many routes a session has
	nextHops atomic.Pointer[NextHops]

	mu       sync.Mutex // of Apply, and all below
	gate     *gate
	warnings []string
	// stopListening ends the wait for a port that another program has.
	stopListening context.CancelFunc
	neighbours    *neighbours
	record        *record
	remembered    map[netip.Addr]netip.Prefix // dynamic neighbours added by address
	keyed         map[netip.Addr]bool         // that have a password of their own at the listening socket
	installed     *program
	policed       *config // that the policies which are there were made for
	origins       origins
	programs      int // compiled so far
	generation    int
	originated    map[netip.Prefix]originated

	seenMu   sync.Mutex
	seen     map[netip.Addr]*seen
	changes  int         // of any session's state
	sweeping atomic.Bool // soon

	countMu sync.Mutex
	counted map[netip.Addr]*counted

	limitMu sync.Mutex
	limits  map[netip.Addr]limit
	limited map[netip.Addr]*limited // those that wait now
}

// Open starts a speaker that has nothing configured and listens nowhere. It opens
// its sockets in the network namespace of the process.
func Open(o Options) (*Speaker, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.LimitRetry == 0 {
		o.LimitRetry = time.Minute
	}
	if o.OpenWait == 0 {
		o.OpenWait = 15 * time.Second
	}
	s := &Speaker{
		policed: newConfig(), options: o, log: o.Log, updates: newUpdates(!o.Restarting),
		remembered: map[netip.Addr]netip.Prefix{}, keyed: map[netip.Addr]bool{}, origins: origins{}, originated: map[netip.Prefix]originated{},
		seen: map[netip.Addr]*seen{}, counted: map[netip.Addr]*counted{}, limits: map[netip.Addr]limit{}, limited: map[netip.Addr]*limited{},
	}
	var err error
	if s.neighbours, err = openNeighbours(o.StateDir); err != nil {
		o.Log.Warn("dynamic neighbours of before are not known", "err", err)
	}
	if s.record, err = newRecord(o.StateDir); err != nil {
		o.Log.Warn("BGP: the next start will not be known as a restart by itself", "err", err)
	}
	s.serverLog = &serverLog{speaker: s, log: o.Log}
	s.server = server.NewBgpServer(server.LoggerOption(s.serverLog))
	go s.server.Serve()
	s.current.Store(newConfig())
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.watchServer(s.ctx); err != nil {
		s.cancel()
		return nil, fmt.Errorf("BGP: %w", err)
	}
	if o.Restarting {
		go s.settle(s.ctx)
	}
	return s, nil
}

// Read gives the objects that are configured.
func (s *Speaker) Read(_ context.Context, yield func(state.Object)) error {
	s.current.Load().objects(yield)
	return nil
}

// Watch reports nothing: nobody else configures the speaker.
func (s *Speaker) Watch(context.Context, func([]state.Event[state.Object]), func()) error { return nil }

// Warnings are what is amiss and does not keep the rest from working, in words,
// with the mend: the listen port is taken.
func (s *Speaker) Warnings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.warnings...)
}

// Close ends what the speaker reports, and says nothing to the peers. The process
// has to end then: the kernel closes its connections, and peers with graceful
// restart keep the routes.
func (s *Speaker) Close() { s.cancel() }

// start makes GoBGP a speaker, with the lock held.
func (s *Speaker) start(sp state.BGPSpeaker) error {
	p := lookAtPort(sp.ListenPort)
	number := sp.ListenPort
	if len(p.free) == 0 {
		number = -1
	}
	s.warnings = nil
	if warning := p.warning(); warning != "" {
		s.warnings = []string{warning}
		s.log.Warn(warning)
	}
	if err := s.server.StartBgp(context.Background(), &api.StartBgpRequest{Global: &api.Global{
		Asn: sp.ASN, RouterId: sp.RouterID.String(), ListenPort: int32(number), ListenAddresses: p.free, UseMultiplePaths: true,
	}}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(s.ctx)
	s.stopListening = cancel
	go s.listenWhenFree(ctx, p)
	if s.restarting() {
		if !p.takesIPv4() {
			number = -1 // who has the port is not to be called
		}
		g, err := s.openGate(sp.ASN, number)
		if err != nil {
			s.log.Warn("BGP: peers that come late may see the end of the restart too early", "err", err)
			return nil
		}
		s.gate = g
	}
	return nil
}
