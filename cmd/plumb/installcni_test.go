package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// Every flag of install-cni is in its document, with its default.
func TestInstallCNIFlagsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/install-cni.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) > 3 {
			for name := range strings.SplitSeq(cells[1], ",") {
				rows[strings.Trim(name, " `")] = cells[2]
			}
		}
	}
	installCNICommand(&options{}).Flags().VisitAll(func(f *pflag.Flag) {
		documented, ok := rows["--"+f.Name]
		byDefault := strings.Trim(f.DefValue, "[]") // of a list
		switch {
		case !ok:
			t.Errorf("--%s is not in the document", f.Name)
		case byDefault == "", byDefault == "0", byDefault == "false": // the document says what is used then
		case strings.Trim(documented, " `") != byDefault:
			t.Errorf("--%s is %s by default, and in the document %s", f.Name, byDefault, documented)
		}
	})
}
