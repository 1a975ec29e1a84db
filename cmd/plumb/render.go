package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/plumbnet/plumb/agent"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
	"github.com/spf13/cobra"
)

func renderCommand(o *options) *cobra.Command {
	return o.printing(&cobra.Command{
		Use:   "render",
		Short: "print what the state file makes of a node",
		Long: "Print every object that the state file and the endpoints make of a node, with its origin.\n" +
			"nft is the input of `nft -f`, ip that of `ip -batch`. Away from the node its devices are\n" +
			"not known: then routes name none, which is said on stderr.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return renderNode(cmd.Context(), o) },
	}, "text", "json", "nft", "ip")
}

func renderNode(ctx context.Context, o *options) error {
	l, err := agent.Load(o.file, o.node)
	if err != nil {
		return err
	}
	r, err := agent.Render(ctx, l, o.node, o.stateDir)
	if err != nil {
		return err
	}
	if r.Elsewhere {
		fmt.Fprintf(o.stderr, "plumb: this host has no address of node %s: devices are left out of routes\n", o.node)
	}
	o.warn(l, r.Warnings)
	objects := make([]state.Object, 0, len(r.Wanted))
	for _, w := range r.Wanted {
		objects = append(objects, w.Object)
	}
	switch o.output {
	case "json":
		return printJSON(o.stdout, jsonWanted(r.Wanted))
	case "nft":
		_, err = io.WriteString(o.stdout, render.NFT(objects))
	case "ip":
		_, err = io.WriteString(o.stdout, render.IP(objects))
	default:
		for _, w := range r.Wanted {
			if _, err = fmt.Fprintf(o.stdout, "%-70s  %s\n", state.String(w.Object), w.Origin); err != nil {
				return err
			}
		}
	}
	return err
}

// warn prints what is worth knowing and no error, on stderr.
func (o *options) warn(l *agent.Loaded, more []string) {
	for _, p := range l.Warnings {
		fmt.Fprintln(o.stderr, p)
	}
	for _, w := range more {
		fmt.Fprintln(o.stderr, "warning: "+w)
	}
}

type jsonObject struct {
	Kind   state.Kind   `json:"kind"`
	ID     string       `json:"id"`
	Text   string       `json:"text"`
	Origin string       `json:"origin"`
	Object state.Object `json:"object"`
}

func jsonWanted(wanted []render.Wanted) json.Marshaler {
	list := make(jsonList, 0, len(wanted))
	for _, w := range wanted {
		key := w.Object.Key()
		list = append(list, jsonObject{key.Kind, key.ID, state.String(w.Object), w.Origin, w.Object})
	}
	return list
}

type jsonList []jsonObject

func (l jsonList) MarshalJSON() ([]byte, error) { return json.Marshal([]jsonObject(l)) }
