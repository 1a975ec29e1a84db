package agent

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// bgpMetrics tell of sessions and prefixes when they are asked; nothing where the node
// speaks no BGP.
type bgpMetrics struct{ agent *agent }

// Describe sends nothing: what there is depends on the sessions.
func (bgpMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect counts; a loop that does not answer within a second gives no numbers.
func (m bgpMetrics) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s, err := m.agent.bgpStatus(ctx)
	if err != nil || s == nil {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	states := map[string]int{"idle": 0, "connect": 0, "active": 0, "opensent": 0, "openconfirm": 0, "established": 0}
	prefixes := describe("plumb_bgp_prefixes", "Prefixes of a session, by family and what became of them (received, accepted, sent).",
		"peer", "address", "family", "what")
	for _, p := range s.Sessions {
		states[p.State]++
		if !p.Address.IsValid() {
			continue // nobody can come by it
		}
		for _, f := range p.Families {
			for what, n := range map[string]uint64{"received": f.Received, "accepted": f.Accepted, "sent": f.Sent} {
				gauge(prefixes, float64(n), p.Name, p.Address.String(), f.Family, what)
			}
		}
	}
	sessions := describe("plumb_bgp_sessions", "BGP sessions, by state.", "state")
	for state, n := range states {
		gauge(sessions, float64(n), state)
	}
	gauge(describe("plumb_bgp_learned_prefixes", "Prefixes with a best path that was learned over BGP."), float64(s.Learned))
	gauge(describe("plumb_bgp_settled", "0 while a restart is in progress, and learned routes stay as they were, else 1."), boolean(s.Settled))
}
