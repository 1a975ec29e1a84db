package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
)

func TestDelegatedHostLocal(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		data := filepath.Join(t.TempDir(), "host-local")
		ipam := conf{"ipam": conf{"type": "host-local", "dataDir": data, "ranges": [][]conf{
			{{"subnet": "10.244.1.128/25"}}, {{"subnet": "fd00:10:244:1:1::/80"}},
		}}}
		one, two := n.pod("one"), n.pod("two")
		r := one.add(ipam)
		if got := r.IPs[0].Address.String() + " " + r.IPs[1].Address.String(); got != "10.244.1.130/32 fd00:10:244:1:1::2/128" {
			t.Errorf("got %s", got)
		}
		one.ping(n.address4)
		one.ping(n.address6)
		reserved := func() string {
			return strings.Join(strings.Fields(n.sh("cd %s/net1; ls | grep -v l || true", data)), " ")
		}
		if got := reserved(); got != "10.244.1.130 fd00:10:244:1:1::2" {
			t.Errorf("host-local has %s", got)
		}
		if own := only("address", n.holds()); len(own) > 0 {
			t.Errorf("the plugin's own allocator has %v", own)
		}
		if err := one.check(ipam); err != nil {
			t.Error(err)
		}
		if err := n.status(ipam); err != nil {
			t.Error(err)
		}
		n.sh("mv %s/net1/10.244.1.130 %[1]s/kept", data)
		n.sh("mv %s/net1/fd00:10:244:1:1::2 %[1]s/kept6", data)
		if err := one.check(ipam); err == nil {
			t.Error("CHECK, and host-local knows of no address")
		}
		n.sh("mv %s/kept %[1]s/net1/10.244.1.130; mv %[1]s/kept6 %[1]s/net1/fd00:10:244:1:1::2", data)
		two.add(ipam)
		before := n.holds()
		n.gc([]pod{one, two}, ipam).ok(n, "GC")
		n.same(before, "GC of nothing")
		n.gc([]pod{two}, ipam).ok(n, "GC")
		if got := reserved(); got != "10.244.1.131 fd00:10:244:1:1::3" {
			t.Errorf("after GC host-local has %s", got)
		}
		two.del(ipam)
		two.del(ipam)
		if got := reserved(); got != "" {
			t.Errorf("after DEL host-local has %s", got)
		}
		n.clean("DEL")
		// An ADD that fails gives the address back.
		three := n.pod("three")
		three.sh("ip link add eth0 type veth peer name x0")
		if _, err := three.tryAdd(ipam); err == nil {
			t.Error("ADD, and eth0 is taken")
		}
		if got := reserved(); got != "" {
			t.Errorf("after a failed ADD host-local has %s", got)
		}
		n.clean("a failed ADD")
	})
}

func TestDelegatedStatic(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		ipam := conf{"ipam": conf{"type": "static", "addresses": []conf{{"address": "10.244.1.99/24"}}}}
		p := n.pod("one")
		r := p.add(ipam)
		if got := r.IPs[0].Address.String(); got != "10.244.1.99/32" || len(r.IPs) != 1 {
			t.Errorf("got %v", r.IPs)
		}
		p.ping(n.address4)
		n.ping("10.244.1.99")
		if err := p.check(ipam); err != nil {
			t.Error(err)
		}
		n.gc([]pod{p}, ipam).ok(n, "GC")
		p.del(ipam)
		n.clean("DEL")
	})
}

// fakeIPAM is an IPAM plugin as a shell script: it writes down how it was called, and
// answers what the test has prepared.
type fakeIPAM struct {
	n   *node
	dir string
}

func newFakeIPAM(n *node) fakeIPAM {
	n.t.Helper()
	f := fakeIPAM{n, n.t.TempDir()}
	script := fmt.Sprintf(`#!/bin/sh
cd %s
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME $CNI_NETNS $CNI_ARGS" >> calls
cat > stdin.$CNI_COMMAND
[ -f answer.$CNI_COMMAND ] && cat answer.$CNI_COMMAND
[ ! -f fail.$CNI_COMMAND ]
`, f.dir)
	if err := os.WriteFile(filepath.Join(f.dir, "fake-ipam"), []byte(script), 0o755); err != nil {
		n.t.Fatal(err)
	}
	return f
}

func (f fakeIPAM) answer(verb, text string) {
	f.n.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, "answer."+verb), []byte(text), 0o644); err != nil {
		f.n.t.Fatal(err)
	}
}

func (f fakeIPAM) fail(verb string) { f.n.sh("touch %s/fail.%s", f.dir, verb) }
func (f fakeIPAM) heal()            { f.n.sh("rm -f %s/fail.* %[1]s/answer.*", f.dir) }

// calls gives, and forgets, the calls.
func (f fakeIPAM) calls() string {
	return f.n.sh("touch %s/calls; cat %[1]s/calls; rm %[1]s/calls", f.dir)
}

func (f fakeIPAM) call(p pod, verb string, more ...string) reply {
	return f.n.raw(f.n.stdin(conf{"ipam": conf{"type": "fake-ipam", "color": "red"}}),
		p.env(verb, append(more, "CNI_PATH="+f.dir)...)...)
}

