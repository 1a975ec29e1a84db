package main

import (
	"fmt"

	"github.com/plumbnet/plumb/agent"
	"github.com/spf13/cobra"
)

func cleanupCommand(o *options) *cobra.Command {
	var dryRun bool
	cmd := o.printing(&cobra.Command{
		Use:   "cleanup",
		Short: "remove all that plumb owns from this node",
		Long: "Remove all that plumb owns from this node: routes, the nftables table, the host ends of pods,\n" +
			"endpoint records; sysctls are put back to what they were. Interfaces that the state file\n" +
			"names as endpoints were made by other hands and stay. Refused while an agent runs.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !dryRun {
				unlock, err := agent.Lock(o.stateDir, "plumb cleanup")
				if err != nil {
					return err
				}
				defer unlock()
			}
			l, err := agent.Load(o.file, o.node)
			if err != nil {
				fmt.Fprintln(o.stderr, "plumb: cleaning up without the state file:")
				complain(o.stderr, err)
			}
			p, err := agent.Cleanup(cmd.Context(), l, o.node, o.stateDir, dryRun)
			if perr := o.printPlan(p); perr != nil {
				return perr
			}
			return err
		},
	}, "text", "json")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what would be removed, and remove nothing")
	return cmd
}
