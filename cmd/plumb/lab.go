package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/plumbnet/plumb/lab"
	"github.com/plumbnet/plumb/lab/show"
	"github.com/plumbnet/plumb/lab/supervisor"
)

// labCommand is a cluster of nodes in network namespaces on this machine.
func labCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "a cluster of nodes in network namespaces on this machine, each with a real agent",
		Long: `A lab is a cluster of nodes, their pods, and hosts beyond, in network
namespaces on this machine. Each node runs the real agent on the real state
file. It needs no root where the kernel gives users namespaces, changes nothing
of the machine's own network, and leaves nothing behind.`,
		Example: `  plumb lab up
  plumb lab exec node1 -- ip route
  plumb lab exec node1 -- plumb diff
  plumb lab ping
  plumb lab down`,
		Args: noArgs, // a verb that is none is an error, not a plea for help
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&name, "name", lab.DefaultName, "name of the lab, where there are several")
	client := func() (*lab.Client, error) {
		dir, err := lab.RunDir(name)
		return &lab.Client{Dir: dir}, err
	}
	cmd.AddCommand(labUp(&name), labStatus(client), labExec(client), labPing(client),
		labDown(&name), labDemo(&name), labTopology(), labSupervise())
	return cmd
}

// labUp brings a lab up and leaves it running.
func labUp(name *string) *cobra.Command {
	var file string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "up",
		Short: "bring a lab up, wait until every node has converged, and leave it running",
		Long:  "Bring a lab up, wait until every node has converged, and leave it running.",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			topology, dir, err := labFiles(file, *name)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			began := time.Now()
			c, err := lab.Start(ctx, topology, lab.Options{Dir: dir, Wait: wait})
			if err != nil {
				return err
			}
			s, err := c.Status(ctx)
			if err != nil {
				return err
			}
			show.Status(cmd.OutOrStdout(), s)
			up := "up"
			if !s.Converged() {
				up = "up, but for what this kernel lacks,"
			}
			which := ""
			if *name != lab.DefaultName {
				which = "--name " + *name + " "
			}
			fmt.Fprintf(cmd.OutOrStdout(), "\n%s in %.1f s; next: plumb lab %sexec %s -- ip route\n", up, time.Since(began).Seconds(), which, s.Nodes[0].Name)
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "topology `file` (default: three nodes and a route reflector; see plumb lab topology)")
	cmd.Flags().DurationVar(&wait, "wait", time.Minute, "how long the nodes may take to converge")
	return cmd
}

func labFiles(file, name string) (lab.Topology, lab.Dir, error) {
	topology, err := lab.ReadTopology(file)
	if err != nil {
		return lab.Topology{}, "", err
	}
	dir, err := lab.RunDir(name)
	return topology, dir, err
}

// labStatus shows a running lab.
func labStatus(client func() (*lab.Client, error)) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "show the lab's nodes, pods and hosts (exit status 0: all nodes converged, 1: not, 2: no lab)",
		Long:  "Show the lab's nodes, pods and hosts (exit status 0: all nodes converged, 1: not, 2: no lab).",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("-o %s: give text or json", output)
			}
			c, err := client()
			if err != nil {
				return err
			}
			s, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				if err := e.Encode(s); err != nil {
					return fmt.Errorf("status: %w", err)
				}
			} else {
				show.Status(cmd.OutOrStdout(), s)
			}
			if !s.Converged() {
				return exitError(1)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`form` of what is printed: text, json")
	return cmd
}

