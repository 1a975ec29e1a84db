package desired

import (
	"fmt"
	"slices"

	"gopkg.in/yaml.v3"
)

// maxAliased bounds the values that are reached through aliases (*name), which a
// few lines of YAML can multiply without end.
const maxAliased = 1_000_000

// walker goes through the YAML of all sources, by the tables of the schema, and
// gathers every problem on its way.
type walker struct {
	file     string // the Source that is being walked
	field    string // the name of the field that is being decoded, for messages
	path     string // its path, where files share it, else ""
	problems []Problem

	// set has the place of every field of those sections that files share, by
	// its path ("bgp.holdTime"), to find the second one that sets it.
	set map[string]Pos
	// mappings has the mapping of every item that has a Pos, so that validation
	// can say the place of a field of it.
	mappings map[Pos]*yaml.Node
	// broken has the paths of lists that could not be read as such. What is not
	// in them is no error of its own.
	broken map[string]bool
	// doubtful has the items that could not be read in full, by their place.
	// What one seems to lack is no error either.
	doubtful map[Pos]bool
	// incomplete says that a part of the text could not be read at all.
	incomplete bool

	aliasDepth int
	aliasAt    Pos  // the outermost alias
	aliased    int  // values reached through aliases
	stopped    bool // there were too many
	spelling   speller
}

func newWalker() *walker {
	return &walker{
		set:      make(map[string]Pos),
		mappings: make(map[Pos]*yaml.Node),
		broken:   make(map[string]bool),
		// An item without a place is one that was no mapping at all.
		doubtful: map[Pos]bool{{}: true},
		spelling: speller{budget: maxComparisons},
	}
}

// value is a YAML value: an alias is resolved, and pos is where the alias is.
type value struct {
	*yaml.Node
	pos Pos
}

func (w *walker) posOf(n *yaml.Node) Pos { return Pos{w.file, n.Line, n.Column} }

func (w *walker) fail(at Pos, format string, args ...any) {
	w.problems = append(w.problems, Problem{Pos: at, Message: fmt.Sprintf(format, args...)})
}

func (w *walker) warn(at Pos, format string, args ...any) {
	w.problems = append(w.problems, Problem{Pos: at, Warning: true, Message: fmt.Sprintf(format, args...)})
}

// failField is fail for a bad value: the field's name goes before the message.
func (w *walker) failField(at Pos, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if w.field != "" {
		message = w.field + ": " + message
	}
	w.problems = append(w.problems, Problem{Pos: at, Message: message})
}

// visit resolves n, if it is an alias, and calls f with it, unless n cannot be a
// value of the schema.
func (w *walker) visit(n *yaml.Node, f func(value)) {
	if w.stopped {
		return
	}
	v := value{n, w.posOf(n)}
	if n.Kind == yaml.AliasNode {
		v.Node = n.Alias
		if w.aliasDepth == 0 {
			w.aliasAt = v.pos
		}
		w.aliasDepth++
		defer func() { w.aliasDepth-- }()
	}
	// An alias may stand within its own anchor; the schema's finite depth ends
	// that, and this count ends the rest.
	if w.aliasDepth > 0 {
		if w.aliased++; w.aliased > maxAliased {
			w.stop(w.aliasAt)
			return
		}
	}
	if tag := v.ShortTag(); !slices.Contains(plainTags, tag) {
		w.failField(v.pos, "the tag %s is not supported; leave it out", quote(tag))
		return
	}
	f(v)
}

// plainTags are those that values without an explicit tag have.
var plainTags = []string{
	"!!null", "!!bool", "!!int", "!!float", "!!str", "!!timestamp", "!!map", "!!seq", "!!merge",
}

// stop gives up, with one problem in place of all others.
func (w *walker) stop(at Pos) {
	w.stopped = true
	w.problems = []Problem{{
		Pos:     at,
		Message: fmt.Sprintf("the aliases (*name) expand to more than %d values; write the values out", maxAliased),
	}}
}

func isNull(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// kindOf says what a value is, as a person calls it.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!null":
		return "empty"
	case "!!bool":
		return "a boolean"
	case "!!int", "!!float":
		return "a number"
	case "!!timestamp":
		return "a date"
	}
	return "a string"
}

// place is the position of a field of the item at pos, or of an element of that
// field. Where there is none, it is the item's own.
func (w *walker) place(item Pos, field string, index ...int) Pos {
	n := w.lookup(item, field)
	if n == nil {
		return item
	}
	if len(index) > 0 {
		list := n
		if list.Kind == yaml.AliasNode {
			list = list.Alias
		}
		if index[0] < len(list.Content) {
			n = list.Content[index[0]]
		}
	}
	return Pos{item.File, n.Line, n.Column}
}

// has says whether the item at pos sets a field.
func (w *walker) has(item Pos, field string) bool { return w.lookup(item, field) != nil }

func (w *walker) lookup(item Pos, field string) *yaml.Node {
	m := w.mappings[item]
	if m == nil {
		return nil
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == field && !isNull(m.Content[i+1]) {
			return m.Content[i+1]
		}
	}
	return nil
}
