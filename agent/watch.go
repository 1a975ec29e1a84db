package agent

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// How often a watched path is looked at besides its events: file systems without
// inotify, and a directory that comes back under its name, give none.
const (
	pollFile      = 2 * time.Second
	pollEndpoints = 30 * time.Second // reads every record
)

// watchPath calls look after every event that may concern path, with the names
// that events gave, and from time to time with none, until ctx ends; look finds
// out by the content whether anything changed.
//
// Directories are watched, not the file: editors rename a new file over the old
// one, and a Kubernetes ConfigMap swaps the symbolic link ..data beside it. The
// directory that a link leads to is watched too, and the directory's parent, so
// that it may vanish and come back.
func watchPath(ctx context.Context, path string, every time.Duration, log *slog.Logger, look func(names []string)) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("no file events; the file is looked at from time to time", "path", path, "err", err)
		w = &fsnotify.Watcher{} // its nil channels never deliver
	} else {
		defer w.Close()
	}
	add := func() {
		if err == nil {
			addDirs(w, path)
		}
	}
	poll := time.NewTicker(every)
	defer poll.Stop()
	add()
	look(nil) // what came before the watch
	for {
		var names []string
		select {
		case <-ctx.Done():
			return
		case ev, open := <-w.Events:
			if !open {
				return
			}
			names = drain(w, ev.Name)
		case e := <-w.Errors:
			log.Warn("file events were lost; looking again", "path", path, "err", e)
		case <-poll.C:
		}
		// Before the look: a directory that has just come may fill at any time.
		add()
		look(names)
	}
}

// drain takes what else is there already: ten saves are one look.
func drain(w *fsnotify.Watcher, first string) []string {
	names := []string{first}
	for {
		select {
		case ev := <-w.Events:
			if ev.Name != names[len(names)-1] {
				names = append(names, ev.Name)
			}
		default:
			return names
		}
	}
}

// addDirs (re)adds the directories that decide what path is; adding one twice
// costs a system call, and one that is missing now is tried again later.
func addDirs(w *fsnotify.Watcher, path string) {
	dirs := []string{path, filepath.Dir(path), filepath.Dir(filepath.Dir(path))}
	if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
		dirs = append(dirs, real, filepath.Dir(real))
	}
	for _, d := range dirs {
		_ = w.Add(d)
	}
}
