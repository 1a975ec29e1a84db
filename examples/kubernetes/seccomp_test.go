package kubernetes

import (
	"encoding/json"
	"os"
	"runtime"
	"slices"
	"testing"
)

// defaultProfile is the file with the system calls that container runtimes allow where
// they are told nothing else (RuntimeDefault). It comes with podman, in the package
// containers-common.
const defaultProfile = "/usr/share/containers/seccomp.json"

type condition struct{ Caps, Arches []string }

// seccomp gives the default profile for a container with these capabilities, as the
// runtime takes it: the file's rules are for all capabilities and machines
// (seccomp.json(5)).
func seccomp(t *testing.T, capabilities []string) dict {
	t.Helper()
	text, err := os.ReadFile(defaultProfile)
	if err != nil {
		t.Fatalf("the default profile of container runtimes: %v", err)
	}
	var profile struct {
		DefaultAction   string
		DefaultErrnoRet *int
		Syscalls        []struct {
			Names              []string
			Action             string
			Args               []any
			ErrnoRet           *int
			Includes, Excludes condition
		}
	}
	if err := json.Unmarshal(text, &profile); err != nil {
		t.Fatalf("%s: %v", defaultProfile, err)
	}
	has := func(list []string) bool {
		return slices.ContainsFunc(list, func(c string) bool { return slices.Contains(capabilities, c) })
	}
	var rules []dict
	for _, s := range profile.Syscalls {
		here := len(s.Includes.Arches) == 0 || slices.Contains(s.Includes.Arches, runtime.GOARCH)
		if !here || len(s.Includes.Caps) > 0 && !has(s.Includes.Caps) || has(s.Excludes.Caps) {
			continue
		}
		rule := dict{"names": s.Names, "action": s.Action, "args": s.Args}
		if s.ErrnoRet != nil {
			rule["errnoRet"] = *s.ErrnoRet
		}
		rules = append(rules, rule)
	}
	out := dict{"defaultAction": profile.DefaultAction, "syscalls": rules}
	if profile.DefaultErrnoRet != nil {
		out["defaultErrnoRet"] = *profile.DefaultErrnoRet
	}
	return out
}
