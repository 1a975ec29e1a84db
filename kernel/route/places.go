package route

import (
	"strings"
	"sync"

	"github.com/plumbnet/plumb/state"
)

// fewRoutes is how many routes of a device are remembered one by one: a pod's
// host end has one or two.
const fewRoutes = 8

// places remembers which devices plumb's routes go through, since the kernel
// does not say that routes vanished with their device. It may name routes that
// are no more, never too few. Apply and the watcher use it at once.
type places struct {
	mu      sync.Mutex
	dev     map[string]*place
	src     bool // some route names its source address
	metered bool // some IPv4 route has a metric
	reading bool // what a Read in progress will still add is not in it
}

type place struct {
	slots []slot
	many  bool // more than slots can hold, or next hops among others
}

func newPlaces() *places { return &places{dev: map[string]*place{}} }

// reset starts anew, for a Read, which ends with settled.
func (p *places) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.dev)
	p.src, p.reading = false, true
}

func (p *places) settled() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reading = false
}

// add remembers r. It must be called before r is written: after that its device
// may vanish at any time.
func (p *places) add(r *state.Route) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.src = p.src || r.Src.IsValid()
	p.metered = p.metered || r.Metric != 0 && r.Dst.Addr().Is4()
	if r.Multipath == "" {
		p.at(r.Dev).add(slotOf(r))
		return
	}
	p.at(r.Dev).many = true // an odd one
	words := string(r.Multipath)
	for {
		_, after, ok := strings.Cut(words, " dev ")
		if !ok {
			return
		}
		dev, rest, _ := strings.Cut(after, " ")
		p.at(dev).many = true
		words = rest
	}
}

func (p *places) at(dev string) *place {
	at := p.dev[dev]
	if at == nil {
		at = &place{}
		p.dev[dev] = at
	}
	return at
}

func (p *place) add(s slot) {
	if p.many {
		return
	}
	for _, old := range p.slots {
		if old == s {
			return
		}
	}
	if len(p.slots) == fewRoutes {
		p.slots, p.many = nil, true
		return
	}
	p.slots = append(p.slots, s)
}

// remove forgets what was deleted.
func (p *places) remove(r *state.Route) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.dev[r.Dev]
	if r.Multipath != "" || at == nil || at.many {
		return
	}
	for i, s := range at.slots {
		if s == slotOf(r) {
			at.slots = append(at.slots[:i], at.slots[i+1:]...)
			break
		}
	}
	if len(at.slots) == 0 {
		delete(p.dev, r.Dev)
	}
}

// lost says which routes went with a device, and whether there may be more than
// those. The device is forgotten.
func (p *places) lost(dev string) (gone []slot, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	more = p.reading
	if at := p.dev[dev]; at != nil {
		gone, more = at.slots, more || at.many
		delete(p.dev, dev)
	}
	return gone, more
}

// uses says whether routes go through a device.
func (p *places) uses(dev string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reading || p.dev[dev] != nil
}

// sources says whether some route names its source address.
func (p *places) sources() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reading || p.src
}

// metrics says whether some IPv4 route has a metric.
func (p *places) metrics() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.metered
}
