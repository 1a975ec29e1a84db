package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/plumbnet/plumb/lab"
	"github.com/plumbnet/plumb/lab/ns"
)

// hangUp is how long a command whose client went away has to end.
const hangUp = 2 * time.Second

// exec runs a command with the client's descriptors.
func (s *supervisor) exec(r *lab.ExecRequest, files []*os.File, in *json.Decoder) lab.ExecOutput {
	if err := s.known(r.Where); err != nil {
		return lab.ExecOutput{Error: err.Error(), Exit: 2}
	}
	if len(files) != 3 || len(r.Args) == 0 {
		return lab.ExecOutput{Error: "exec: a command and three descriptors are needed", Exit: 2}
	}
	env := s.environ(r.Where, r.Env)
	path, err := lookPath(r.Args[0], r.Dir, env)
	if err != nil {
		code := 127
		if errors.Is(err, errNotExecutable) {
			code = 126
		}
		return lab.ExecOutput{Error: fmt.Sprintf("%s: %v", r.Args[0], err), Exit: code}
	}
	cmd := &exec.Cmd{Path: path, Args: r.Args, Env: env, Dir: r.Dir}
	if fi, err := os.Stat(r.Dir); err != nil || !fi.IsDir() {
		cmd.Dir = "/" // say, below /run, which is the lab's own
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = files[0], files[1], files[2]
	// A group of its own, so that a signal reaches all of a pipeline.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if r.TTY {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	}
	err = ns.Do(r.Where, func() error {
		if err := ns.Sysfs(); err != nil {
			slog.Debug("exec", "where", r.Where, "err", err) // /sys shows other devices then
		}
		return s.reaper.start(cmd)
	})
	for _, f := range files {
		f.Close() // or the client's pipes would never end
	}
	if err != nil {
		return lab.ExecOutput{Error: err.Error(), Exit: 126}
	}
	ended := make(chan struct{})
	go follow(cmd.Process.Pid, in, ended)
	err = s.reaper.wait(cmd)
	close(ended)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return lab.ExecOutput{Error: err.Error(), Exit: 126}
	}
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return lab.ExecOutput{Exit: 128 + int(status.Signal())}
	}
	return lab.ExecOutput{Exit: status.ExitStatus()}
}

// follow passes signals on until the command has ended; when the client goes
// away before, the command is hung up on.
func follow(pid int, in *json.Decoder, ended <-chan struct{}) {
	for {
		var i lab.ExecInput
		if err := in.Decode(&i); err != nil {
			break
		}
		syscall.Kill(-pid, syscall.Signal(i.Signal)) //nolint:errcheck // it may have ended
	}
	select {
	case <-ended:
		return
	default:
	}
	syscall.Kill(-pid, syscall.SIGHUP) //nolint:errcheck // it may have ended
	select {
	case <-ended:
	case <-time.After(hangUp):
		syscall.Kill(-pid, syscall.SIGKILL) //nolint:errcheck // it may have ended
	}
}

// known says whether there is a namespace of this name, and which there are.
func (s *supervisor) known(name string) error {
	var names []string
	for _, n := range s.layout.Nodes {
		names = append(names, n.Name)
	}
	for _, p := range s.layout.Pods() {
		names = append(names, p.Name)
	}
	for _, h := range s.layout.Hosts {
		names = append(names, h.Name)
	}
	for _, g := range s.layout.Segments {
		names = append(names, g.Name)
	}
	if !slices.Contains(names, name) {
		return fmt.Errorf("there is no %q in the lab; there are %s", name, strings.Join(names, ", "))
	}
	return nil
}

// environ is the client's environment with what leads to the lab's things.
func (s *supervisor) environ(where string, env []string) []string {
	add := map[string]string{
		lab.DirVariable: filepath.Dir(string(s.dir)),
		"PLUMB_LAB":     s.dir.Name(),
		"PLUMB_FILE":    s.dir.StateFile(),
		"PLUMB_SOCKETS": filepath.Dir(s.dir.NodeDir("any")),
	}
	if _, ok := s.agents[where]; ok {
		add["PLUMB_FILE"] = s.dir.StateFileOf(where)
		add["PLUMB_NODE"], add["NODE_NAME"] = where, where
		add["PLUMB_STATE_DIR"] = s.dir.StateDir(where)
		add["PLUMB_SOCKET"] = s.dir.Socket(where)
	}
	path := os.Getenv("PATH")
	var out []string
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		if k == "PATH" {
			path = v
			continue
		}
		if _, replaced := add[k]; !replaced {
			out = append(out, kv)
		}
	}
	// A user's PATH may lack the places of ip and nft, and here they are root.
	for _, sbin := range []string{"/usr/sbin", "/sbin"} {
		if !slices.Contains(filepath.SplitList(path), sbin) {
			path += ":" + sbin
		}
	}
	out = append(out, "PATH="+binDir+":"+path)
	for k, v := range add {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return out
}
