package lab

import (
	"errors"

	"github.com/plumbnet/plumb/state/desired"
)

// parseState parses the state of a topology; its lines count from the state's own
// first line, as in the file that the agents are given.
func parseState(text string) (*desired.File, error) {
	if text == "" {
		return nil, errors.New("state: is missing; give the desired-state file as a block (state: |)")
	}
	f, problems := desired.Parse([]desired.Source{{Name: "state", Data: []byte(text)}})
	if f != nil {
		return f, nil
	}
	var errs []error
	for _, p := range problems {
		errs = append(errs, errors.New(p.String()))
	}
	return nil, errors.Join(errs...)
}
