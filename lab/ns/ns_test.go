package ns_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/lab/ns"
)

func TestNamespaces(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		// The machine's /run/netns is none of ours.
		nstest.Sh(t, "mount --make-rprivate /; mount -t tmpfs tmpfs /run; mkdir "+ns.Dir)
		for _, name := range []string{"one", "two"} {
			if err := ns.Add(name); err != nil {
				t.Fatal(err)
			}
		}
		if err := ns.Add("one"); err == nil {
			t.Error("a second namespace of one name")
		}
		if got := nstest.Sh(t, "ip netns list | cut -d' ' -f1 | sort | tr '\\n' ' '"); got != "one two" {
			t.Errorf("ip netns list: %q", got)
		}
		nstest.Sh(t, "ip -n one link add v type veth peer name w netns two")
		err := ns.Do("two", func() error {
			if err := ns.Sysfs(); err != nil {
				return err
			}
			out, err := exec.Command("sh", "-c", "hostname; ls /sys/class/net; cat /proc/net/dev | grep -c w:").Output()
			if got, want := strings.Fields(string(out)), "two lo w 1"; strings.Join(got, " ") != want {
				t.Errorf("within: %q, want %q", got, want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		// Nothing of that is seen on other threads.
		if host, err := os.Hostname(); err != nil || host == "two" {
			t.Errorf("host name outside: %q, %v", host, err)
		}
		if err := ns.Do("three", func() error { return nil }); err == nil {
			t.Error("a namespace that is not there can be entered")
		}
	})
}
