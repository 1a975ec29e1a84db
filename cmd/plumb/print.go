package main

import (
	"encoding/json"
	"io"
	"os"

	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/state"
	"golang.org/x/sys/unix"
)

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printPlan prints a plan in the form asked for. An empty one prints nothing as text.
func (o *options) printPlan(p reconcile.Plan) error {
	if o.output == "json" {
		return printJSON(o.stdout, p)
	}
	var paint func(state.Action, string) string
	if o.colour() {
		paint = paintAction
	}
	_, err := io.WriteString(o.stdout, p.Text(paint))
	return err
}

// colour: only on a terminal, and where nobody said no (no-color.org).
func (o *options) colour() bool {
	f, ok := o.stdout.(*os.File)
	if !ok || o.noColor || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func paintAction(a state.Action, line string) string {
	colours := map[state.Action]string{state.Add: "\x1b[32m", state.Modify: "\x1b[33m", state.Delete: "\x1b[31m"}
	return colours[a] + line + "\x1b[0m"
}