func TestDelegationIsTheStandards(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		f := newFakeIPAM(n)
		p := n.pod("one")
		f.answer("ADD", `{"cniVersion": "1.1.0", "ips": [{"address": "10.244.1.50/24", "gateway": "10.244.1.1"}],
			"dns": {"nameservers": ["10.96.0.10"], "search": ["example.org"]}}`)
		r := f.call(p, "ADD", "CNI_ARGS=IgnoreUnknown=1;COLOR=red").ok(n, "ADD")
		if got, want := f.calls(), "ADD one eth0 /run/netns/one IgnoreUnknown=1;COLOR=red"; got != want {
			t.Errorf("called: %s, want %s", got, want)
		}
		// The whole configuration goes to it, not its own section alone.
		stdin := n.sh("cat %s/stdin.ADD", f.dir)
		for _, want := range []string{`"color":"red"`, `"type":"plumb-cni"`, `"name":"net1"`, `"cniVersion":"1.1.0"`} {
			if !strings.Contains(strings.ReplaceAll(stdin, " ", ""), want) {
				t.Errorf("its stdin lacks %s: %s", want, stdin)
			}
		}
		// What it says of name servers is handed on.
		if !strings.Contains(r.stdout, "10.96.0.10") || !strings.Contains(r.stdout, "example.org") {
			t.Errorf("the result has no name servers: %s", r.stdout)
		}
		f.call(p, "STATUS").ok(n, "STATUS")
		f.call(p, "GC").ok(n, "GC")
		if got := f.calls(); !strings.Contains(got, "STATUS") || !strings.Contains(got, "GC") {
			t.Errorf("called for STATUS and GC: %s", got)
		}
		f.call(p, "DEL").ok(n, "DEL")
		if got := f.calls(); !strings.HasPrefix(got, "DEL one eth0") {
			t.Errorf("called for DEL: %s", got)
		}
		n.clean("DEL")
	})
}

func TestDelegatedFailure(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		f := newFakeIPAM(n)
		p := n.pod("one")
		// Its error comes through as it is, after a DEL (specification, section 4).
		f.answer("ADD", `{"cniVersion": "1.1.0", "code": 107, "msg": "the moon is full", "details": "wait"}`)
		f.fail("ADD")
		if e := f.call(p, "ADD").failure(n); e.Code != 107 || !strings.Contains(e.Error(), "the moon is full") {
			t.Errorf("%+v", e)
		}
		if got := f.calls(); !strings.Contains(got, "\nDEL one eth0") {
			t.Errorf("called: %s; there is no DEL", got)
		}
		n.clean("a failed ADD of ipam")
		f.heal()
		for what, answer := range map[string]string{
			"nonsense":     "nonsense",
			"nothing":      "",
			"no addresses": `{"cniVersion": "1.1.0", "ips": []}`,
			"odd address":  `{"cniVersion": "1.1.0", "ips": [{"address": "ten"}]}`,
		} {
			f.answer("ADD", answer)
			f.call(p, "ADD").failure(n)
			if got := f.calls(); !strings.Contains(got, "\nDEL one eth0") {
				t.Errorf("%s: called: %s; there is no DEL", what, got)
			}
			n.clean(what + " of ipam")
		}
		f.answer("STATUS", `{"cniVersion": "1.1.0", "code": 51, "msg": "no address"}`)
		f.fail("STATUS")
		if e := f.call(p, "STATUS").failure(n); e.Code != 51 && e.Code != 50 || !strings.Contains(e.Error(), "no address") {
			t.Errorf("STATUS: %+v", e)
		}
		// A DEL that ipam fails is a failed DEL, but takes what is plumb's.
		f.heal()
		f.answer("ADD", `{"cniVersion": "1.1.0", "ips": [{"address": "10.244.1.50/24"}]}`)
		f.call(p, "ADD").ok(n, "ADD")
		f.answer("DEL", `{"cniVersion": "1.1.0", "code": 108, "msg": "not now"}`)
		f.fail("DEL")
		if e := f.call(p, "DEL").failure(n); !strings.Contains(e.Error(), "not now") {
			t.Errorf("DEL: %+v", e)
		}
		if links := only("link", n.holds()); len(links) > 0 {
			t.Errorf("left: %v", links)
		}
		f.heal()
		f.call(p, "DEL").ok(n, "DEL")
		n.clean("DEL")
		// One that does not exist is said by name.
		e := p.call("ADD", conf{"ipam": conf{"type": "no-such-ipam"}}).failure(n)
		if !strings.Contains(e.Error(), "no-such-ipam") {
			t.Errorf("%+v", e)
		}
		n.clean("an ipam that does not exist")
		// Nor can a type lead out of CNI_PATH.
		f.calls()
		for _, way := range []string{"../" + filepath.Base(f.dir) + "/fake-ipam", f.dir + "/fake-ipam"} {
			p.call("ADD", conf{"ipam": conf{"type": way}}).failure(n)
		}
		if got := f.calls(); got != "" {
			t.Errorf("a program outside CNI_PATH was run: %s", got)
		}
	})
}
