package main

import (
	"fmt"
	"maps"

	"github.com/plumbnet/plumb/agent"
	"github.com/spf13/cobra"
)

func snapshotCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "snapshot",
		Short: "print what plumb owns in the kernel now, as JSON for diff --against",
		Long: "Print what plumb owns in the kernel now, as JSON for `plumb diff --against`.\n" +
			"Sysctls bear no mark of ownership: those that the state file asks for are printed.\n" +
			"Where an agent runs, its BGP sessions, filters and prefixes are printed too.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := agent.Load(o.file, o.node)
			if err != nil {
				fmt.Fprintln(o.stderr, "plumb: sysctls are left out, for there is no valid state file:")
				complain(o.stderr, err)
			}
			s, err := agent.Snapshot(cmd.Context(), l, o.node, o.stateDir)
			if err != nil {
				return err
			}
			if running := o.runningBGP(cmd.Context()); running != nil {
				maps.Copy(s, running.Objects)
			}
			return printJSON(o.stdout, s)
		},
	}
}
