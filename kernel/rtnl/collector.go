package rtnl

import (
	"context"

	"golang.org/x/sys/unix"
)

// Collector gathers what one Watch of a kind has to tell, and hands it over when
// the monitor pauses. All of it runs on the monitor's goroutine.
type Collector[E any] struct {
	Names *Names // of devices, kept as events tell

	ctx     context.Context
	changed func([]E)
	again   func()

	events []E
	reread bool
}

// Collect makes a collector and reads the devices' names.
func Collect[E any](ctx context.Context, names *Names, changed func([]E), again func()) (*Collector[E], error) {
	return &Collector[E]{Names: names, ctx: ctx, changed: changed, again: again}, names.Load(ctx)
}

// Put adds an event.
func (c *Collector[E]) Put(e E) { c.events = append(c.events, e) }

// Reread has again called at the next pause.
func (c *Collector[E]) Reread() { c.reread = true }

// Handler is the collector's, with what is done with an event.
func (c *Collector[E]) Handler(event func(Message)) Handler {
	return Handler{Event: event, Pause: c.pause, Lost: c.lost}
}

// pause hands over what was collected.
func (c *Collector[E]) pause() {
	if len(c.events) > 0 {
		c.changed(c.events)
		c.events = nil // the receiver may keep them
	}
	if c.reread {
		c.reread = false
		c.again()
	}
}

func (c *Collector[E]) lost() {
	c.Names.Forget()
	_ = c.Names.Load(c.ctx) // without it, names are asked for one by one
	c.reread = true
	c.pause()
}

// Link follows the names of devices by an RTM_NEWLINK or RTM_DELLINK. The kind is
// read again where a device was renamed that is owned by its old name or its new
// one, and, where silent says that a deleted device takes its objects along without
// a word, where an owned one was deleted.
func (c *Collector[E]) Link(m Message, owned func(dev string) bool, silent bool) {
	index, name, ok := LinkName(m)
	if !ok {
		return
	}
	known, had := c.Names.Known(index)
	if m.Type == unix.RTM_DELLINK {
		c.reread = c.reread || silent && (owned(name) || owned(known))
		c.Names.Drop(index)
		return
	}
	if had && known != name {
		c.reread = c.reread || owned(known) || owned(name)
	}
	c.Names.Set(index, name)
}
