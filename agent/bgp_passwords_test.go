package agent

import (
	"fmt"
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
