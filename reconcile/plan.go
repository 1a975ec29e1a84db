package reconcile

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/plumbnet/plumb/state"
)

// Step is one change of a plan, and why it is wanted.
type Step struct {
	state.Change[state.Object]
	Origin   string // of the wanted object; empty for a deletion
	Conflict string // a foreign object that is in the way, as ip(8) prints it

	entry *entry // of the engine that made the plan
}

// Plan is an ordered list of changes: what is added and changed in the order of
// kinds, then what is deleted in the reverse order.
type Plan struct{ Steps []Step }

// Empty says that nothing differs.
func (p Plan) Empty() bool { return len(p.Steps) == 0 }

// Count gives the numbers of additions, changes and deletions.
func (p Plan) Count() (add, change, del int) {
	for _, s := range p.Steps {
		switch s.Action {
		case state.Add:
			add++
		case state.Modify:
			change++
		case state.Delete:
			del++
		}
	}
	return add, change, del
}

// Summary is the last line of a printed plan.
func (p Plan) Summary() string {
	add, change, del := p.Count()
	return fmt.Sprintf("%d to add, %d to change, %d to delete", add, change, del)
}

// originColumn is where origins begin; a longer line pushes its own on.
const originColumn = 72

// Text prints a step a line, with its origin, and a summary; nothing where the
// plan is empty. paint, where it is not nil, colours the line of an action.
func (p Plan) Text(paint func(state.Action, string) string) string {
	if p.Empty() {
		return ""
	}
	var b strings.Builder
	for _, s := range p.Steps {
		line := s.Action.String() + " " + s.Change.String()
		width := utf8.RuneCountInString(line)
		if paint != nil {
			line = paint(s.Action, line)
		}
		b.WriteString(line)
		if note := s.note(); note != "" {
			b.WriteString(strings.Repeat(" ", max(4, originColumn-width)))
			b.WriteString(note)
		}
		b.WriteByte('\n')
	}
	b.WriteString(p.Summary() + "\n")
	return b.String()
}

func (s Step) note() string {
	notes := s.Origin
	if s.Conflict != "" {
		return strings.TrimSpace(notes + "  conflict, will not be made: " + s.Conflict)
	}
	for _, text := range []string{s.Resets(), s.Later()} {
		if text != "" {
			notes += "  " + text
		}
	}
	return strings.TrimSpace(notes)
}

// Later says that the change of a BGP session, or a part of it, counts when the
// session is opened next, and which fields do; empty: all counts at once.
func (s Step) Later() string {
	before, ok1 := s.Before.(state.BGPPeer)
	after, ok2 := s.After.(state.BGPPeer)
	if !ok1 || !ok2 || s.Action != state.Modify || s.Resets() != "" {
		return ""
	}
	fields := strings.Join(before.Later(after), ", ")
	if fields == "" {
		return ""
	}
	return "with the next session: " + fields
}

// Resets says that the change ends a BGP session, or all of them, and by which
// fields; empty: none ends that goes on existing.
func (s Step) Resets() string {
	if s.Action != state.Modify {
		return ""
	}
	fields := strings.Join(state.BGPResets(s.Before, s.After), ", ")
	switch _, all := s.After.(state.BGPSpeaker); {
	case fields == "":
		return ""
	case all:
		return "resets every session: " + fields
	}
	return "resets the session: " + fields
}

// Kind is that of the step's object.
func (s Step) Kind() state.Kind { return s.key().Kind }

func (s *Step) key() state.Key {
	if s.entry != nil {
		return s.entry.key // without making it
	}
	return s.Object().Key()
}

type jsonStep struct {
	Action   state.Action `json:"action"`
	Kind     state.Kind   `json:"kind"`
	ID       string       `json:"id"`
	Text     string       `json:"text"`
	Before   state.Object `json:"before,omitempty"`
	After    state.Object `json:"after,omitempty"`
	Origin   string       `json:"origin,omitempty"`
	Conflict string       `json:"conflict,omitempty"`
	Resets   string       `json:"resets,omitempty"`
	Later    string       `json:"later,omitempty"`
}

// MarshalJSON gives the steps with their objects' fields, and the counts.
func (p Plan) MarshalJSON() ([]byte, error) {
	steps := make([]jsonStep, 0, len(p.Steps))
	for _, s := range p.Steps {
		key := s.Object().Key()
		steps = append(steps, jsonStep{
			Action: s.Action, Kind: key.Kind, ID: key.ID, Text: s.Change.String(),
			Before: s.Before, After: s.After, Origin: s.Origin, Conflict: s.Conflict, Resets: s.Resets(), Later: s.Later(),
		})
	}
	add, change, del := p.Count()
	return json.Marshal(struct {
		Steps  []jsonStep `json:"steps"`
		Add    int        `json:"add"`
		Change int        `json:"change"`
		Delete int        `json:"delete"`
	}{steps, add, change, del})
}

// order sorts steps as a plan wants them.
func order(steps []Step) {
	slices.SortFunc(steps, func(a, b Step) int { return inOrder(&a, &b) })
}

func inOrder(a, b *Step) int {
	deleteA, deleteB := a.Action == state.Delete, b.Action == state.Delete
	switch c := state.CompareKeys(a.key(), b.key()); {
	case deleteA && deleteB:
		return -c
	case deleteA:
		return 1
	case deleteB:
		return -1
	default:
		return c
	}
}
