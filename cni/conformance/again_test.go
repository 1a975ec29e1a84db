package conformance

import (
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
)

// DEL succeeds however little is known, and leaves nothing.
func TestDELWithLittle(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		p := n.pod("one")
		for _, c := range []struct {
			what  string
			first string   // what the shell does before, on the node
			env   []string // of the call
			times int
		}{
			{what: "DEL without prevResult", times: 1},
			{what: "DEL twice", times: 2},
			{what: "DEL without CNI_NETNS", env: []string{"CNI_NETNS="}, times: 2},
			{what: "DEL with a namespace that is no more", env: []string{"CNI_NETNS=/run/netns/gone"}, times: 2},
			{what: "DEL with a namespace that is none", env: []string{"CNI_NETNS=/dev/null"}, times: 1},
			{what: "DEL without the link", first: "ip link delete $(ip -br link | grep -o '^plb[0-9a-f]*')", times: 1},
			{what: "DEL without the record", first: "rm STATE/endpoints/*", times: 1},
			{what: "DEL without the addresses", first: "rm STATE/addresses/*.*", times: 1},
			{what: "DEL without the attachment", first: "rm -f STATE/attachments/*", times: 1},
			{what: "DEL without the state directory", first: "rm -r STATE", times: 1},
			{what: "DEL with a record that cannot be read", first: "echo nonsense > STATE/endpoints/one%2Feth0.json", times: 1},
			{what: "DEL with an attachment that cannot be read", first: "for f in STATE/attachments/*; do echo nonsense > $f; done", times: 1},
			{what: "DEL with an empty record", first: "for f in STATE/endpoints/* STATE/attachments/*; do : > $f; done", times: 1},
		} {
			p.call("ADD").ok(n, "ADD before "+c.what)
			n.sh("%s", strings.ReplaceAll(c.first, "STATE", n.stateDir)+"\n:")
			for range c.times {
				n.raw(n.stdin(), p.env("DEL", c.env...)...).ok(n, c.what)
			}
			n.clean(c.what)
			if got := p.sh("ip -br link show type veth"); got != "" {
				t.Errorf("after %s the pod has %s", c.what, got)
			}
		}
	})
}

func TestDELOfWhatNeverWas(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		one, never := n.pod("one"), n.pod("never")
		never.call("DEL").ok(n, "DEL on a fresh node")
		one.add()
		before := n.holds()
		never.call("DEL").ok(n, "DEL")
		never.ends()
		never.call("DEL").ok(n, "DEL without its namespace")
		other := one
		other.ifName = "eth1"
		other.call("DEL").ok(n, "DEL of another interface of the same container")
		// An ID that is the beginning of another's, or has a separator in it.
		for _, id := range []string{"on", "one.", "one-eth0", "one_"} {
			p := pod{n: n, id: id, netns: one.netns, ifName: "eth0"}
			p.call("DEL").ok(n, "DEL of "+id)
		}
		n.same(before, "DEL of others")
		if err := one.check(); err != nil {
			t.Error(err)
		}
	})
}

// A second ADD of what is there is an error, and the first one's work stays.
func TestADDTwice(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		p := n.pod("one")
		r := p.add()
		before := n.holds()
		for range 2 {
			e := p.call("ADD").failure(n)
			if !strings.Contains(e.Msg+e.Details, "one") || !strings.Contains(e.Msg+e.Details, "eth0") {
				t.Errorf("it does not say what is there already: %v", e)
			}
			n.same(before, "the second ADD")
		}
		// Also where its namespace is another one now.
		moved := n.pod("moved")
		moved.id = "one"
		moved.call("ADD").failure(n)
		n.same(before, "an ADD in another namespace")
		if err := p.check(); err != nil {
			t.Error(err)
		}
		p.ping(n.address4)
		p.del()
		n.clean("DEL")
		if again := p.add(); addresses(again)[0] == addresses(r)[0] {
			t.Errorf("the same address, at once: %v", addresses(again))
		}
	})
}

// Two interfaces of one container are two attachments; whatever becomes of the
// second, the first stays.
func TestSecondInterface(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		p := n.pod("one")
		p.add()
		before := n.holds()
		second := p
		second.ifName = "net1"
		if r := second.call("ADD"); r.status != 0 {
			r.failure(n)
			n.same(before, "a second interface that was refused")
		}
		if err := p.check(); err != nil {
			t.Error(err)
		}
		p.ping(n.address4)
		second.call("DEL").ok(n, "DEL of the second")
		n.same(before, "DEL of the second")
		if err := p.check(); err != nil {
			t.Error(err)
		}
		p.ping(n.address6)
	})
}
