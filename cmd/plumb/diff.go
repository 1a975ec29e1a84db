package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/plumbnet/plumb/agent"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/state"
	"github.com/spf13/cobra"
)

func diffCommand(o *options) *cobra.Command {
	var against string
	cmd := o.printing(&cobra.Command{
		Use:   "diff",
		Short: "print what apply would change, and change nothing",
		Long: "Compare the node with its state file: one line an object, + to add, - to delete, ~ to change\n" +
			"(old -> new), with the line of the file or the endpoint that asks for it.\n" +
			"BGP sessions and learned routes are the running agent's; without one they are left out.\n" +
			"Exit status: 0 no difference, 1 differences, 2 error.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return diff(cmd.Context(), o, against) },
	}, "text", "json")
	cmd.Flags().StringVar(&against, "against", "", "compare with a `snapshot` (of plumb snapshot) in place of the kernel")
	return cmd
}

func diff(ctx context.Context, o *options, against string) error {
	l, err := agent.Load(o.file, o.node)
	if err != nil {
		return err
	}
	running := o.runningBGP(ctx)
	var have state.Snapshot
	if against != "" {
		if have, err = readSnapshot(against); err != nil {
			return err
		}
		running = agent.BGPOf(have, running)
	}
	once, err := agent.NewOnce(ctx, l, o.node, o.stateDir, running)
	if err != nil {
		return err
	}
	defer once.Close()
	var p reconcile.Plan
	if against != "" {
		p = once.Against(have)
	} else if p, err = once.Plan(ctx); err != nil {
		return err
	}
	o.warn(l, once.Warnings())
	o.sayLeftOut(l, running, against != "")
	if err := o.printPlan(p); err != nil {
		return err
	}
	if !p.Empty() {
		return exitError(exitDifferent)
	}
	return nil
}

// runningBGP asks the agent of this node for what it knows of BGP; nil where none
// answers.
func (o *options) runningBGP(ctx context.Context) *agent.BGPState {
	var s agent.BGPState
	if call(ctx, o.socket, "GET", "/bgp", &s) != nil {
		return nil
	}
	return &s
}

// sayLeftOut says on stderr what of BGP is not compared.
func (o *options) sayLeftOut(l *agent.Loaded, running *agent.BGPState, snapshot bool) {
	says := func(text string) { fmt.Fprintln(o.stderr, "plumb: "+text) }
	switch {
	case l.File.BGP == nil && (running == nil || !running.Drained):
	case running == nil && snapshot:
		says("BGP sessions and learned routes are left out of the comparison: the snapshot was taken where no agent with BGP ran")
	case running == nil:
		says("BGP sessions and learned routes are left out of the comparison: only a running agent knows them, and none answers")
	case running.Drained:
		says("BGP sessions and learned routes are left out of the comparison: the agent is drained for maintenance")
	case running.Learned == nil:
		says("learned routes are left out of the comparison: only a running agent knows them, and none answers")
	case !running.Settled:
		says("the agent has restarted and not heard from all peers yet: routes that were learned before stay")
	}
}

func readSnapshot(path string) (state.Snapshot, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	var s state.Snapshot
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", path, err)
	}
	return s, nil
}
