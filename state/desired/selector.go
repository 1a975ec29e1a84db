package desired

import "slices"

// Matches says whether the node carries all labels of a selector, as every node
// does those of a nil or an empty one.
func (n *Node) Matches(selector map[string]string) bool {
	for k, want := range selector {
		if got, ok := n.Labels[k]; !ok || got != want {
			return false
		}
	}
	return true
}

// selection finds the nodes that a selector matches, without a look at all of
// them.
type selection struct {
	nodes []Node
	all   []int
	by    map[label][]int // the nodes with a label, by index
}

type label struct{ key, value string }

func newSelection(nodes []Node) *selection {
	s := &selection{nodes: nodes, all: make([]int, len(nodes)), by: make(map[label][]int)}
	for i := range nodes {
		s.all[i] = i
		for k, v := range nodes[i].Labels {
			s.by[label{k, v}] = append(s.by[label{k, v}], i)
		}
	}
	return s
}

// match gives the indexes of the nodes that the selector matches. The caller
// must not change them.
func (s *selection) match(selector map[string]string) []int {
	if len(selector) == 0 {
		return s.all
	}
	rarest := s.all
	for k, v := range selector {
		if with := s.by[label{k, v}]; len(with) < len(rarest) {
			rarest = with
		}
	}
	if len(selector) == 1 {
		return rarest
	}
	return slices.DeleteFunc(slices.Clone(rarest), func(i int) bool { return !s.nodes[i].Matches(selector) })
}

// clash is a pair of things that cannot both be on one node, and such a node.
type clash struct{ first, second, node int }

// clashes finds, among things of which each node may have one per key, those
// that meet on a node. Each is reported once, with the first that it meets.
func clashes[K comparable](s *selection, n int, keyed func(i int) (key K, selector map[string]string, ok bool), report func(clash)) {
	groups := make(map[K][]int)
	for i := range n {
		if k, _, ok := keyed(i); ok {
			groups[k] = append(groups[k], i)
		}
	}
	for _, group := range groups {
		if len(group) == 1 {
			continue
		}
		holder := make(map[int]int) // of a node: which of the group it has
		for _, i := range group {
			_, selector, _ := keyed(i)
			for _, node := range s.match(selector) {
				if first, ok := holder[node]; ok {
					report(clash{first, i, node})
					break // the same again for the other nodes
				}
				holder[node] = i
			}
		}
	}
}
