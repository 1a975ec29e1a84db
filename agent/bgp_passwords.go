package agent

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/plumbnet/plumb/bgp"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// setPasswords takes what was found in password files.
func (s *sources) setPasswords(passwords map[string]render.Password) error {
	if maps.Equal(s.bgp.passwords, passwords) {
		return nil
	}
	s.bgp.passwords = passwords
	return s.renderBGP()
}

// lookAtPasswords reads the password files that the file names. One that cannot be
// read, but could before, leaves the password as it was, with a warning.
func lookAtPasswords(passwords *bgp.Passwords, files []string, before map[string]render.Password) map[string]render.Password {
	out := make(map[string]render.Password, len(files))
	for _, path := range files {
		if passwords == nil {
			out[path] = before[path]
			continue
		}
		id, warning, err := passwords.Look(path)
		p := render.Password{ID: id, Warning: warning}
		if err != nil {
			p = render.Password{ID: before[path].ID, Warning: err.Error() + "; write the password into it, and chmod 600 it"}
			if p.ID != "" {
				p.Warning += "; the earlier one stays in use"
			}
		}
		out[path] = p
	}
	return out
}

// lookAtPasswords reads the password files that a state file names.
func (a *agent) lookAtPasswords(f *desired.File) map[string]render.Password {
	files := render.PasswordFiles(f, a.Node)
	if len(files) > 0 {
		a.openPasswords()
	}
	return lookAtPasswords(a.passwords, files, a.sources.bgp.passwords)
}

// openPasswords is called on the loop's goroutine, before anybody asks for a password:
// the speaker keeps the store that it is opened with, and a file that names no
// password then may do so later.
func (a *agent) openPasswords() {
	if a.passwords != nil {
		return
	}
	var err error
	if a.passwords, err = bgp.OpenPasswords(a.StateDir); err != nil {
		a.Log.Warn("passwords of BGP sessions get other IDs with each start", "err", err)
	}
}

// watchPasswords looks at the password files from time to time, until ctx ends.
func (a *agent) watchPasswords(ctx context.Context) {
	tick := time.NewTicker(pollFile)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var files []string
		var before map[string]render.Password
		if a.loop.Ask(ctx, func(*reconcile.Engine) {
			if a.sources.file != nil {
				files = render.PasswordFiles(a.sources.file, a.Node)
			}
			before = a.sources.bgp.passwords
		}) != nil || len(files) == 0 {
			continue
		}
		now := lookAtPasswords(a.passwords, files, before)
		if !maps.Equal(now, before) {
			a.loop.Do(func(*reconcile.Engine) { a.note(a.sources.setPasswords(now)) })
		}
	}
}

// passwordsBeside reads password files for who compares beside the agent, whose key
// gives the IDs. A file that cannot be read any more leaves the agent with the password
// that it has, as its objects say. Where there is no key, IDs say nothing, and
// forgetPasswords leaves them out.
func passwordsBeside(l *Loaded, node, stateDir string, agents state.Snapshot) map[string]render.Password {
	files := render.PasswordFiles(l.File, node)
	if len(files) == 0 {
		return nil
	}
	if _, err := os.Stat(filepath.Join(stateDir, passwordKey)); err != nil {
		return nil
	}
	passwords, err := bgp.OpenPasswords(stateDir)
	if err != nil {
		return nil
	}
	before := map[string]render.Password{}
	for _, o := range agents {
		if p, ok := o.(state.BGPPeer); ok && p.PasswordFile != "" {
			before[p.PasswordFile] = render.Password{ID: p.PasswordID}
		}
	}
	return lookAtPasswords(passwords, files, before)
}

// forgetPasswords takes the IDs of passwords out of a snapshot.
func forgetPasswords(s state.Snapshot) {
	for key, o := range s {
		if p, ok := o.(state.BGPPeer); ok && p.PasswordID != "" {
			p.PasswordID = ""
			s[key] = p
		}
	}
}
