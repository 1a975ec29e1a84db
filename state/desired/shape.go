package desired

import (
	"slices"

	"gopkg.in/yaml.v3"
)

// A shape is what a value of the file may look like, and how it becomes a T. The
// schema is a tree of shapes.
type shape[T any] struct {
	// decode reads v into to; what is wrong becomes a problem, and to keeps what
	// it had.
	decode func(w *walker, v value, to *T)
	// blank makes a T with its defaults; nil: the zero value.
	blank func() T
	// paths are the names of the fields beneath, relative: ".vni", "[].name".
	paths []string
}

func (s shape[T]) new() T {
	if s.blank != nil {
		return s.blank()
	}
	var zero T
	return zero
}

// A field is a named part of a mapping that becomes a T.
type field[T any] struct {
	name     string
	required bool
	decode   func(w *walker, v value, to *T)
	paths    []string
}

// optional is a field that becomes the part of T that at points to.
func optional[T, V any](name string, s shape[V], at func(*T) *V) field[T] {
	return field[T]{
		name:   name,
		decode: func(w *walker, v value, to *T) { s.decode(w, v, at(to)) },
		paths:  s.paths,
	}
}

// required is like optional, for a field whose absence is an error.
func required[T, V any](name string, s shape[V], at func(*T) *V) field[T] {
	f := optional(name, s, at)
	f.required = true
	return f
}

// list is a list of what s is. Every element of the YAML list gets one of the
// slice, a bad one too, so that indexes agree. Several lists are concatenated.
func list[T any](s shape[T]) shape[[]T] {
	paths := make([]string, len(s.paths))
	for i, p := range s.paths {
		paths[i] = "[]" + p
	}
	return shape[[]T]{paths: paths, decode: func(w *walker, v value, to *[]T) {
		if v.Kind != yaml.SequenceNode {
			mend := ""
			if v.Kind == yaml.ScalarNode {
				mend = "; write [" + quoteScalar(v.Node) + "]"
			}
			w.failField(v.pos, "must be a list, not %s%s", kindOf(v.Node), mend)
			w.broken[w.path] = true
			return
		}
		*to = slices.Grow(*to, len(v.Content))
		if *to == nil {
			*to = []T{} // an empty list is not the same as none
		}
		for _, n := range v.Content {
			elem := s.new()
			w.visit(n, func(v value) {
				if isNull(v.Node) {
					w.failField(v.pos, "the list has an empty element; fill it in or remove it")
					return
				}
				s.decode(w, v, &elem)
			})
			if w.stopped {
				return
			}
			*to = append(*to, elem)
		}
	}}
}

// pointer is what s is, made when it is first set.
func pointer[T any](s shape[T]) shape[*T] {
	return shape[*T]{paths: s.paths, decode: func(w *walker, v value, to **T) {
		if *to == nil {
			t := s.new()
			*to = &t
		}
		s.decode(w, v, *to)
	}}
}

// labels is a mapping of strings to strings.
var labels = shape[map[string]string]{decode: func(w *walker, v value, to *map[string]string) {
	if v.Kind != yaml.MappingNode {
		w.failField(v.pos, "must be a mapping of labels to values, as in {rack: r1}, not %s", kindOf(v.Node))
		return
	}
	m := make(map[string]string, len(v.Content)/2)
	places := make(map[string]Pos, len(v.Content)/2)
	name := w.field
	for i := 0; i+1 < len(v.Content) && !w.stopped; i += 2 {
		w.visit(v.Content[i], func(k value) {
			if !w.isString(k) {
				return
			}
			if first, ok := places[k.Value]; ok {
				w.failField(k.pos, "the label %s is set twice: first at %s; remove one", quote(k.Value), first)
				return
			}
			places[k.Value] = k.pos
			w.visit(v.Content[i+1], func(v value) {
				w.field = name + "." + abbreviate(k.Value)
				if w.isString(v) {
					m[k.Value] = v.Value
				}
				w.field = name
			})
		})
	}
	*to = m
}}
