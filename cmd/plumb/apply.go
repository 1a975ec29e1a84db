package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/plumbnet/plumb/agent"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/state"
	"github.com/spf13/cobra"
)

func applyCommand(o *options) *cobra.Command {
	var dry bool
	var confirm time.Duration
	cmd := o.printing(&cobra.Command{
		Use:   "apply",
		Short: "converge this node once",
		Long: "Converge this node once, and print what was changed. With --confirm, the earlier state is put\n" +
			"back unless `plumb confirm` comes in time. Refused while an agent runs: edit its file instead.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dry {
				err := diff(cmd.Context(), o, "")
				if errors.Is(err, exitError(exitDifferent)) {
					return nil
				}
				return err
			}
			return apply(cmd.Context(), o, confirm)
		},
	}, "text", "json")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print what would be changed, and change nothing")
	cmd.Flags().DurationVar(&confirm, "confirm", 0, "put the earlier state back after this `time`, unless confirmed")
	return cmd
}

func apply(ctx context.Context, o *options, confirm time.Duration) error {
	if confirm < 0 {
		return fmt.Errorf("--confirm %s: it is a time to wait, such as 30s", confirm)
	}
	l, err := agent.Load(o.file, o.node)
	if err != nil {
		return err
	}
	if err := agent.MakeStateDir(o.stateDir); err != nil {
		return err
	}
	unlock, err := agent.Lock(o.stateDir, "plumb apply")
	if err != nil {
		return err
	}
	defer unlock()
	once, err := agent.NewOnce(ctx, l, o.node, o.stateDir, nil)
	if err != nil {
		return err
	}
	defer once.Close()
	p, err := once.Plan(ctx)
	if err != nil {
		return err
	}
	o.warn(l, once.Warnings())
	o.sayLeftOut(l, nil, false)
	if confirm > 0 && !p.Empty() {
		return applyUnlessConfirmed(ctx, o, once, p, confirm)
	}
	done, err := once.Apply(ctx, p)
	if perr := o.printPlan(done); perr != nil || err != nil {
		return errors.Join(perr, err)
	}
	return once.Keep()
}

// applyUnlessConfirmed listens before it changes anything, so that a change that
// cuts the operator off is put back whatever happens to the terminal.
func applyUnlessConfirmed(ctx context.Context, o *options, once *agent.Once, p reconcile.Plan, wait time.Duration) error {
	// A terminal that goes away must not take the way back with it.
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	c, err := agent.AwaitConfirmation(o.socket)
	if err != nil {
		return err
	}
	defer c.Close()
	before := once.Have()
	done, err := once.Apply(ctx, p)
	if perr := o.printPlan(done); perr != nil || err != nil {
		return errors.Join(perr, err, putBack(o, once, before))
	}
	fmt.Fprintf(o.stderr, "plumb: putting the earlier state back in %s, unless `plumb confirm` comes\n", wait)
	if c.Wait(ctx, wait) {
		fmt.Fprintln(o.stderr, "plumb: confirmed")
		return once.Keep()
	}
	err = fmt.Errorf("not confirmed within %s", wait)
	if ctx.Err() != nil {
		err = errors.New("interrupted before it was confirmed")
	}
	return errors.Join(err, putBack(o, once, before))
}

func confirmCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "confirm",
		Short: "keep what `plumb apply --confirm` made",
		Long: "Keep what `plumb apply --confirm` made: it waits, and puts the earlier state back when its\n" +
			"time is over.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := call(cmd.Context(), o.socket, "POST", "/confirm", nil)
			if errors.Is(err, errNotServed) {
				return errors.New("nothing waits to be confirmed: an agent answers here, which needs no confirming")
			}
			if err != nil {
				return fmt.Errorf("nothing waits to be confirmed: %w", err)
			}
			return nil
		},
	}
}

// putBack restores the earlier state; it is not to be interrupted.
func putBack(o *options, once *agent.Once, before state.Snapshot) error {
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	fmt.Fprintln(o.stderr, "plumb: putting the earlier state back")
	done, err := once.Restore(context.Background(), before)
	if err != nil {
		err = fmt.Errorf("the earlier state is not wholly back: %w", err)
	}
	return errors.Join(o.printPlan(done), err)
}
