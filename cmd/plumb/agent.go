package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/plumbnet/plumb/agent"
	"github.com/spf13/cobra"
)

func agentCommand(o *options) *cobra.Command {
	var dryRun, drain bool
	var http, format, level string
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "converge this node for ever",
		Long: "Converge this node for ever: the state file, the endpoint records and the kernel are watched,\n" +
			"and whatever differs is put right. SIGTERM ends it and leaves the kernel's state in place, and\n" +
			"peers of BGP keep the routes until it is back.\n\n" +
			"With --drain, the agent that runs is told to withdraw what it announces, and to end its BGP\n" +
			"sessions, for maintenance: it goes on with all else, and speaks BGP again when it is started anew.\n" +
			"SIGUSR1 tells it the same.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Elsewhere a hang-up means "read your file again", which the agent does anyway.
			signal.Ignore(syscall.SIGHUP)
			if drain {
				if err := call(cmd.Context(), o.socket, "POST", "/drain", nil); err != nil {
					return fmt.Errorf("drain: %w", err)
				}
				return nil
			}
			drains := make(chan os.Signal, 1)
			signal.Notify(drains, syscall.SIGUSR1)
			defer signal.Stop(drains)
			log, err := logger(o, format, level)
			if err != nil {
				return err
			}
			return agent.Run(cmd.Context(), agent.Options{
				File: o.file, Node: o.node, StateDir: o.stateDir, Socket: o.socket,
				HTTP: http, DryRun: dryRun, Version: version, Log: log, Drain: drains,
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&dryRun, "dry-run", false, "only log the differences")
	f.BoolVar(&drain, "drain", false, "have the agent that runs withdraw what it announces, for maintenance")
	f.StringVar(&http, "http", "127.0.0.1:9178", "`address` of /healthz, /readyz, /metrics and /status; empty: none")
	f.StringVar(&format, "log-format", "text", "`form` of the log: text, json")
	f.StringVar(&level, "log-level", "info", "`least` of what is logged: debug, info, warn, error")
	return cmd
}

func logger(o *options, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: it is one of debug, info, warn, error", level)
	}
	h := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(o.stderr, h)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(o.stderr, h)), nil
	}
	return nil, fmt.Errorf("--log-format %q: it is one of text, json", format)
}
