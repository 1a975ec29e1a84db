// Package cni is plumb's CNI plugin (https://www.cni.dev/docs/spec/): it gives a
// pod its addresses, wires it to the node, and records it as an endpoint. What it
// makes on the host it renders as the agent does, so that neither has anything to
// put right after the other, and it needs no agent.
//
// The order of things is what makes it safe to kill at any point:
//
//	ADD  journal, addresses, veth, record, route
//	DEL  record, veth (and with it the routes), flows, addresses, journal
//
// The journal's entry is the first to come and the last to go, the host end's name
// follows from the attachment's, and so a later DEL or GC finds all of it.
package cni

import (
	"context"
	"path/filepath"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/plumbnet/plumb/cni/address"
	"github.com/plumbnet/plumb/cni/attachment"
	"github.com/plumbnet/plumb/state/endpoint"
)

// Versions are the versions of the specification that the plugin speaks.
var Versions = []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"}

// Main runs the verb that the environment names, as the specification has it, and
// exits the process with status 1 after printing an error.
func Main(about string) {
	verb := func(do func(context.Context, *request) error) func(*skel.CmdArgs) error {
		return func(args *skel.CmdArgs) error {
			r, err := newRequest(args)
			if err != nil {
				return err
			}
			return do(context.Background(), r)
		}
	}
	skel.PluginMainFuncs(skel.CNIFuncs{
		Add: verb(add), Del: verb(del), Check: verb(check), GC: verb(gc), Status: verb(status),
	}, version.PluginSupports(Versions...), about)
}

// What the plugin keeps in the state directory.

func (r *request) endpoints() endpoint.Store {
	return endpoint.Store{Dir: filepath.Join(r.StateDir, "endpoints")}
}

func (r *request) addresses() address.Store {
	return address.Store{Dir: filepath.Join(r.StateDir, "addresses")}
}

func (r *request) journal() attachment.Journal {
	return attachment.Journal{Dir: filepath.Join(r.StateDir, "attachments")}
}
