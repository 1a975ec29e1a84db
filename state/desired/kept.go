package desired

import (
	"encoding/json"
	"fmt"
	"os"
)

// KeptName is the file of the state directory with a copy of the last valid state:
// the JSON of its sources.
const KeptName = "last-good.json"

// readKept's error wraps fs.ErrNotExist where there is no copy.
func readKept(path string) ([]Source, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("last good state: %w", err)
	}
	var sources []Source
	if err := json.Unmarshal(b, &sources); err != nil {
		return nil, fmt.Errorf("last good state %s: %w", path, err)
	}
	return sources, nil
}
