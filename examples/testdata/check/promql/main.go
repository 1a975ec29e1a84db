// Command promql reads expressions, one a line, and prints the names of the metrics
// that they select, sorted. It is a module of its own, so that plumb does not depend on
// Prometheus itself.
package main

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/prometheus/prometheus/promql/parser"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	names := map[string]bool{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		expr, err := parser.ParseExpr(lines.Text())
		if err != nil {
			return fmt.Errorf("%s: %w", lines.Text(), err)
		}
		parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
			if s, ok := n.(*parser.VectorSelector); ok {
				names[s.Name] = true
			}
			return nil
		})
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		fmt.Println(name)
	}
	return lines.Err()
}
