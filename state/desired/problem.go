package desired

import (
	"cmp"
	"fmt"
	"slices"
)

// Problem is something wrong with a state file, and where. A warning does not
// make the file invalid.
type Problem struct {
	Pos     Pos
	Warning bool
	Message string // one sentence, lower case, without a trailing dot
}

// String is FILE:LINE:COLUMN: MESSAGE, the form that editors and CI systems
// turn into links.
func (p Problem) String() string {
	severity := ""
	if p.Warning {
		severity = "warning: "
	}
	return fmt.Sprintf("%s:%d:%d: %s%s", p.Pos.File, p.Pos.Line, p.Pos.Column, severity, p.Message)
}

func comparePos(a, b Pos) int {
	return cmp.Or(
		cmp.Compare(a.File, b.File),
		cmp.Compare(a.Line, b.Line),
		cmp.Compare(a.Column, b.Column),
	)
}

// sortProblems orders problems by place and drops repetitions, which come from
// a value that several aliases (*name) refer to.
func sortProblems(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(comparePos(a.Pos, b.Pos), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(problems)
}

func isError(p Problem) bool { return !p.Warning }
