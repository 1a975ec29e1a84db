package agent

import (
	"sync"

	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/state"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are the agent's counters, in a registry of their own.
type metrics struct {
	registry *prometheus.Registry
	turns    *prometheus.CounterVec
	took     prometheus.Histogram
	changes  *prometheus.CounterVec
	failures *prometheus.CounterVec
	loads    *prometheus.CounterVec
	invalid  prometheus.Gauge

	mu    sync.Mutex
	drift map[state.Kind]int
}

func newMetrics(a *agent) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		turns: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plumb_turns_total", Help: "Turns of the loop, by what they began with.",
		}, []string{"read"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "plumb_turn_seconds", Help: "Time that a turn of the loop took, reading included.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
		}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plumb_changes_total", Help: "Changes made in the kernel, by kind, action and cause (wanted, drift).",
		}, []string{"kind", "action", "cause"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plumb_change_failures_total", Help: "Changes that the kernel refused, by kind.",
		}, []string{"kind"}),
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plumb_file_loads_total", Help: "Versions of the state file that were read, by result (valid, invalid).",
		}, []string{"result"}),
		invalid: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "plumb_file_last_error_timestamp_seconds", Help: "When the state file was last found invalid; 0: never since the start.",
		}),
		drift: map[state.Kind]int{},
	}
	m.begin()
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "plumb_build_info", Help: "Always 1; the version is a label.",
		ConstLabels: prometheus.Labels{"version": a.Version},
	}, func() float64 { return 1 })
	m.registry.MustRegister(m.turns, m.took, m.changes, m.failures, m.loads, m.invalid, build,
		gauges{a}, &netlinkDrops{}, bgpMetrics{a}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// begin has counters there from the start: where a series comes with its first value,
// neither rate nor increase sees that. What is wanted has most of its changes at the
// start, and nobody watches for the first.
func (m *metrics) begin() {
	for _, result := range []string{"valid", "invalid"} {
		m.loads.WithLabelValues(result)
	}
	for _, read := range []string{"changed", "all"} {
		m.turns.WithLabelValues(read)
	}
	for _, kind := range state.Kinds() {
		m.failures.WithLabelValues(string(kind))
		for _, action := range []state.Action{state.Add, state.Modify, state.Delete} {
			m.changes.WithLabelValues(string(kind), action.Verb(), "drift")
		}
	}
}

func (m *metrics) loaded(valid bool) {
	result := "invalid"
	if valid {
		result = "valid"
	} else {
		m.invalid.SetToCurrentTime()
	}
	m.loads.WithLabelValues(result).Inc()
}

func (m *metrics) turned(t reconcile.Turned) {
	read := "changed"
	if t.Read {
		read = "all"
	}
	m.turns.WithLabelValues(read).Inc()
	m.took.Observe(t.Took.Seconds())
	type label struct {
		kind   state.Kind
		action state.Action
		cause  string
	}
	counts := map[label]int{}
	for _, d := range t.Done {
		cause := "wanted"
		if d.Drift {
			cause = "drift"
		}
		counts[label{d.Kind(), d.Action, cause}]++
	}
	for l, n := range counts {
		m.changes.WithLabelValues(string(l.kind), l.action.Verb(), l.cause).Add(float64(n))
		if l.cause == "drift" {
			m.mu.Lock()
			m.drift[l.kind] += n
			m.mu.Unlock()
		}
	}
	for _, f := range t.Failures {
		m.failures.WithLabelValues(string(f.Key.Kind)).Inc()
	}
}

func (m *metrics) driftCounts() map[state.Kind]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[state.Kind]int, len(m.drift))
	for k, n := range m.drift {
		out[k] = n
	}
	return out
}