// labExec runs a command in the lab.
func labExec(client func() (*lab.Client, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use: "exec NODE|POD|HOST|SEGMENT -- COMMAND [ARG...]",

		DisableFlagsInUseLine: true,
		Short:                 "run a command in the lab; its exit status is the command's",
		Long: `Run a command in the network namespace of a node, pod, host or segment. In a
node, plumb's verbs find that node's file, state directory and agent.`,
		Example: `  plumb lab exec node1 -- plumb status
  plumb lab exec a1 -- ip route
  plumb lab exec lan -- bridge link
  plumb lab exec node1 -- bash`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[1] == "--" {
				args = slices.Delete(args, 1, 2)
			}
			if len(args) < 2 {
				return errors.New("give a command: plumb lab exec NODE -- COMMAND")
			}
			c, err := client()
			if err != nil {
				return err
			}
			signals := make(chan os.Signal, 8)
			signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
			command := lab.Command{
				Where: args[0], Args: args[1:], Signals: signals,
				Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
			}
			run := c.Exec
			if lab.IsTerminal(os.Stdin) && lab.IsTerminal(os.Stdout) {
				run = c.ExecTerminal
			}
			// Ctrl-C is for the command: it ends, or goes on, as it sees fit.
			code, err := run(context.WithoutCancel(cmd.Context()), command)
			if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "plumb:", err)
				code = max(code, 2)
			}
			if code != 0 {
				return exitError(code)
			}
			return nil
		},
	}
	// What follows the name is the command's, also without --.
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// labPing shows ping matrices.
func labPing(client func() (*lab.Client, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "ping",
		Short: "ping from each pod to each pod and host (exit status 0: all answered, 1: some lost)",
		Long:  "Ping from each pod to each pod and host (exit status 0: all answered, 1: some lost).",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := client()
			if err != nil {
				return err
			}
			s, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			anyLost := false
			for i, family := range []string{"IPv4", "IPv6"} {
				m, err := show.PingAll(cmd.Context(), c, s, i == 1, show.PingWait)
				if err != nil {
					return err
				}
				sent, lost := m.Sent()
				if sent == 0 {
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %d sent, %d lost; round trip in ms\n", family, sent, lost)
				m.Write(cmd.OutOrStdout(), "")
				anyLost = anyLost || lost > 0
			}
			if anyLost {
				return exitError(1)
			}
			return nil
		},
	}
}

// labDown takes a lab down.
func labDown(name *string) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "take the lab down and remove all that it left",
		Long:  "Take the lab down and remove all that it left.",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := lab.RunDir(*name)
			if err != nil {
				return err
			}
			was, err := lab.Down(cmd.Context(), dir)
			if err != nil {
				return err
			}
			word := "no lab is running"
			if was {
				word = "lab " + dir.Name() + " is down"
			}
			fmt.Fprintln(cmd.OutOrStdout(), word)
			return nil
		},
	}
}

// labDemo shows what plumb does, in a lab of its own.
func labDemo(name *string) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "bring a lab up, show its network and how a broken route is repaired, and take it down",
		Long: `Bring a lab up, show its network and how a broken route is repaired, and take
it down. The exit status is 1 where anything is not as it should be.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			topology, dir, err := labFiles(file, *name)
			if err != nil {
				return err
			}
			// SIGPIPE, too, must not end this before the lab is taken down: demo | head.
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
			defer stop()
			err = show.Demo(ctx, cmd.OutOrStdout(), topology, lab.Options{Dir: dir})
			if errors.Is(err, show.ErrWrong) {
				fmt.Fprintln(cmd.ErrOrStderr(), "plumb:", err)
				return exitError(1)
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "topology `file` (default: three nodes and a route reflector; see plumb lab topology)")
	return cmd
}

// labTopology prints the default topology.
func labTopology() *cobra.Command {
	return &cobra.Command{
		Use:   "topology",
		Short: "print the default topology, as a start for one of your own",
		Long:  "Print the default topology, as a start for one of your own.",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(lab.DefaultTopology())
			return err
		},
	}
}

// labSupervise is what lab.Start executes.
func labSupervise() *cobra.Command {
	var dir, plugin string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:    "supervise",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return supervisor.Run(cmd.Context(), lab.Dir(dir), plugin, wait)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the run directory")
	cmd.Flags().StringVar(&plugin, "plugin", "", "the CNI plugin")
	cmd.Flags().DurationVar(&wait, "wait", time.Minute, "how long the nodes may take to converge")
	return cmd
}
