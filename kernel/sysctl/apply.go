package sysctl

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/kernel/link"
	"github.com/plumbnet/plumb/state"
)

// Apply writes the values that differ, and tracks their paths; Delete untracks,
// and leaves the value. The forwarding switches of the node come first: since
// they change every interface's own switch, the interfaces for which this Kind
// was ever told a value get it again. Each change gets its own error.
func (k *Kind) Apply(ctx context.Context, changes []state.Change[state.Sysctl]) []error {
	b := batch{Kind: k, ctx: ctx, errs: make([]error, len(changes))}
	for i, c := range changes {
		if c.Action == state.Delete {
			k.Untrack(c.Before.Path)
			continue
		}
		k.want(c.After)
		b.plan(i, c.After)
	}
	b.note()
	for _, w := range b.switches {
		if b.write(w) {
			b.reset[switchFamily(w.Path)] = w.change
		}
	}
	b.restore()
	for _, w := range b.others {
		b.write(w)
	}
	return b.errs
}

func (k *Kind) want(s state.Sysctl) {
	k.Track(s.Path)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wanted[s.Path] = s.Value
}

// batch is one call of Apply.
type batch struct {
	*Kind
	ctx              context.Context
	errs             []error
	switches, others []write
	reset            resetBy
}

// write is a value to be written, and the change whose error it has.
type write struct {
	change int
	state.Sysctl
	before string
}

// resetBy says, by family, which change switched the forwarding of all
// interfaces.
type resetBy map[uint8]int

// plan compares one wanted value with the present one.
func (b *batch) plan(change int, s state.Sysctl) {
	if b.reset == nil {
		b.reset = resetBy{}
	}
	before, err := b.files.read(s.Path)
	if err != nil {
		b.errs[change] = err
		return
	}
	if before == s.Value {
		return
	}
	w := write{change, s, before}
	if switchFamily(s.Path) != 0 {
		b.switches = append(b.switches, w)
	} else {
		b.others = append(b.others, w)
	}
}

// note puts down what the node had before, on disk, before anything is changed.
// Where that fails (a full disk), pods come first: the change is made, and
// Originals.Err says what a later cleanup may not know. An interface of plumb's
// own needs no note, unless it Lasts: its parameters go with it.
func (b *batch) note() {
	if b.Originals == nil {
		return
	}
	noted := false
	for _, w := range b.switches {
		noted = b.noteForwarding(w) || noted
	}
	for _, list := range [][]write{b.switches, b.others} {
		for _, w := range list {
			_, dev, _ := device(w.Path)
			if !link.Owned(dev) || b.Lasts != nil && b.Lasts(dev) {
				b.Originals.Note(w.Path, w.before, w.Value)
				noted = true
			}
		}
	}
	if noted {
		_ = b.Originals.Save() // kept in Originals.Err
	}
}

// noteForwarding puts down which interfaces forward by themselves before the node's
// switch is turned on: turning it off again would clear theirs too
// (inet_forward_change, net/ipv4/devinet.c; addrconf_fixup_forwarding).
func (b *batch) noteForwarding(w write) (noted bool) {
	dir := "net/ipv4/conf"
	if switchFamily(w.Path) == unix.AF_INET6 {
		dir = "net/ipv6/conf"
	}
	if w.Value != "1" {
		return false
	}
	devices, _ := os.ReadDir(filepath.Join(b.files.dir(), dir))
	for _, d := range devices {
		path := dir + "/" + d.Name() + "/forwarding"
		if d.Name() == "all" || d.Name() == "default" || link.Owned(d.Name()) {
			continue
		}
		if v, err := b.files.read(path); err == nil && v == "1" {
			b.Originals.Note(path, v, v)
			noted = true
		}
	}
	return noted
}

// write gives true where the value stands.
func (b *batch) write(w write) bool {
	err := b.ctx.Err()
	if err == nil {
		err = b.files.write(w.Path, w.Value)
	}
	if err != nil {
		b.errs[w.change] = errors.Join(b.errs[w.change], err)
	}
	return err == nil
}

// restore gives the interfaces' own forwarding switches their wanted values
// back, where a switch of the node has just changed them.
func (b *batch) restore() {
	if len(b.reset) == 0 {
		return
	}
	var again []write
	b.mu.Lock()
	for path, value := range b.wanted {
		if change, ok := b.reset[forwardingOf(path)]; ok {
			again = append(again, write{change: change, Sysctl: state.Sysctl{Path: path, Value: value}})
		}
	}
	b.mu.Unlock()
	for _, w := range again {
		// Those that are gone, or cannot be read, are not this change's matter.
		if have, err := b.files.read(w.Path); err == nil && have != w.Value {
			b.write(w)
		}
	}
}
