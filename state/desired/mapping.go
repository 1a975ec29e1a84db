package desired

import (
	"slices"

	"gopkg.in/yaml.v3"
)

// item is a mapping of its own, as the elements of lists are. pos, where not
// nil, is the part of T that keeps the mapping's place.
func item[T any](blank func() T, pos func(*T) *Pos, fields ...field[T]) shape[T] {
	m := mapping[T]{pos: pos, fields: fields}
	return shape[T]{decode: m.decode, blank: blank, paths: m.paths()}
}

// section is a mapping that there is once, and that several files may fill
// together. path is where it is, "" for the whole file.
func section[T any](path string, pos func(*T) *Pos, fields ...field[T]) shape[T] {
	m := mapping[T]{path: path, shared: true, pos: pos, fields: fields}
	return shape[T]{decode: m.decode, paths: m.paths()}
}

// withBlank gives s a value to begin with.
func withBlank[T any](s shape[T], blank func() T) shape[T] {
	s.blank = blank
	return s
}

type mapping[T any] struct {
	path   string
	shared bool
	pos    func(*T) *Pos
	fields []field[T]
}

func (m *mapping[T]) paths() []string {
	var paths []string
	for _, f := range m.fields {
		paths = append(paths, "."+f.name)
		for _, p := range f.paths {
			paths = append(paths, "."+f.name+p)
		}
	}
	return paths
}

func (m *mapping[T]) decode(w *walker, v value, to *T) {
	if v.Kind != yaml.MappingNode {
		if w.field == "" {
			w.fail(v.pos, "the file must be a mapping of fields, not %s", kindOf(v.Node))
			w.incomplete = true
		} else {
			w.failField(v.pos, "must be a mapping of fields, not %s", kindOf(v.Node))
		}
		w.broken[m.path] = true
		return
	}
	before := len(w.problems)
	if m.pos != nil {
		if p := m.pos(to); p.Line == 0 {
			*p = v.pos
		}
		w.mappings[v.pos] = v.Node
	}
	outer := w.field
	seen := make([]sighting, len(m.fields))
	for i := 0; i+1 < len(v.Content) && !w.stopped; i += 2 {
		if k := m.key(w, v.Content[i], seen); k >= 0 {
			w.field = m.fields[k].name
			m.value(w, &m.fields[k], v.Content[i+1], to)
			w.field = outer
		}
	}
	if w.stopped {
		return
	}
	for i, f := range m.fields {
		if f.required && !seen[i].misspelt && (seen[i].pos.Line == 0 || isEmptyAt(v.Node, f.name)) {
			w.fail(v.pos, "%s is missing; it is required", f.name)
		}
	}
	if !m.shared && len(w.problems) > before {
		w.doubtful[v.pos] = true
	}
}

// sighting is what a mapping has of one field.
type sighting struct {
	pos      Pos  // of its name; line 0: it is not there
	misspelt bool // a field of nearly the same name is there
}

// key gives the index of the field that a key names, -1 where there is none or
// the mapping has it already.
func (m *mapping[T]) key(w *walker, n *yaml.Node, seen []sighting) int {
	at := w.posOf(n)
	if n.Kind != yaml.ScalarNode {
		w.fail(at, "the name of a field must be written out, not %s", kindOf(n))
		return -1
	}
	if n.ShortTag() == "!!merge" {
		w.fail(at, "merge keys (<<) are not supported; write the fields out")
		return -1
	}
	found := m.index(n.Value)
	if found < 0 {
		m.unknown(w, at, n.Value, seen)
		return -1
	}
	if first := seen[found].pos; first.Line != 0 {
		w.fail(at, "%s is set twice: first at %s; remove one", n.Value, first)
		return -1
	}
	seen[found].pos = at
	return found
}

func (m *mapping[T]) index(name string) int {
	return slices.IndexFunc(m.fields, func(f field[T]) bool { return f.name == name })
}

func (m *mapping[T]) unknown(w *walker, at Pos, name string, seen []sighting) {
	names := make([]string, len(m.fields))
	for i, f := range m.fields {
		names[i] = f.name
	}
	near, ok := w.spelling.nearest(name, slices.Values(names))
	if !ok {
		w.fail(at, "unknown field %s", quote(name))
		return
	}
	w.fail(at, "unknown field %s; did you mean %q?", quote(name), near)
	seen[m.index(near)].misspelt = true
	if m.shared {
		// What the misspelt section has is not missing.
		w.broken[join(m.path, near)] = true
	}
}

func (m *mapping[T]) value(w *walker, f *field[T], n *yaml.Node, to *T) {
	if isNull(n) {
		return // as good as absent
	}
	w.visit(n, func(v value) {
		path := join(m.path, f.name)
		if m.shared && v.Kind == yaml.ScalarNode {
			if first, ok := w.set[path]; ok && path != "apiVersion" {
				w.fail(v.pos, "%s is set twice: first at %s; remove one", path, first)
				return
			}
			w.set[path] = v.pos
		}
		if m.shared {
			w.path = path
		} else {
			w.path = ""
		}
		f.decode(w, v, to)
	})
}

func isEmptyAt(m *yaml.Node, field string) bool {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == field {
			return isNull(m.Content[i+1])
		}
	}
	return true
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
