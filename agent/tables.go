package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/endpoint"
)

// A route bears plumb's mark in whichever table it is, but another program may use
// the same protocol number in a table of its own. So plumb looks into those tables
// alone that it was told to use, now or earlier; which these were is written down
// before the first route goes there, for a crash may come at any time.

// tablesOf gives the tables that were used on this node, and that of l, which may
// be nil.
func tablesOf(stateDir string, l *Loaded) []uint32 {
	var tables []uint32
	if b, err := os.ReadFile(filepath.Join(stateDir, tablesName)); err == nil {
		_ = json.Unmarshal(b, &tables) // what cannot be read names no table
	}
	if l != nil && !slices.Contains(tables, l.File.Settings.RouteTable) {
		tables = append(tables, l.File.Settings.RouteTable)
	}
	if len(tables) == 0 {
		tables = append(tables, state.TableMain)
	}
	return tables
}

// noteTable writes down that the table is used from now on.
func noteTable(stateDir string, l *Loaded) error {
	tables := tablesOf(stateDir, l)
	b, err := json.Marshal(tables)
	if err == nil {
		err = endpoint.WriteFile(filepath.Join(stateDir, tablesName), append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("note which routing table is used: %w", err)
	}
	return nil
}
