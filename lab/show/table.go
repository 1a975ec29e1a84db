// Package show prints labs for people: their status, ping matrices, and the
// demonstration.
package show

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table is rows of cells; the first row is its heading.
type table [][]string

func (t *table) add(cells ...string) { *t = append(*t, cells) }

// write aligns the columns, each line after an indent.
func (t table) write(w io.Writer, indent string) {
	var width []int
	for _, row := range t {
		for i, cell := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)+2))
		}
		fmt.Fprintln(w, strings.TrimRight(indent+b.String(), " "))
	}
}

// joined is the words of list with spaces between.
func joined[T fmt.Stringer](list []T) string {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = v.String()
	}
	return strings.Join(words, " ")
}
