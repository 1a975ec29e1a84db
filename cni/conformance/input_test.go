package conformance

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/kernel/nstest"
)

func TestBadStdin(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		p := n.pod("one")
		good := string(n.stdin())
		for _, c := range []struct {
			what, stdin string
			codes       []uint
			words       string
		}{
			{"empty", "", []uint{6}, ""},
			{"spaces", " \n ", []uint{6}, ""},
			{"nonsense", "nonsense", []uint{6}, ""},
			{"cut off", good[:len(good)/2], []uint{6}, ""},
			{"null", "null", []uint{6, 7}, ""},
			{"a list", "[" + good + "]", []uint{6}, ""},
			{"a number", "7", []uint{6}, ""},
			{"binary", "\x00\xff\xfe{}", []uint{6}, ""},
			{"more behind it", good + good, []uint{6}, ""},
			{"nested too deep", strings.Repeat("[", 1_000_000), []uint{6}, ""},
			{"deep in a field", strings.TrimSuffix(good, "}") + `,"args":` + strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000) + "}", []uint{6}, ""},
			{"no name", strings.Replace(good, `"net1"`, `""`, 1), []uint{7}, "name"},
			{"a bad name", strings.Replace(good, `"net1"`, `"../net1"`, 1), []uint{7}, "net1"},
			{"file is a number", string(n.stdin(conf{"file": 7})), []uint{6, 7}, "file"},
			{"file is relative", string(n.stdin(conf{"file": "plumb.yaml"})), []uint{7}, "plumb.yaml"},
			{"stateDir is a list", string(n.stdin(conf{"stateDir": []string{"/x"}})), []uint{6, 7}, "stateDir"},
			{"stateDir is relative", string(n.stdin(conf{"stateDir": "state"})), []uint{7}, "state"},
			{"node is an object", string(n.stdin(conf{"node": conf{}})), []uint{6, 7}, "node"},
			{"mtu is a word", string(n.stdin(conf{"mtu": "big"})), []uint{6, 7}, "mtu"},
			{"mtu is a fraction", string(n.stdin(conf{"mtu": 1.5})), []uint{6, 7}, "mtu"},
			{"mtu is beyond all", strings.TrimSuffix(good, "}") + `,"mtu":1e400}`, []uint{6, 7}, "mtu"},
			{"ipam is a word", string(n.stdin(conf{"ipam": "host-local"})), []uint{6, 7}, "ipam"},
			{"ipam without a type", string(n.stdin(conf{"ipam": conf{"subnet": "10.0.0.0/8"}})), []uint{6, 7}, "ipam"},
			{"ips is a word", string(n.stdin(conf{"runtimeConfig": conf{"ips": "10.244.1.9"}})), []uint{6, 7}, "ips"},
			{"prevResult is a word", string(n.stdin(conf{"prevResult": "x"})), []uint{6, 7}, ""},
		} {
			for _, verb := range []string{"ADD", "CHECK", "GC", "STATUS"} {
				n.doing = verb + " with " + c.what
				// Some of it is of no concern to some verbs.
				r := n.raw([]byte(c.stdin), p.env(verb)...)
				if verb != "ADD" && r.status == 0 {
					continue
				}
				e := r.failure(n)
				if verb != "ADD" {
					continue
				}
				if !contains(c.codes, e.Code) || !strings.Contains(e.Msg+e.Details, c.words) {
					t.Errorf("%s %s: want code %v and %q, got %d %q %q", verb, c.what, c.codes, c.words, e.Code, e.Msg, e.Details)
				}
				if e.Code == 6 && len(e.Msg) > 1000 {
					t.Errorf("%s %s: an error of %d bytes", verb, c.what, len(e.Msg))
				}
			}
			n.clean(c.what)
		}
	})
}

// A runtime adds keys of its own, and people keep notes in theirs.
func TestUnknownFields(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		p := n.pod("one")
		p.call("ADD", conf{
			"capabilities": conf{"ips": true, "portMappings": true}, "runtimeConfig": conf{"portMappings": []conf{{"hostPort": 80}}, "mac": "x"},
			"args": conf{"cni": conf{"labels": []conf{{"key": "a"}}}}, "dns": conf{"nameservers": []string{"10.96.0.10"}},
			"ipMasq": false, "cni.dev/something": conf{"new": []int{1}}, "disableCheck": true, "example.org/note": "mine",
		}).ok(n, "ADD with keys of the specification and of others")
		p.call("DEL").ok(n, "DEL")
		n.clean("DEL")
	})
}

// 100 MB on stdin: an answer comes, whatever it is, and nothing is left.
func TestHugeStdin(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		p := n.pod("one")
		good := n.stdin()
		fields := append(bytes.TrimSuffix(good, []byte("}")), []byte(`,"example.org/note":"`)...)
		fields = append(append(fields, bytes.Repeat([]byte("x"), 100<<20)...), `"}`...)
		if r := n.raw(fields, p.env("ADD")...); r.status != 0 {
			e := r.failure(n)
			if len(e.Msg+e.Details) > 10_000 {
				t.Errorf("the error has %d bytes", len(e.Msg+e.Details))
			}
			n.clean("a huge stdin")
		} else {
			p.call("DEL").ok(n, "DEL")
		}
		for _, stdin := range [][]byte{bytes.Repeat([]byte("x"), 100<<20), bytes.Repeat([]byte(" "), 100<<20)} {
			e := n.raw(stdin, p.env("ADD")...).failure(n)
			if e.Code != 6 && e.Code != 5 && e.Code != 7 || len(e.Msg+e.Details) > 10_000 {
				t.Errorf("code %d with %d bytes", e.Code, len(e.Msg+e.Details))
			}
		}
		n.clean("huge nonsense")
	})
}

