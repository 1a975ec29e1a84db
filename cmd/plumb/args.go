package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// noArgs is for verbs without arguments, and for those that have verbs below them.
// cobra calls an argument an unknown command, and lists what is like it on lines of
// their own; here an error is one line.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasAvailableSubCommands() {
		like := cmd.CommandPath() + " -h lists them"
		cmd.SuggestionsMinimumDistance = 2 // cobra's own default, which it sets too late
		if names := cmd.SuggestionsFor(args[0]); len(names) > 0 {
			like = fmt.Sprintf("did you mean %q?", names[0])
		}
		return fmt.Errorf("unknown command %q for %q; %s", args[0], cmd.CommandPath(), like)
	}
	mend := "leave it out"
	// Many tools take their file so.
	if _, err := os.Stat(args[0]); err == nil && cmd.Flag("file") != nil {
		mend = "write -f " + args[0]
	}
	return fmt.Errorf("%s takes no argument %q; %s", verb(cmd), args[0], mend)
}

// exactArgs is for verbs with so many arguments.
func exactArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return fmt.Errorf("%s takes %s, not %d; write %s", verb(cmd), counted(n), len(args), cmd.UseLine())
	}
}

func counted(n int) string {
	if n == 1 {
		return "one argument"
	}
	return fmt.Sprintf("%d arguments", n)
}

// verb is a command's path below plumb, whose name begins each error already.
func verb(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}
