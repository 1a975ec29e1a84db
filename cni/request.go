package cni

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/plumbnet/plumb/cni/address"
	"github.com/plumbnet/plumb/cni/attachment"
	"github.com/plumbnet/plumb/kernel/pod"
)

// config is the network configuration. Every field of its own may be left out.
// Fields that are not known are ignored, as the specification asks.
type config struct {
	types.PluginConf
	File     string `json:"file"`     // the state file
	Node     string `json:"node"`     // the node's name in it
	StateDir string `json:"stateDir"` // endpoint records, addresses
	MTU      int    `json:"mtu"`      // of the pod's interface; 0: the state file's, or what the uplink leaves

	RuntimeConfig struct {
		IPs []string `json:"ips"` // capability ips
	} `json:"runtimeConfig"`
	Args struct {
		CNI struct {
			IPs []string `json:"ips"`
		} `json:"cni"`
	} `json:"args"`
}

// request is one call of the plugin.
type request struct {
	*skel.CmdArgs
	config
	name  string       // of the pod: default/web-1
	dns   types.DNS    // the configuration's, or what the ipam plugin gave
	fixed []netip.Addr // addresses that are asked for
}

func newRequest(args *skel.CmdArgs) (*request, error) {
	r := &request{CmdArgs: args}
	if err := json.Unmarshal(args.StdinData, &r.config); err != nil {
		return nil, fail(types.ErrDecodingFailure, "network configuration", err)
	}
	if r.MTU < 0 || r.MTU > 65535 {
		return nil, fail(types.ErrInvalidNetworkConfig, "network configuration", fmt.Errorf("mtu: %d is not between 0 and 65535", r.MTU))
	}
	r.File = cmp.Or(r.File, os.Getenv("PLUMB_FILE"), "/etc/plumb/plumb.yaml")
	r.StateDir = cmp.Or(r.StateDir, os.Getenv("PLUMB_STATE_DIR"), "/var/lib/plumb")
	for _, path := range []string{r.File, r.StateDir} {
		if !filepath.IsAbs(path) {
			return nil, fail(types.ErrInvalidNetworkConfig, "network configuration",
				fmt.Errorf("file and stateDir: %s does not begin with /, and where the runtime runs is not known", path))
		}
	}
	if r.Node = cmp.Or(r.Node, os.Getenv("NODE_NAME")); r.Node == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, fail(types.ErrInvalidNetworkConfig, "no node's name in the configuration, and none of the host", err)
		}
		r.Node = name
	}
	if err := r.checkIPAM(); err != nil {
		return nil, fail(types.ErrInvalidNetworkConfig, "network configuration", err)
	}
	r.dns = r.DNS
	if err := r.readArgs(); err != nil {
		return nil, fail(types.ErrInvalidEnvironmentVariables, "CNI_ARGS", err)
	}
	return r, nil
}

// checkIPAM refuses options for another plugin that is not named.
func (r *request) checkIPAM() error {
	if r.delegates() {
		return nil
	}
	var conf struct {
		IPAM map[string]json.RawMessage `json:"ipam"`
	}
	if err := json.Unmarshal(r.StdinData, &conf); err != nil || len(conf.IPAM) == 0 {
		return err
	}
	return errors.New("ipam has no type; name the plugin, or leave ipam out for addresses of the node's podCIDRs")
}

// readArgs takes the pod's name and addresses out of CNI_ARGS, KEY=VALUE pairs
// with semicolons between them. Other keys are for others.
func (r *request) readArgs() error {
	known := map[string]string{}
	for pair := range strings.SplitSeq(r.CmdArgs.Args, ";") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok && pair != "" {
			return fmt.Errorf("%q is not KEY=VALUE", pair)
		}
		known[key] = value
	}
	r.name = r.ContainerID
	if name := known["K8S_POD_NAME"]; name != "" {
		r.name = strings.TrimPrefix(known["K8S_POD_NAMESPACE"]+"/"+name, "/")
	}
	texts := slices.Concat(r.RuntimeConfig.IPs, r.config.Args.CNI.IPs)
	if ip := known["IP"]; ip != "" {
		texts = append(texts, strings.Split(ip, ",")...)
	}
	for _, text := range texts {
		a, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil {
			var p netip.Prefix // with the length of a subnet, of which nothing is made
			p, err = netip.ParsePrefix(strings.TrimSpace(text))
			a = p.Addr()
		}
		if err != nil || a.Zone() != "" {
			return fmt.Errorf("IP: %q is not an address", text)
		}
		r.fixed = append(r.fixed, a.Unmap())
	}
	return nil
}

func (r *request) id() string { return attachment.ID(r.ContainerID, r.IfName) }
func (r *request) owner() address.Owner {
	return address.Owner{ContainerID: r.ContainerID, IfName: r.IfName}
}
func (r *request) hostEnd() string { return pod.HostEndName(r.ContainerID, r.IfName) }

// delegates says whether another plugin hands out the addresses.
func (r *request) delegates() bool { return r.IPAM.Type != "" }
