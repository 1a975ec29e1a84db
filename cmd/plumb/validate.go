package main

import (
	"fmt"

	"github.com/plumbnet/plumb/state/desired"
	"github.com/spf13/cobra"
)

func validateCommand(o *options) *cobra.Command {
	return o.printing(&cobra.Command{
		Use:   "validate",
		Short: "check the state file and print every error as file:line:column: message",
		Long: "Check the state file. Every error is printed as file:line:column: message, warnings too.\n" +
			"Exit status: 0 the file is valid, 1 it is not.",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return validate(o) },
	}, "text", "json")
}

func validate(o *options) error {
	sources, err := desired.Read(o.file)
	if err != nil {
		complain(o.stderr, err)
		return exitError(exitDifferent)
	}
	f, problems := desired.Parse(sources)
	if o.output == "json" {
		if err := printJSON(o.stdout, jsonProblems(f != nil, problems)); err != nil {
			return err
		}
	} else {
		for _, p := range problems {
			fmt.Fprintln(o.stderr, p)
		}
	}
	if f == nil {
		return exitError(exitDifferent)
	}
	return nil
}

type jsonProblem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Warning bool   `json:"warning,omitempty"`
	Message string `json:"message"`
}

func jsonProblems(valid bool, problems []desired.Problem) any {
	list := make([]jsonProblem, 0, len(problems))
	for _, p := range problems {
		list = append(list, jsonProblem{p.Pos.File, p.Pos.Line, p.Pos.Column, p.Warning, p.Message})
	}
	return struct {
		Valid    bool          `json:"valid"`
		Problems []jsonProblem `json:"problems"`
	}{valid, list}
}
