package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// process identifies the supervisor for when it no longer answers: process
// numbers are used again, start times are not.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // in clock ticks since the machine started
}

func (d Dir) writeProcess(pid int) error {
	start, err := startTime(pid)
	if err != nil {
		return err
	}
	b, err := json.Marshal(process{pid, start})
	if err != nil {
		return fmt.Errorf("supervisor: %w", err)
	}
	if err := os.WriteFile(d.process(), b, 0o600); err != nil {
		return fmt.Errorf("supervisor: %w", err)
	}
	return nil
}

// kill kills the recorded supervisor, and with it, since it is PID 1, all that
// it started. That there is none is no error.
func (d Dir) kill() error {
	b, err := os.ReadFile(d.process())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("supervisor: %w", err)
	}
	var p process
	if err := json.Unmarshal(b, &p); err != nil {
		return fmt.Errorf("%s: %w", d.process(), err)
	}
	proc, err := os.FindProcess(p.PID) // holds a pidfd: the number cannot change its meaning now
	if err != nil {
		return nil // it has ended
	}
	defer proc.Release() //nolint:errcheck // nothing can be done
	if start, err := startTime(p.PID); err != nil || start != p.Start {
		return nil // it has ended, and the number is another's
	}
	if err := proc.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("supervisor: kill %d: %w", p.PID, err)
	}
	return nil
}

// startTime reads field 22 of /proc/PID/stat; see proc_pid_stat(5).
func startTime(pid int) (uint64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	// The command's name, in parentheses, may hold anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 {
		return 0, fmt.Errorf("process %d: unexpected stat %q", pid, b)
	}
	n, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("process %d: start time: %w", pid, err)
	}
	return n, nil
}
