package agent

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// The log has a line for each change, with its cause, and none where nothing changes:
// neither for full readings, nor for a file that is written as it was, nor for what
// others do with what is theirs.
func TestOneLineAChangeAndNoneWithout(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		o := options(t, small+"settings: {resyncInterval: 1s}\n")
		o.HTTP = "127.0.0.1:9178"
		log := start(t, o)
		soon(t, "it is ready", func() bool { code, _ := get(t, "/readyz"); return code == 200 })
		reads := func() int {
			_, text := get(t, "/metrics")
			m := regexp.MustCompile(`plumb_turns_total\{read="all"\} (\d+)`).FindStringSubmatch(text)
			if m == nil {
				return 0
			}
			n, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if _, text := get(t, "/metrics"); !strings.Contains(text, `plumb_file_loads_total{result="valid"} 1`) || !strings.Contains(text, `plumb_file_loads_total{result="invalid"} 0`) || !strings.Contains(text, "plumb_file_last_error_timestamp_seconds 0\n") {
			t.Errorf("the file that it started on is not counted:\n%s", text)
		}
		before, first := log.String(), reads()
		text, err := os.ReadFile(o.File)
		if err != nil {
			t.Fatal(err)
		}
		write(t, o.File, string(text))
		nstest.Sh(t, "ip link add other type veth peer name o2; ip link set other up; ip route add 198.51.100.0/24 dev other; nft add table inet other; ip route del 198.51.100.0/24; ip link del other; nft delete table inet other")
		soon(t, "it has read everything twice more", func() bool { return reads() >= first+2 })
		if news := strings.TrimPrefix(log.String(), before); news != "" {
			t.Errorf("nothing changed, and the log says\n%s", news)
		}

		before = log.String()
		nstest.Sh(t, "ip route del blackhole 10.244.1.0/24")
		soon(t, "the repair is told", func() bool { return len(log.String()) > len(before) })
		soon(t, "it has read everything twice more", func() bool { return reads() >= first+4 })
		news := strings.TrimPrefix(log.String(), before)
		if strings.Count(news, "\n") != 1 || !strings.Contains(news, `level=INFO msg="+ route blackhole 10.244.1.0/24 proto plumb" origin=plumb.yaml:4 cause=drift`) {
			t.Errorf("of one repair the log says\n%s", news)
		}
	})
}
