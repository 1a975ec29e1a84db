package reconcile

import (
	"slices"
	"time"

	"github.com/plumbnet/plumb/state"
)

// Where another program undoes each repair at once, the two would go on as fast as
// they can, and fill the log. So after a row of repairs a kind takes its time for
// the next, which still comes within a second. What is newly wanted never waits.
const (
	hot         = 10.0 // repairs in a row before they are spaced
	coolPerSec  = 2.0
	betweenHot  = 500 * time.Millisecond
	coldestHeat = 0.0
)

// heat is how much a kind was repaired lately.
type heat struct {
	level float64
	last  time.Time // of the last repair
}

func (h *heat) at(now time.Time) float64 {
	return max(coldestHeat, h.level-coolPerSec*now.Sub(h.last).Seconds())
}

func (h *heat) repaired(now time.Time) {
	h.level, h.last = h.at(now)+1, now
}

// until is when the next repair may be made; zero: now.
func (h *heat) until(now time.Time) time.Time {
	if next := h.last.Add(betweenHot); h.at(now) > hot && next.After(now) {
		return next
	}
	return time.Time{}
}

// waits says whether the repair of a drifted entry has to wait, and notes until when.
func (e *Engine) waits(en *entry, now time.Time) bool {
	if !en.drifted {
		return false
	}
	until := e.byKind[en.key.Kind].heat.until(now)
	if until.IsZero() {
		return false
	}
	if e.resume.IsZero() || until.Before(e.resume) {
		e.resume = until
	}
	return true
}

// Contested gives the kinds whose objects other hands keep changing, so that
// repairs are spaced.
func (e *Engine) Contested() []state.Kind {
	var out []state.Kind
	for _, ks := range e.kinds {
		if ks.heat.at(e.now()) > hot {
			out = append(out, ks.Kinds()[0])
		}
	}
	return slices.Clip(out)
}
