package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
)

// Command is a command to run in a node, pod, host or segment of a lab.
type Command struct {
	Where                 string
	Args                  []string
	Env                   []string         // nil: this process's; a node's PLUMB_… are added
	Dir                   string           // empty: this process's; where it is not there: /
	Stdin, Stdout, Stderr *os.File         // nil: /dev/null
	Signals               <-chan os.Signal // what comes here is sent to the command
}

// Exec runs a command and gives its exit status as a shell has it. Where ctx ends
// first the command is hung up on.
func (c *Client) Exec(ctx context.Context, cmd Command) (int, error) {
	return c.exec(ctx, cmd, false)
}

// Output runs a command and gives what it wrote on each of its outputs, and its
// exit status.
func (c *Client) Output(ctx context.Context, where string, args ...string) (stdout, stderr string, code int, err error) {
	var text [2]string
	var ends [2]*os.File
	var wg sync.WaitGroup
	for i := range ends {
		r, w, err := os.Pipe()
		if err != nil {
			return "", "", 0, fmt.Errorf("exec in %s: %w", where, err)
		}
		defer w.Close()
		ends[i] = w
		wg.Go(func() {
			defer r.Close()
			b, _ := io.ReadAll(r)
			text[i] = string(b)
		})
	}
	code, err = c.Exec(ctx, Command{Where: where, Args: args, Stdout: ends[0], Stderr: ends[1]})
	ends[0].Close()
	ends[1].Close()
	wg.Wait()
	if err != nil {
		err = fmt.Errorf("%s in %s: %w", strings.Join(args, " "), where, err)
	}
	return text[0], text[1], code, err
}

func (c *Client) exec(ctx context.Context, cmd Command, tty bool) (int, error) {
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	if cmd.Dir == "" {
		cmd.Dir, _ = os.Getwd()
	}
	files := []*os.File{cmd.Stdin, cmd.Stdout, cmd.Stderr}
	for i, f := range files {
		if f == nil {
			null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			if err != nil {
				return 0, fmt.Errorf("exec: %w", err)
			}
			defer null.Close()
			files[i] = null
		}
	}
	conn, err := c.connect(ctx, Request{Exec: &ExecRequest{
		Where: cmd.Where, Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir, TTY: tty,
	}}, files...)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	// To close the connection is to hang up.
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	done := make(chan struct{})
	defer close(done)
	go func() {
		out := json.NewEncoder(conn)
		for {
			select {
			case <-done:
				return
			case s := <-cmd.Signals:
				if n, ok := s.(syscall.Signal); ok {
					out.Encode(ExecInput{Signal: int(n)}) //nolint:errcheck // the reader sees it too
				}
			}
		}
	}()
	var end ExecOutput
	if err := json.NewDecoder(conn).Decode(&end); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return 0, fmt.Errorf("exec in %s: the supervisor went away: %w", cmd.Where, err)
	}
	if end.Error != "" {
		return end.Exit, errors.New(end.Error)
	}
	return end.Exit, nil
}
