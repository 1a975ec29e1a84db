package nft

import "github.com/plumbnet/plumb/state"

// ruleChange is a change of a chain's rules, with the expressions compiled.
type ruleChange struct {
	state.Change[state.Object]
	index int // among the changes
	pos   int
	text  string // the canonical text of After
	code  []byte
}

// slot is a rule of a chain as it is to be: one that is there already, or code.
type slot struct {
	text  string
	code  []byte
	old   *kernelRule // the rule that stays as it is
	index int         // the change that asked for it, or -1
	rule  kernelRule  // what the kernel made of code
}

// mergeRules gives the rules that the changes make of cur. A deleted or changed
// rule's position is that in cur, an added or changed one's that in the result;
// the others keep their order around those.
//
// Positions are what identifies a rule, so a change that was carried out before
// does nothing: what stands where it should is left there, and only what a
// deletion names is deleted. remake says which of the others have to be made
// anew, because what they refer to is.
func mergeRules(cur []kernelRule, changes []ruleChange, remake func(kernelRule) bool) []*slot {
	removed := make([]bool, len(cur))
	placed := map[int]*slot{}
	for _, c := range changes {
		switch c.Action {
		case state.Delete:
			pos := c.Before.(state.Rule).Pos
			if pos < len(cur) && cur[pos].text == c.Before.(state.Rule).Expr {
				removed[pos] = true
			}
		case state.Modify:
			if pos := c.Before.(state.Rule).Pos; pos < len(cur) {
				removed[pos] = true
			}
			placed[c.pos] = &slot{text: c.text, code: c.code, index: c.index}
		case state.Add:
			if c.pos < len(cur) && cur[c.pos].text == c.text {
				removed[c.pos] = true
			}
			placed[c.pos] = &slot{text: c.text, code: c.code, index: c.index}
		}
	}
	var final []*slot
	fill := func() {
		for s := placed[len(final)]; s != nil; s = placed[len(final)] {
			delete(placed, len(final))
			final = append(final, s)
		}
	}
	for i := range cur {
		fill()
		if !removed[i] {
			final = append(final, &slot{text: cur[i].text, index: -1})
		}
	}
	fill()
	// Positions beyond the end: what was to stand before is not there any more.
	for len(placed) > 0 {
		least := -1
		for pos := range placed {
			if least < 0 || pos < least {
				least = pos
			}
		}
		final = append(final, placed[least])
		delete(placed, least)
	}
	keep(cur, final, remake)
	return final
}

// keep finds the most rules that can stay as they are: a longest common
// subsequence. So an insertion at the top, which changes the text at every
// position, is one message, and packets counted by the others stay counted.
func keep(cur []kernelRule, final []*slot, remake func(kernelRule) bool) {
	same := func(i, j int) bool { return cur[i].text == final[j].text && !remake(cur[i]) }
	i, j, m, n := 0, 0, len(cur), len(final)
	for i < m && j < n && same(i, j) {
		final[j].old = &cur[i]
		i, j = i+1, j+1
	}
	for m > i && n > j && same(m-1, n-1) {
		m, n = m-1, n-1
		final[n].old = &cur[m]
	}
	if (m-i)*(n-j) > 1<<22 {
		return // no such chain; making them anew is right as well
	}
	// length[a][b] is that of the subsequence of cur[i+a:m] and final[j+b:n].
	length := make([][]int32, m-i+1)
	for a := range length {
		length[a] = make([]int32, n-j+1)
	}
	for a := m - i - 1; a >= 0; a-- {
		for b := n - j - 1; b >= 0; b-- {
			if same(i+a, j+b) {
				length[a][b] = length[a+1][b+1] + 1
			} else {
				length[a][b] = max(length[a+1][b], length[a][b+1])
			}
		}
	}
	for i < m && j < n {
		switch a, b := len(length)-1-(m-i), len(length[0])-1-(n-j); {
		case same(i, j):
			final[j].old = &cur[i]
			i, j = i+1, j+1
		case length[a+1][b] >= length[a][b+1]:
			i++
		default:
			j++
		}
	}
}
