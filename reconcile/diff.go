package reconcile

import (
	"cmp"
	"slices"

	"github.com/plumbnet/plumb/state"
)

// Diff gives the plan that turns have into want. It is the definition that the
// engine's incremental comparison keeps to.
func Diff(want, have state.Snapshot, origin func(state.Key) string) Plan {
	var steps []Step
	var wantRules, haveRules []state.Rule
	each := func(key state.Key, w, h state.Object) {
		if key.Kind == state.KindRule {
			wantRules, haveRules = appendRule(wantRules, w), appendRule(haveRules, h)
			return
		}
		if s, differs := compare(w, h); differs {
			if w != nil && origin != nil {
				s.Origin = origin(key)
			}
			steps = append(steps, s)
		}
	}
	for key, w := range want {
		each(key, w, have[key])
	}
	for key, h := range have {
		if _, both := want[key]; !both {
			each(key, nil, h)
		}
	}
	for _, s := range diffRules(wantRules, haveRules) {
		if s.Action == state.Add && origin != nil {
			s.Origin = origin(s.After.Key())
		}
		steps = append(steps, s)
	}
	order(steps)
	return Plan{Steps: steps}
}

func appendRule(list []state.Rule, o state.Object) []state.Rule {
	if r, ok := o.(state.Rule); ok {
		list = append(list, r)
	}
	return list
}

// compare gives the step that turns have into want, either of which may be nil.
func compare(want, have state.Object) (Step, bool) {
	switch {
	case want == have:
		return Step{}, false
	case have == nil:
		return Step{Change: state.Change[state.Object]{Action: state.Add, After: want}}, true
	case want == nil:
		return Step{Change: state.Change[state.Object]{Action: state.Delete, Before: have}}, true
	default:
		return Step{Change: state.Change[state.Object]{Action: state.Modify, Before: have, After: want}}, true
	}
}

// diffRules compares the rules of each chain as lists: a rule that was inserted
// is one deletion, not a change of every rule behind it. Deletions carry the
// rule's present position, additions the one in the final list.
func diffRules(want, have []state.Rule) []Step {
	wanted, had := byChain(want), byChain(have)
	var steps []Step
	for chain, w := range wanted {
		steps = append(steps, align(w, had[chain])...)
	}
	for chain, h := range had {
		if _, both := wanted[chain]; !both {
			steps = append(steps, align(nil, h)...)
		}
	}
	return steps
}

func byChain(rules []state.Rule) map[string][]state.Rule {
	m := map[string][]state.Rule{}
	for _, r := range rules {
		m[r.Chain] = append(m[r.Chain], r)
	}
	for _, list := range m {
		slices.SortFunc(list, func(a, b state.Rule) int { return cmp.Compare(a.Pos, b.Pos) })
	}
	return m
}

// align keeps the longest common subsequence and gives steps for the rest.
func align(want, have []state.Rule) []Step {
	// Equal ends are the usual case, and keep the table small.
	head := 0
	for head < len(want) && head < len(have) && want[head].Expr == have[head].Expr {
		head++
	}
	want, have = want[head:], have[head:]
	for len(want) > 0 && len(have) > 0 && want[len(want)-1].Expr == have[len(have)-1].Expr {
		want, have = want[:len(want)-1], have[:len(have)-1]
	}
	// common[i][j] is the length for want[i:] and have[j:].
	common := make([][]int, len(want)+1)
	for i := range common {
		common[i] = make([]int, len(have)+1)
	}
	for i := len(want) - 1; i >= 0; i-- {
		for j := len(have) - 1; j >= 0; j-- {
			if want[i].Expr == have[j].Expr {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var steps []Step
	for i, j := 0, 0; i < len(want) || j < len(have); {
		switch {
		case i < len(want) && j < len(have) && want[i].Expr == have[j].Expr:
			i, j = i+1, j+1
		case j == len(have) || i < len(want) && common[i+1][j] >= common[i][j+1]:
			s, _ := compare(want[i], nil)
			steps = append(steps, s)
			i++
		default:
			s, _ := compare(nil, have[j])
			steps = append(steps, s)
			j++
		}
	}
	return steps
}
