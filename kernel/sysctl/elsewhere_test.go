package sysctl

import (
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state"
)

// In a container /proc/sys is read-only. Its net, mounted at another place, is the
// network namespace's all the same.
func TestParametersAtAnotherPlace(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		dir := t.TempDir()
		nstest.Sh(t, "mount --make-rprivate /; mkdir "+dir+"/net; mount --bind /proc/sys/net "+dir+"/net; mount --bind -o ro /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys")
		nstest.Sh(t, "ip link add plb1 type veth peer name p1")
		t.Cleanup(func() { nstest.Sh(t, "umount "+dir+"/net") })
		k, err := NewAt(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		want := state.Sysctl{Path: "net/ipv4/conf/plb1/proxy_arp", Value: "1"}
		apply(t, k, want)
		if got := read(t, k); got[want.Path] != "1" {
			t.Errorf("got %v", got)
		}
		if got := nstest.Sh(t, "cat /proc/sys/"+want.Path); got != "1" {
			t.Errorf("the kernel has %s", got)
		}
		other := newKind(t)
		if errs := other.Apply(t.Context(), adds(state.Sysctl{Path: want.Path, Value: "0"})); errs[0] == nil {
			t.Error("the place that is read-only was written to: this test proves nothing")
		}
	})
}
