package endpoint

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/state"
)

func TestRecordsComeBack(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "endpoints")}
	if list, errs := s.List(); len(list) != 0 || errs != nil {
		t.Fatalf("a store that does not exist yet: %v, %v", list, errs)
	}
	want := state.Endpoint{
		ID: "0123abcd/eth0", Name: "default/web-1", Interface: "plb0123456789a",
		Addresses: []netip.Addr{netip.MustParseAddr("10.244.1.5"), netip.MustParseAddr("fd00::5")},
	}
	for range 2 { // the second time in place of the first
		if err := s.Put(want); err != nil {
			t.Fatal(err)
		}
	}
	list, errs := s.List()
	if errs != nil || len(list) != 1 || !reflect.DeepEqual(list[0], want) {
		t.Fatalf("got %+v, %v", list, errs)
	}
	if one, err := s.Get(want.ID); err != nil || !reflect.DeepEqual(one, want) {
		t.Fatalf("got %+v, %v", one, err)
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	if id, ok := s.ID(filepath.Join(s.Dir, entries[0].Name())); !ok || id != want.ID {
		t.Errorf("the file's ID is %q, %t", id, ok)
	}
	for _, other := range []string{".x.json", "x.txt", "../x.json"} {
		if id, ok := s.ID(filepath.Join(s.Dir, other)); ok {
			t.Errorf("%s is the record %q", other, id)
		}
	}
	for range 2 { // the second time there is none
		if err := s.Delete(want.ID); err != nil {
			t.Fatal(err)
		}
	}
	if list, errs := s.List(); len(list) != 0 || errs != nil {
		t.Fatalf("after Delete: %v, %v", list, errs)
	}
}

func TestABadRecordDoesNotHideTheOthers(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	if err := s.Put(state.Endpoint{ID: "a/eth0", Interface: "plba"}); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty.json":   "",
		"unknown.json": `{"id":"x/eth0","interface":"plbx","colour":"red"}`,
		"noid.json":    `{"interface":"plbx"}`,
		".temp.json.1": "half a rec",
		"README":       "not a record",
	} {
		if err := os.WriteFile(filepath.Join(s.Dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	list, errs := s.List()
	if len(list) != 1 || list[0].ID != "a/eth0" {
		t.Errorf("the good record: %v", list)
	}
	if len(errs) != 3 {
		t.Fatalf("3 bad records gave %v", errs)
	}
	for _, err := range errs {
		if !strings.Contains(err.Error(), s.Dir) {
			t.Errorf("%v does not name the file", err)
		}
	}
}

func TestAFailedWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(target, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(target, []byte("data")); err == nil {
		t.Fatal("a directory was replaced by a file")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("a temporary file is left behind: %v, %v", entries, err)
	}
}
