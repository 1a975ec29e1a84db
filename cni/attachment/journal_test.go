package attachment

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestJournal(t *testing.T) {
	j := Journal{Dir: filepath.Join(t.TempDir(), "attachments")}
	if all, err := j.All(); err != nil || len(all) != 0 {
		t.Fatalf("before there is a directory: %v, %v", all, err)
	}
	id := ID("3f2a", "eth0")
	if err := j.Begin(id, "plumb"); err != nil {
		t.Fatal(err)
	}
	if err := j.Begin(id, "plumb"); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("begun twice: %v", err)
	}
	want := Entry{Network: "plumb"}
	if got, err := j.Get(id); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("begun: %+v, %v", got, err)
	}
	want = Entry{Network: "plumb", Addresses: []netip.Addr{netip.MustParseAddr("10.244.1.5"), netip.MustParseAddr("fd00::5")}, Known: true}
	if err := j.Note(id, "plumb", want.Addresses); err != nil {
		t.Fatal(err)
	}
	if all, err := j.All(); err != nil || !reflect.DeepEqual(all, map[string]Entry{"3f2a/eth0": want}) {
		t.Fatalf("noted: %+v, %v", all, err)
	}
	for range 2 { // that there is none is fine
		if err := j.Remove(id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := j.Get(id); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// After a power cut a file may be there with nothing in it, or half.
func TestATornEntryIsOneOfWhichNothingIsKnown(t *testing.T) {
	j := Journal{Dir: t.TempDir()}
	for _, content := range []string{"", `{"network":"plumb","addr`, "\x00\x00\x00"} {
		if err := os.WriteFile(j.path("torn/eth0"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := j.All()
		if err != nil || !reflect.DeepEqual(all, map[string]Entry{"torn/eth0": {}}) {
			t.Errorf("%q: %+v, %v", content, all, err)
		}
	}
}
