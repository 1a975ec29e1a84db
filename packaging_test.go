package plumb_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/state"
)

// What ip(8) calls plumb's routes once the file is installed is what plumb
// prints itself.
func TestRouteProtocolNames(t *testing.T) {
	text, err := os.ReadFile("packaging/rt_protos.conf")
	if err != nil {
		t.Fatal(err)
	}
	names := map[uint8]string{}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		number, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseUint(number, 10, 8)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		names[uint8(n)] = name
	}
	for _, proto := range []uint8{state.ProtoPlumb, state.ProtoBGP} {
		if got, want := names[proto], state.ProtocolName(proto); got != want {
			t.Errorf("protocol %d is %q in packaging/rt_protos.conf, %q in state", proto, got, want)
		}
	}
	if len(names) != 2 {
		t.Errorf("packaging/rt_protos.conf names other protocols too: %v", names)
	}
}
