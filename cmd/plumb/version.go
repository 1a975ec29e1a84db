package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func versionCommand(o *options) *cobra.Command {
	return o.printing(&cobra.Command{
		Use:   "version",
		Short: "print the version",
		Long:  "Print plumb's version, and that of Go which built it.",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			if o.output == "json" {
				return printJSON(o.stdout, map[string]string{"version": version, "go": runtime.Version()})
			}
			fmt.Fprintf(o.stdout, "plumb %s (%s)\n", version, runtime.Version())
			return nil
		},
	}, "text", "json")
}
