package state

import (
	"fmt"
	"strings"
)

// Kind names a kind of kernel object. It is the first word of the object's line.
type Kind string

// The kinds of object that plumb keeps.
const (
	KindLink    Kind = "link"
	KindAddress Kind = "address"
	KindSysctl  Kind = "sysctl"
	KindFDB     Kind = "fdb"
	KindNeigh   Kind = "neigh"
	KindRoute   Kind = "route"
	KindTable   Kind = "table"
	KindSet     Kind = "set"
	KindChain   Kind = "chain"
	KindRule    Kind = "rule"
	KindElement Kind = "element"

	KindBGP       Kind = "bgp"
	KindBGPFilter Kind = "bgp-filter"
	KindBGPPeer   Kind = "bgp-peer"
	KindBGPPrefix Kind = "bgp-prefix"
)

// Key identifies an object as the kernel itself indexes it: two objects with
// one key cannot both be in the kernel.
type Key struct {
	Kind Kind
	ID   string
}

func (k Key) String() string { return string(k.Kind) + " " + k.ID }

// Field is one attribute of an object: a name and a value in the words of
// ip(8) and nft(8). A name in parentheses is not printed: Value stands alone
// ("blackhole"). Within an object names are unique.
type Field struct{ Name, Value string }

// Object is one thing in the kernel that plumb keeps. Its dynamic type is a
// comparable struct, passed by value.
type Object interface {
	Key() Key
	// Fields gives all that == compares, in the order of printing. What is
	// left at its default may be absent.
	Fields() []Field
}

// String is the object's line: its kind, then its fields.
func String(o Object) string {
	var b strings.Builder
	b.WriteString(string(o.Key().Kind))
	for _, f := range o.Fields() {
		writeField(&b, f.Name, f.Value)
	}
	return b.String()
}

func writeField(b *strings.Builder, name, value string) {
	if !strings.HasPrefix(name, "(") {
		b.WriteByte(' ')
		b.WriteString(name)
	}
	if value != "" {
		b.WriteByte(' ')
		b.WriteString(value)
	}
}

// Action is what a change does; its value is the sign that is printed.
type Action byte

// The three actions.
const (
	Add    Action = '+'
	Modify Action = '~'
	Delete Action = '-'
)

func (a Action) String() string { return string(rune(a)) }

// Verb is the action as a word: add, change, delete.
func (a Action) Verb() string {
	switch a {
	case Add:
		return "add"
	case Modify:
		return "change"
	case Delete:
		return "delete"
	}
	return fmt.Sprintf("action(%d)", byte(a))
}

// MarshalText gives the action's verb.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.Verb()), nil }

// Change turns Before into After. Add has no Before, Delete has no After; the
// absent one is the zero value.
type Change[O Object] struct {
	Action Action
	Before O
	After  O
}

// Object gives the object that the change leaves behind, or the one it removes.
func (c Change[O]) Object() O {
	if c.Action == Delete {
		return c.Before
	}
	return c.After
}

// String is the change as one line, without the sign: for Modify, each field
// that differs is shown as "name old -> new".
func (c Change[O]) String() string {
	if c.Action != Modify {
		return String(c.Object())
	}
	var b strings.Builder
	b.WriteString(string(c.After.Key().Kind))
	before, after := c.Before.Fields(), c.After.Fields()
	for len(before) > 0 || len(after) > 0 {
		switch {
		case len(after) > 0 && index(before, after[0].Name) < 0:
			writeOneSided(&b, after[0], true)
			after = after[1:]
		case len(before) > 0 && index(after, before[0].Name) < 0:
			writeOneSided(&b, before[0], false)
			before = before[1:]
		default: // both lists go on with a field that the other has too
			i := index(before, after[0].Name)
			if old := before[i].Value; old == after[0].Value {
				writeField(&b, after[0].Name, old)
			} else {
				writeField(&b, after[0].Name, old+" -> "+after[0].Value)
			}
			before = append(before[:i:i], before[i+1:]...)
			after = after[1:]
		}
	}
	return b.String()
}

// writeOneSided shows a field that comes or goes: "mtu none -> 1400"; one without a
// value by its name: "none -> onlink".
func writeOneSided(b *strings.Builder, f Field, comes bool) {
	name, value := f.Name, f.Value
	if value == "" {
		name, value = "(flag)", f.Name
	}
	if comes {
		writeField(b, name, "none -> "+value)
	} else {
		writeField(b, name, value+" -> none")
	}
}

func index(fields []Field, name string) int {
	for i, f := range fields {
		if f.Name == name {
			return i
		}
	}
	return -1
}

// Event is what a watcher saw in the kernel: Object as it is now, or Gone.
// With Gone, only Key counts.
type Event[O Object] struct {
	Key    Key
	Object O
	Gone   bool
}

// ConflictError says that an object of another owner stands where a wanted one
// belongs. plumb leaves it in place.
type ConflictError struct {
	Key  Key
	With string // the other object, as ip(8) or nft(8) would print it
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s: in the way, and not plumb's: %s", e.Key, e.With)
}
