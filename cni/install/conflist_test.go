package install

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/version"
)

const shipped = "../../examples/cni/10-plumb.conflist"

// What stands in the examples is what is installed where no flag says otherwise,
// and runtimes take it.
func TestShippedConflist(t *testing.T) {
	text, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	builtIn, err := Conf{File: "/etc/plumb/plumb.yaml", StateDir: "/var/lib/plumb", Chain: Chainable()}.Conflist()
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != string(builtIn) {
		t.Errorf("%s is\n%s\nthe built-in conflist is\n%s", shipped, text, builtIn)
	}
	list, err := libcni.NetworkConfFromFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	if list.Name != "plumb" || list.CNIVersion != "1.0.0" {
		t.Errorf("name %q, version %q", list.Name, list.CNIVersion)
	}
	if newer, err := version.GreaterThan(list.CNIVersion, "1.0.0"); err != nil || newer {
		t.Errorf("containerd 1.6 does not take results of version %s (%v)", list.CNIVersion, err)
	}
	var got []string
	for _, p := range list.Plugins {
		for name, on := range p.Network.Capabilities {
			if on {
				got = append(got, p.Network.Type+" "+name)
			}
		}
	}
	if want := "plumb-cni ips, portmap portMappings, bandwidth bandwidth"; strings.Join(got, ", ") != want {
		t.Errorf("plugins and capabilities: %q, want %q", got, want)
	}
	if base := filepath.Base(shipped); base != DefaultConfName {
		t.Errorf("the example is %s, and it is installed as %s", base, DefaultConfName)
	}
}

func TestConflistValues(t *testing.T) {
	for _, c := range []struct {
		name string
		conf Conf
		want string // the plugins, in one line
	}{
		{"nothing", Conf{}, `[{"type":"plumb-cni","capabilities":{"ips":true}}]`},
		{
			"everything",
			Conf{File: "/f.yaml", Node: "n1", StateDir: "/s", MTU: 1400},
			`[{"type":"plumb-cni","file":"/f.yaml","node":"n1","stateDir":"/s","mtu":1400,"capabilities":{"ips":true}}]`,
		},
		{
			"a chain in another order",
			Conf{Chain: []string{"bandwidth", "portmap"}},
			`[{"type":"plumb-cni","capabilities":{"ips":true}},` +
				`{"type":"bandwidth","capabilities":{"bandwidth":true}},{"type":"portmap","capabilities":{"portMappings":true}}]`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, err := c.conf.Conflist()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parse(text); err != nil {
				t.Errorf("it is refused by its own check: %v", err)
			}
			var l list
			if err := json.Unmarshal(text, &l); err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(l.Plugins)
			if err != nil || string(got) != c.want {
				t.Errorf("%s (%v)\nwant %s", got, err, c.want)
			}
		})
	}
	for _, c := range []struct {
		conf Conf
		want string
	}{
		{Conf{MTU: 100}, "mtu 100: it is a number of bytes, 0 or 576 to 65535"},
		{Conf{Chain: []string{"tuning"}}, `chain "tuning": it is of portmap, bandwidth; for others give a conflist of your own`},
		{Conf{Chain: []string{"portmap", "portmap"}}, "chain: portmap is there twice"},
	} {
		if _, err := c.conf.Conflist(); err == nil || err.Error() != c.want {
			t.Errorf("%+v: %v, want %s", c.conf, err, c.want)
		}
	}
}

// Each bad conflist gets one error that says where, or what is to be there.
func TestParse(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "line 1, column 1: unexpected end of JSON input"},
		{"not JSON", "{\n  \"name\": plumb\n}", "line 2, column 11: invalid character 'p'"},
		{"cut off", "{\n  \"name\": \"plumb\",\n", "line 2, column 19: unexpected end"},
		{"something behind it", "{}\n{}", "line 2, column 1: invalid character '{' after top-level value"},
		{"an array", "[]", "line 1, column 1: is a JSON array, not an object"},
		{"plugins of another kind", `{"plugins": "x"}`, "plugins must not be a JSON string"},
		{"one plugin", `{"name": "x", "type": "plumb-cni"}`, `is the configuration of one plugin ("plumb-cni"), not a list`},
		{"no plugins", `{"name": "x"}`, `has no "plugins"`},
		{"a plugin without a type", `{"name": "x", "plugins": [{"type": "plumb-cni"}, {}]}`, `plugins[1] has no "type"`},
		{"another's", `{"name": "x", "plugins": [{"type": "bridge"}]}`, `has no plugin of "type": "plumb-cni"`},
		{"none", `{"name": "x", "plugins": []}`, `has no plugin of "type": "plumb-cni"`},
		{"no name", `{"plugins": [{"type": "plumb-cni"}]}`, "no name"},
		{"a version that is none", `{"name": "x", "cniVersions": ["new"], "plugins": [{"type": "plumb-cni"}]}`, "cniVersions"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want one that says: %s", err, c.want)
			}
		})
	}
	got, err := parse([]byte(`{"cniVersion": "1.1.0", "name": "x", "plugins": [
		{"type": "plumb-cni", "ipam": {"type": "host-local"}}, {"type": "tuning"}]}`))
	if want := "plumb-cni host-local tuning"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("it calls %s (%v), want %s", got, err, want)
	}
}
