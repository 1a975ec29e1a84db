package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/plumbnet/plumb/cni/install"
)

// Options say how a lab is run.
type Options struct {
	Dir   Dir           // see RunDir
	Plumb string        // the plumb binary, beside which plumb-cni is; default: the running program
	Wait  time.Duration // how long the nodes may take to converge; default 60s
}

// File descriptors that Start hands to the supervisor.
const (
	LockFD  = 3
	ReadyFD = 4
)

// Ready is what the supervisor writes to ReadyFD when all is up; anything else
// is the error that made it give up.
const Ready = "ready"

// Start brings a lab up and waits until every node has converged, or all that it lacks
// is what this kernel does not have, which Status says. Where it fails
// or ctx ends, nothing is left running.
func Start(ctx context.Context, t Topology, o Options) (*Client, error) {
	if _, err := exec.LookPath("ip"); err != nil {
		return nil, errors.New("ip(8) is not found: install iproute2 (apt-get install iproute2), or add /usr/sbin to PATH")
	}
	if o.Plumb == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("lab: %w", err)
		}
		o.Plumb = self
	}
	if o.Wait == 0 {
		o.Wait = time.Minute
	}
	plugin, err := install.Beside(o.Plumb)
	if err != nil {
		return nil, fmt.Errorf("the CNI plugin, which makes the lab's pods: %w", err)
	}
	lock, err := o.Dir.prepare(t)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := start(ctx, o, plugin, lock); err != nil {
		return nil, errors.Join(err, o.Dir.remove())
	}
	return &Client{Dir: o.Dir}, nil
}

// prepare makes the run directory and gives its lock.
func (d Dir) prepare(t Topology) (*os.File, error) {
	if err := d.create(); err != nil {
		return nil, err
	}
	lock, err := d.acquire()
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("lab %q is running already; `%s` takes it down", d.Name(), d.verb("down"))
	}
	if err != nil {
		return nil, err
	}
	err = d.clear()
	if err == nil {
		err = os.WriteFile(d.Topology(), t.source, 0o600)
	}
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("run directory: %w", err)
	}
	return lock, nil
}

// verb is the command line of a verb for this lab.
func (d Dir) verb(verb string) string {
	if d.Name() == DefaultName {
		return "plumb lab " + verb
	}
	return "plumb lab " + verb + " --name " + d.Name()
}

// DefaultName is the name of a lab that is given none.
const DefaultName = "lab"

func start(ctx context.Context, o Options, plugin string, lock *os.File) error {
	log, err := os.OpenFile(o.Dir.Log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	defer log.Close()
	ready, readyW, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	defer ready.Close()
	defer readyW.Close()

	cmd := exec.Command(o.Plumb, "lab", "supervise", "--dir", string(o.Dir), "--plugin", plugin, "--wait", o.Wait.String())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{lock, readyW} // LockFD, ReadyFD
	cmd.SysProcAttr = namespaces()
	if err := cmd.Start(); err != nil {
		return startError(err)
	}
	readyW.Close()
	ended := make(chan struct{})
	go func() {
		cmd.Wait() //nolint:errcheck // the pipe says what went wrong
		close(ended)
	}()
	err = o.Dir.writeProcess(cmd.Process.Pid)
	if err == nil {
		err = awaitReady(ctx, o.Dir, ready)
	}
	if err != nil {
		cmd.Process.Kill() //nolint:errcheck // it may have ended by itself
		<-ended
	}
	return err
}

// namespaces are those that the supervisor lives in. It is PID 1 of the first,
// so that the kernel kills whatever it started when it ends.
func namespaces() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC,
		Setsid:     true, // Ctrl-C is for `up`, which kills it
	}
	if os.Geteuid() != 0 {
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return a
}

func startError(err error) error {
	if os.Geteuid() == 0 && errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("lab: this root may not make namespaces (%w): it lacks CAP_SYS_ADMIN; a container needs --privileged", err)
	}
	if os.Geteuid() != 0 && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL)) {
		return fmt.Errorf("lab: this machine gives users no namespaces (%w): run it as root, or allow them "+
			"(sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)", err)
	}
	return fmt.Errorf("lab: supervisor: %w", err)
}

// awaitReady waits for the supervisor's word.
func awaitReady(ctx context.Context, d Dir, ready *os.File) error {
	stop := context.AfterFunc(ctx, func() { ready.SetReadDeadline(time.Unix(1, 0)) }) //nolint:errcheck // pipes have deadlines
	defer stop()
	b, err := io.ReadAll(ready)
	switch word := strings.TrimSpace(string(b)); {
	case ctx.Err() != nil:
		return fmt.Errorf("lab: stopped: %w", context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("lab: supervisor: %w", err)
	case word == Ready:
		return nil
	case word == "":
		return fmt.Errorf("lab: the supervisor ended unexpectedly\n%s", Tail(d.Log(), 20))
	default:
		return errors.New(word)
	}
}

// Tail is the last lines of a log, indented, or why there are none.
func Tail(path string, lines int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "  (" + err.Error() + ")"
	}
	text := strings.TrimRight(string(b), "\n")
	if text == "" {
		return "  (the log is empty)"
	}
	all := strings.Split(text, "\n")
	return Indent(strings.Join(all[max(0, len(all)-lines):], "\n"))
}

// Indent indents lines of text by two spaces.
func Indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ")
}