func TestBadEnvironment(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		p := n.pod("one")
		for _, c := range []struct {
			what  string
			env   []string
			words string
		}{
			{"interface name too long", []string{"CNI_IFNAME=eth0eth0eth0eth0"}, ""},
			{"interface name with a slash", []string{"CNI_IFNAME=a/b"}, ""},
			{"interface name with a colon", []string{"CNI_IFNAME=eth0:1"}, ""},
			{"interface name of dots", []string{"CNI_IFNAME=.."}, ""},
			{"interface name with a space", []string{"CNI_IFNAME=eth 0"}, ""},
			{"container ID with a slash", []string{"CNI_CONTAINERID=../one"}, ""},
			{"container ID with a newline", []string{"CNI_CONTAINERID=a\nb"}, ""},
			{"container ID that begins with a dash", []string{"CNI_CONTAINERID=-one"}, ""},
			{"no container ID", []string{"CNI_CONTAINERID="}, "CNI_CONTAINERID"},
			{"no namespace", []string{"CNI_NETNS="}, "CNI_NETNS"},
			{"no interface name", []string{"CNI_IFNAME="}, "CNI_IFNAME"},
			{"no CNI_PATH", []string{"CNI_PATH="}, "CNI_PATH"},
			{"no command", []string{"CNI_COMMAND="}, ""},
			{"another command", []string{"CNI_COMMAND=FLY"}, "FLY"},
			{"a command in small letters", []string{"CNI_COMMAND=add"}, "add"},
			{"malformed arguments", []string{"CNI_ARGS=IP"}, ""},
			{"malformed arguments, more", []string{"CNI_ARGS=A=B=C;;=;x"}, ""},
			{"no address in arguments", []string{"CNI_ARGS=IP=ten"}, "ten"},
		} {
			r := n.raw(n.stdin(), p.env("ADD", c.env...)...)
			if c.what == "no command" && r.status == 0 {
				continue // then it says what it is, on stderr
			}
			n.doing = c.what
			e := r.failure(n)
			if e.Code != 4 || !strings.Contains(e.Msg+e.Details, c.words) {
				t.Errorf("%s: %d %q %q", c.what, e.Code, e.Msg, e.Details)
			}
			n.clean(c.what)
		}
	})
}

// A pod's names come from outside: they are kept as they are, and do no harm.
func TestOddPodNames(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		p := n.pod("one")
		for _, name := range []string{"../../etc/passwd", "a b", "<script>", strings.Repeat("x", 10_000), "%2e%2e", "\x1b[31m"} {
			n.raw(n.stdin(), p.env("ADD", "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME="+name)...).ok(n, "ADD")
			p.call("DEL").ok(n, "DEL")
			n.clean("DEL")
		}
	})
}

// A container's ID may be as long as a file's name, and longer.
func TestLongContainerID(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		for _, length := range []int{64, 128, 200, 255, 1000} {
			p := n.pod("one")
			p.id = strings.Repeat("a", length)
			if r := p.call("ADD"); r.status != 0 {
				if length <= 128 {
					t.Errorf("%d characters: %s", length, r)
				}
				r.failure(n)
				n.clean("an ID that is too long")
			}
			p.call("DEL").ok(n, "DEL")
			n.clean("DEL")
			n.sh("ip netns delete one")
		}
		// IDs that differ at their end alone are two.
		a, b := n.pod("xa"), n.pod("xb")
		a.id, b.id = strings.Repeat("a", 127)+"a", strings.Repeat("a", 127)+"b"
		a.add()
		before := n.holds()
		b.add()
		b.del()
		n.same(before, "DEL of a similar ID")
	})
}

// Without PLUMB_FILE, NODE_NAME and such in the configuration, they come from the
// environment.
func TestDefaultsFromTheEnvironment(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		n := newNode(t, layout{})
		p := n.pod("one")
		plain := []byte(`{"cniVersion": "1.1.0", "name": "net1", "type": "plumb-cni", "stateDir": "` + n.stateDir + `", "node": "", "file": ""}`)
		n.raw(plain, p.env("ADD", "PLUMB_FILE="+n.file, "NODE_NAME=worker1")...).ok(n, "ADD")
		n.raw(plain, p.env("DEL", "PLUMB_FILE="+n.file, "NODE_NAME=worker1")...).ok(n, "DEL")
		if e := n.raw(plain, p.env("ADD", "NODE_NAME=worker1")...).failure(n); !strings.Contains(e.Msg+e.Details, "/etc/plumb/plumb.yaml") {
			t.Errorf("%+v", e)
		}
		host, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		if e := n.raw(plain, p.env("ADD", "PLUMB_FILE="+n.file)...).failure(n); !strings.Contains(e.Msg+e.Details, host) {
			t.Errorf("%+v", e)
		}
		n.clean("failed ADDs")
	})
}
