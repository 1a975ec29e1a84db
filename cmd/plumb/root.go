package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/plumbnet/plumb/agent"
	"github.com/spf13/cobra"
)

// Exit statuses; a verb's help says what they mean there.
const (
	exitDifferent = 1 // differences, an invalid file, a node that is not converged
	exitFailed    = 2
)

// exitError is an error that says only how to exit: all was printed already.
type exitError int

func (c exitError) Error() string { return fmt.Sprintf("exit status %d", int(c)) }

// options are the flags that every verb takes.
type options struct {
	file, node, stateDir, socket string
	noColor                      bool
	output                       string // of verbs that print
	stdout, stderr               io.Writer
}

// run executes a command line and gives its exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand(&options{stdout: stdout, stderr: stderr})
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var code exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	complain(stderr, err)
	return exitFailed
}

// complain prints one line for each error that err joins.
func complain(w io.Writer, err error) {
	var invalid *agent.InvalidError
	if errors.As(err, &invalid) {
		for _, line := range invalid.Lines() {
			fmt.Fprintln(w, line)
		}
		return
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		fmt.Fprintln(w, "plumb: "+line)
	}
}

func rootCommand(o *options) *cobra.Command {
	root := &cobra.Command{
		Use:   "plumb",
		Short: "keep this node's network as the desired-state file says",
		Long: "plumb computes what this node's network should be from a desired-state file and the\n" +
			"endpoints on the node, compares that with the kernel, and applies the difference.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return o.complete(cmd)
		},
	}
	f := root.PersistentFlags()
	f.StringVarP(&o.file, "file", "f", env("PLUMB_FILE", "/etc/plumb/plumb.yaml"), "desired-state `file`, or a directory of them ($PLUMB_FILE)")
	f.StringVar(&o.node, "node", "", "`name` of this node in the file (default $NODE_NAME, or the hostname)")
	f.StringVar(&o.stateDir, "state-dir", env("PLUMB_STATE_DIR", "/var/lib/plumb"), "`directory` of endpoint records and the last good state ($PLUMB_STATE_DIR)")
	f.StringVar(&o.socket, "socket", env("PLUMB_SOCKET", "/run/plumb/plumb.sock"), "the agent's local API ($PLUMB_SOCKET)")
	f.BoolVar(&o.noColor, "no-color", false, "never use colour (also $NO_COLOR)")
	root.AddCommand(
		validateCommand(o), renderCommand(o), diffCommand(o), applyCommand(o), confirmCommand(o),
		agentCommand(o), statusCommand(o), traceCommand(o), bgpCommand(o), snapshotCommand(o), cleanupCommand(o), installCNICommand(o),
		labCommand(), completionCommand(o), versionCommand(o),
	)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; %s -h lists the flags", err, cmd.CommandPath())
	})
	return root
}

// complete fills in what depends on the environment, and checks --output.
func (o *options) complete(cmd *cobra.Command) error {
	if o.node == "" {
		o.node = os.Getenv("NODE_NAME")
	}
	if o.node == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("name of this node: %w; give --node", err)
		}
		o.node = name
	}
	out := cmd.Flags().Lookup("output")
	if out == nil || out.Annotations == nil {
		return nil
	}
	for _, form := range out.Annotations[forms] {
		if o.output == form {
			return nil
		}
	}
	return fmt.Errorf("--output %q: it is one of %s", o.output, strings.Join(out.Annotations[forms], ", "))
}

const forms = "plumb_forms"

// printing gives a verb the flag -o; the first form is the default.
func (o *options) printing(cmd *cobra.Command, allowed ...string) *cobra.Command {
	cmd.Flags().StringVarP(&o.output, "output", "o", allowed[0], "`form` of what is printed: "+strings.Join(allowed, ", "))
	_ = cmd.Flags().SetAnnotation("output", forms, allowed)
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
