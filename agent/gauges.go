package agent

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// gauges are the numbers of `plumb status`, counted when they are asked for.
type gauges struct{ agent *agent }

// Describe sends nothing: which there are depends on the kinds.
func (gauges) Describe(chan<- *prometheus.Desc) {}

// Collect asks the loop for one moment's view. A loop that does not answer within a
// second gives no numbers, but for those of the file.
func (g gauges) Collect(out chan<- prometheus.Metric) {
	gauge := func(name, help string, value float64, labels ...string) {
		var names, values []string
		for i := 0; i < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, labels[i+1])
		}
		out <- prometheus.MustNewConstMetric(describe(name, help, names...), prometheus.GaugeValue, value, values...)
	}
	collectFile(g.agent.file.Load(), gauge)
	gauge("plumb_ready", "1 since the agent has converged on a valid state file, else 0.", boolean(g.agent.ready.Load()))

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s, err := g.agent.status(ctx)
	if err != nil {
		return
	}
	gauge("plumb_converged", "1 where all is as the current state file wants it, else 0.", boolean(s.Converged))
	gauge("plumb_last_converged_timestamp_seconds", "When there was last nothing left to do; 0: never.", seconds(s.LastConverged))
	for kind, c := range s.Objects {
		for name, n := range map[string]int{"wanted": c.Wanted, "had": c.Had, "pending": c.Pending, "failing": c.Failing} {
			gauge("plumb_objects", "Objects, by kind and state (wanted, had, pending, failing).", float64(n),
				"kind", string(kind), "state", name)
		}
	}
	gauge("plumb_failing", "What cannot be made or read, as `plumb status` lists it.", float64(len(s.Failing)))
	gauge("plumb_conflicts", "Objects of others in the place of plumb's, or under its mark.", float64(len(s.Conflicts)))
	gauge("plumb_shadowed", "Objects that gave way to others of the same key.", float64(len(s.Shadowed)))
	gauge("plumb_warnings", "What the state file asks for and plumb cannot do here.", float64(len(s.Warnings)))
	gauge("plumb_endpoints", "Endpoints on this node.", float64(len(s.Endpoints)))
	pending := map[string]int{}
	for _, p := range s.Pending {
		pending[p.Kind]++
	}
	gauge("plumb_endpoints_pending", "Endpoints that wait for their interface.", float64(pending[pendingEndpoint]))
	for _, kind := range pendingKinds {
		gauge("plumb_pending", "What waits, as `plumb status` lists it, by kind ("+strings.Join(pendingKinds, ", ")+").",
			float64(pending[kind]), "kind", kind)
	}
}

func collectFile(f *FileStatus, gauge func(name, help string, value float64, labels ...string)) {
	gauge("plumb_file_valid", "1 where the state file as it is now is valid, else 0.", boolean(f.Valid))
	gauge("plumb_file_errors", "Errors in the state file as it is now; the log and `plumb status` say which.", float64(len(f.Errors)))
	if f.Hash != "" {
		gauge("plumb_file_info", "Always 1; the hash of the state in force is a label.", 1, "hash", short(f.Hash))
	}
	gauge("plumb_file_loaded_timestamp_seconds", "When the state in force was loaded; 0: none, or the last good one of an earlier agent.",
		seconds(f.LoadedAt))
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// seconds is a moment as Prometheus has it; 0 for none.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1e3
}
