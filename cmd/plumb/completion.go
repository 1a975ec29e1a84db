package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// completionCommand stands in place of cobra's own, which is four verbs.
func completionCommand(o *options) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "print the completion script of a shell: bash, zsh, fish, powershell",
		Long: "Print the script by which a shell (bash, zsh, fish, powershell) completes plumb's command\n" +
			"lines. `make install` puts those of bash, zsh and fish into their places.",
		Example: `  source <(plumb completion bash)
  plumb completion zsh >/usr/local/share/zsh/site-functions/_plumb`,
		Args:                  exactArgs(1),
		ValidArgs:             shells,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(o.stdout, true)
			case "zsh":
				return root.GenZshCompletion(o.stdout)
			case "fish":
				return root.GenFishCompletion(o.stdout, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(o.stdout)
			}
			return fmt.Errorf("%q: the shell is one of %v", args[0], shells)
		},
	}
}
