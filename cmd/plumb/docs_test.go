package main

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

var update = flag.Bool("update", false, "rewrite docs/command-line.md and the manual pages (make docs)")

const (
	commandLine = "../../docs/command-line.md"
	manPages    = "../../packaging/man"
)

// The pages that are generated from the commands are what the commands say.
func TestGeneratedDocuments(t *testing.T) {
	for _, name := range []string{"PLUMB_FILE", "PLUMB_STATE_DIR", "PLUMB_SOCKET", "PLUMB_NODE", "PLUMB_LAB", "PLUMB_LAB_DIR"} {
		t.Setenv(name, "") // or they were defaults
	}
	root := rootCommand(&options{})
	root.DisableAutoGenTag = true
	want := map[string][]byte{commandLine: commandLinePage(root)}
	for _, cmd := range visible(root) {
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
		var page bytes.Buffer
		// A page without a date: it is that of the version that it came with.
		header := &doc.GenManHeader{Title: strings.ToUpper(name), Section: "1", Source: "plumb", Manual: "plumb", Date: &time.Time{}}
		if err := doc.GenMan(cmd, header, &page); err != nil {
			t.Fatal(err)
		}
		want[filepath.Join(manPages, name+".1")] = bytes.Replace(page.Bytes(), []byte(`"Jan 0001"`), []byte(`""`), 1)
	}
	there, err := filepath.Glob(manPages + "/*.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range there {
		if want[path] != nil {
			continue
		}
		if !*update {
			t.Errorf("%s: there is no such command: run make docs", path)
		} else if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if *update {
			if err := os.WriteFile(path, want[path], 0o644); err != nil {
				t.Fatal(err)
			}
		} else if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want[path]) {
			t.Errorf("%s is not what the commands say: run make docs (%v)", path, err)
		}
	}
}

// visible gives a command and all below it that its help shows, in order.
func visible(cmd *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{cmd}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			list = append(list, visible(c)...)
		}
	}
	return list
}

const introduction = `# The command line

<!-- Made by "make docs" from the commands themselves. -->

%s

Exit statuses are 0 where all is well and 2 where it is not, unless a verb says otherwise
below. Errors go to standard error, one line each. Output is coloured on a terminal
alone, and never with ` + "`--no-color` or `$NO_COLOR`" + `.

| variable | |
| --- | --- |
| ` + "`PLUMB_FILE`, `PLUMB_STATE_DIR`, `PLUMB_SOCKET`" + ` | in place of the flags |
| ` + "`NODE_NAME`" + ` | in place of ` + "`--node`" + ` |
| ` + "`PLUMB_PROC_SYS`" + ` | where the kernel's parameters are, if not in ` + "`/proc/sys`" + `: in a container, where that is read-only |
| ` + "`NO_COLOR`" + ` | never use colour |

## All verbs

| verb | |
| --- | --- |
`

func commandLinePage(root *cobra.Command) []byte {
	var page bytes.Buffer
	all := visible(root)
	fmt.Fprintf(&page, introduction, prose(root.Long))
	for _, cmd := range all[1:] {
		if !cmd.HasAvailableSubCommands() {
			fmt.Fprintf(&page, "| [`%s`](#%s) | %s |\n", cmd.CommandPath(), strings.ReplaceAll(cmd.CommandPath(), " ", "-"), cmd.Short)
		}
	}
	fmt.Fprintf(&page, "\nEach takes:\n\n```\n%s```\n", root.PersistentFlags().FlagUsages())
	for _, cmd := range all[1:] {
		if cmd.HasAvailableSubCommands() {
			continue
		}
		about := cmd.Long
		if about == "" {
			about = cmd.Short
		}
		fmt.Fprintf(&page, "\n## %s\n\n%s\n\n```\n%s\n", cmd.CommandPath(), prose(about), cmd.UseLine())
		if flags := cmd.NonInheritedFlags(); flags.HasAvailableFlags() {
			fmt.Fprintf(&page, "\n%s", flags.FlagUsages())
		}
		page.WriteString("```\n")
		if cmd.Example != "" {
			fmt.Fprintf(&page, "\nExamples:\n\n```\n%s\n```\n", cmd.Example)
		}
	}
	return page.Bytes()
}

// prose is a help text as a paragraph: a line that begins with the exit status is one
// of its own. What is indented is a list or a command, and stays as it is.
func prose(text string) string {
	text = strings.TrimSpace(text)
	text = strings.ReplaceAll(text, "\nExit status", "\n\nExit status")
	lines := strings.Split(text, "\n")
	code := false
	var out []string
	for _, l := range lines {
		indented := strings.HasPrefix(l, "\t") || strings.HasPrefix(l, "  ")
		if indented != code && (indented || strings.TrimSpace(l) != "") {
			out = append(out, "```")
			code = indented
		}
		out = append(out, l)
	}
	if code {
		out = append(out, "```")
	}
	return strings.Join(out, "\n")
}
