package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/bgp/bgptest"
	"github.com/plumbnet/plumb/kernel/nstest"
)

// withPassword is a node with one router; what is put in is more of the session.
const withPassword = `apiVersion: plumb/v1
pools: [{cidr: 10.244.0.0/16}]
nodes: [{name: n0, addresses: [192.0.2.1/24], podCIDRs: [10.244.1.0/24]}]
bgp: {asn: 64512, peers: [{name: tor, address: 192.0.2.2, asn: 64601%s}]}
`

// A file that names no password when the agent starts names one later.
func TestPasswordThatComesLater(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad")
		h := bgptest.NewHost(t, "eth0", []string{"192.0.2.1/24"}, []string{"192.0.2.2/24"})
		r := bgptest.BIRD(t, h, bgptest.Config{ASN: 64601, RouterID: "192.0.2.2", Peers: []bgptest.Peer{
			{Address: "192.0.2.1", Local: "192.0.2.2", ASN: 64512, IPv4: true, Password: "secret"},
		}})
		o := options(t, fmt.Sprintf(withPassword, ""))
		o.HTTP = "127.0.0.1:9178"
		secret := o.StateDir + ".password"
		write(t, secret, "secret\n")
		nstest.Sh(t, "chmod 600 "+secret)
		log := start(t, o)
		bgptest.Eventually(t, "the session is there", func() bool { s := statusOf(t); return s.BGP != nil && len(s.BGP.Sessions) == 1 })
		write(t, o.File, fmt.Sprintf(withPassword, ", passwordFile: "+secret))
		bgptest.Eventually(t, "it is up with the password", func() bool { return r.Has("10.244.1.0/24") }, r.Status, log.String)
	})
}

// differences is what `plumb diff` says beside a running agent.
func differences(t *testing.T, o Options) string {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", o.Socket)
	}}}
	r, err := c.Get("http://agent/bgp")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var b BGPState
	if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
		t.Fatal(err)
	}
	l, err := Load(o.File, "n0")
	if err != nil {
		t.Fatal(err)
	}
	once, err := NewOnce(t.Context(), l, "n0", o.StateDir, &b)
	if err != nil {
		t.Fatal(err)
	}
	defer once.Close()
	p, err := once.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintln(&out, s.Change)
	}
	return out.String()
}

// A password file that vanishes leaves the session as it is, and there is nothing that
// would be changed; with another password in it there is.
func TestDiffOfAPasswordFile(t *testing.T) {
	nstest.Run(t, func(t *testing.T) {
		bgptest.NewHost(t, "eth0", []string{"192.0.2.1/24"}, []string{"192.0.2.2/24"})
		o := options(t, "")
		o.HTTP = "127.0.0.1:9178"
		secret := o.StateDir + ".password"
		write(t, secret, "secret\n")
		nstest.Sh(t, "chmod 600 "+secret)
		write(t, o.File, fmt.Sprintf(withPassword, ", passwordFile: "+secret))
		start(t, o)
		bgptest.Eventually(t, "converged", func() bool {
			s := statusOf(t)
			return s.Converged && s.BGP != nil && len(s.BGP.Sessions) == 1
		})
		if d := differences(t, o); d != "" {
			t.Errorf("before:\n%s", d)
		}
		nstest.Sh(t, "rm "+secret)
		bgptest.Eventually(t, "it is told", func() bool {
			return strings.Contains(strings.Join(statusOf(t).Warnings, "\n"), "the earlier one stays in use")
		})
		if d := differences(t, o); d != "" {
			t.Errorf("without the file:\n%s", d)
		}
		o.File += ".other" // not the agent's
		write(t, o.File, fmt.Sprintf(withPassword, ", passwordFile: "+secret+".other"))
		write(t, secret+".other", "another\n")
		if d := differences(t, o); !strings.Contains(d, "192.0.2.2") {
			t.Errorf("with another password:\n%s", d)
		}
	})
}
