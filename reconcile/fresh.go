package reconcile

import (
	"time"

	"github.com/plumbnet/plumb/state"
)

// Others make objects that plumb owns: the CNI plugin adds a pod's route itself,
// so that the pod need not wait. Word of it comes by two ways, the kernel's event
// and the plugin's record, and these may overtake each other. What follows keeps
// a fresh object from being taken for a stale one.

// Linger has what matches deleted only once it was unwanted for so long.
func (e *Engine) Linger(d time.Duration, match func(state.Object) bool) {
	e.lingerTime, e.lingers = d, match
}

// lingersOn says whether the deletion of an entry waits, and notes until when.
func (e *Engine) lingersOn(en *entry, now time.Time) bool {
	if e.lingers == nil || !e.lingers(en.have) {
		return false
	}
	if e.epoch.IsZero() {
		e.epoch = now.Add(-1)
	}
	if en.unwanted == 0 {
		en.unwanted = now.Sub(e.epoch)
	}
	until := e.epoch.Add(en.unwanted + e.lingerTime) // by a clock that nobody sets
	if !until.After(now) {
		return false
	}
	if e.resume.IsZero() || until.Before(e.resume) {
		e.resume = until
	}
	return true
}

// doubtTime is how late an event may come at most.
const doubtTime = 5 * time.Second

// deletions is what a kind's own Apply deleted lately. An event that says there
// is one of these may be older than the deletion, which itself gives no event: it
// proves nothing, and the kind has to be read. An event that is late to say that
// an object is gone, or how it was before, costs one change that changes nothing.
type deletions struct {
	keys map[state.Key]time.Time
	many time.Time // when more went than are worth remembering one by one
	read bool      // an event was in doubt
}

func (d *deletions) note(steps []*Step, now time.Time) {
	for key, at := range d.keys {
		if now.Sub(at) > doubtTime {
			delete(d.keys, key)
		}
	}
	if len(steps)+len(d.keys) > readable {
		d.many, d.keys = now, nil
		return
	}
	for _, s := range steps {
		if s.Action != state.Delete {
			continue
		}
		if d.keys == nil {
			d.keys = map[state.Key]time.Time{}
		}
		d.keys[s.entry.key] = now
	}
}

func (d *deletions) doubts(key state.Key, now time.Time) bool {
	at, ok := d.keys[key]
	if ok && now.Sub(at) < doubtTime || !d.many.IsZero() && now.Sub(d.many) < doubtTime {
		d.read = true
		return true
	}
	return false
}
