package nft

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/state"
)

// applyInParts is what is left where a transaction fails as a whole, with no
// message to blame (the kernel runs out of memory, a hook cannot be registered,
// the transaction is longer than may be sent): what belongs together is tried by
// itself, so that the fault of one part does not hold up the rest.
func (k *Kind) applyInParts(ctx context.Context, changes []state.Change[state.Object], live []int, errs []error, cause error) {
	parts := split(changes, live, errors.Is(cause, unix.EMSGSIZE))
	if len(parts) < 2 {
		for _, i := range live {
			errs[i] = cause
		}
		return
	}
	var again [][]int
	for _, part := range parts {
		k.apply(ctx, changes, part, errs)
		for _, i := range part {
			if errs[i] != nil {
				again = append(again, part)
				break
			}
		}
	}
	// A set that is still referred to can go once the rules that did so have
	// gone, and rules can be made once their set is there.
	if len(again) == len(parts) {
		return
	}
	for _, part := range again {
		var failed []int
		for _, i := range part {
			if errs[i] != nil {
				errs[i] = nil
				failed = append(failed, i)
			}
		}
		k.apply(ctx, changes, failed, errs)
	}
}

// split gives what can be applied by itself, in the order in which things are
// made: the table, each set, each chain with its rules. Elements go with their
// set; long is for those too many for one transaction.
func split(changes []state.Change[state.Object], live []int, long bool) [][]int {
	type group struct {
		kind state.Kind
		name string
	}
	var order []group
	members := map[group][]int{}
	for _, kind := range []state.Kind{state.KindTable, state.KindSet, state.KindChain} {
		for _, i := range live {
			g := group{kind: kind}
			switch o := changes[i].Object().(type) {
			case state.Set:
				g = group{state.KindSet, o.Name}
			case state.Element:
				g = group{state.KindSet, o.Set}
			case state.Chain:
				g = group{state.KindChain, o.Name}
			case state.Rule:
				g = group{state.KindChain, o.Chain}
			default:
				g = group{state.KindTable, ""}
			}
			if g.kind != kind {
				continue
			}
			if members[g] == nil {
				order = append(order, g)
			}
			members[g] = append(members[g], i)
		}
	}
	if len(order) == 1 && long {
		return halves(changes, live)
	}
	parts := make([][]int, len(order))
	for i, g := range order {
		parts[i] = members[g]
	}
	return parts
}

// halves parts the changes of one set: what comes before the elements goes with
// the first ones. Nothing else can be parted.
func halves(changes []state.Change[state.Object], live []int) [][]int {
	var set, elements []int
	for _, i := range live {
		if _, ok := changes[i].Object().(state.Element); ok {
			elements = append(elements, i)
		} else {
			set = append(set, i)
		}
	}
	if len(elements) < 2 {
		return nil
	}
	half := len(elements) / 2
	return [][]int{append(set, elements[:half]...), elements[half:]}
}
