package cni

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/types/create"
)

// Another plugin may hand out the addresses: the one that ipam.type names, called
// as the specification has it (section 4, delegation), with the same environment
// and configuration. Of its result the addresses count, and the DNS
// servers where the configuration has none; gateway and routes are plumb's.
//
// The specification's library could call it too, but brings an HTTP stack along,
// which every start of the plugin would pay for.

func (r *request) delegateAdd(ctx context.Context) ([]netip.Addr, error) {
	out, err := r.run(ctx, "ADD")
	if err != nil {
		return nil, err
	}
	res, err := parseResult(out)
	if err != nil {
		return nil, r.delegateError(types.ErrDecodingFailure, err)
	}
	got := addressesOf(res)
	if err = r.unowned(got); len(got) == 0 {
		err = errors.New("it gave no address")
	}
	if err != nil {
		return nil, r.delegateError(types.ErrInternal, err)
	}
	if r.dns.IsEmpty() {
		r.dns = res.DNS
	}
	return got, r.journal().Note(r.id(), r.config.Name, nil)
}

func parseResult(printed []byte) (*current.Result, error) {
	created, err := create.CreateFromBytes(printed)
	if err != nil {
		return nil, err
	}
	return current.NewResultFromResult(created)
}

func addressesOf(res *current.Result) []netip.Addr {
	var out []netip.Addr
	for _, ip := range res.IPs {
		if a, ok := netip.AddrFromSlice(ip.Address.IP); ok {
			out = append(out, a.Unmap())
		}
	}
	return out
}

// unowned makes sure that none of the addresses is another endpoint's: the
// delegate does not know of those.
func (r *request) unowned(addresses []netip.Addr) error {
	records, _ := r.endpoints().List()
	for _, e := range records {
		for _, a := range addresses {
			if e.ID != r.id() && slices.Contains(e.Addresses, a) {
				return fmt.Errorf("it gave %s, which endpoint %s has", a, e.Name)
			}
		}
	}
	return nil
}

// delegate calls the other plugin for one of the verbs that give no result; where
// there is no other plugin it has nothing to do.
func (r *request) delegate(ctx context.Context, verb string) error {
	if !r.delegates() {
		return nil
	}
	_, err := r.run(ctx, verb)
	return err
}

// run executes the other plugin, and gives what it printed.
func (r *request) run(ctx context.Context, verb string) ([]byte, error) {
	path, err := r.find(r.IPAM.Type)
	if err != nil {
		return nil, r.delegateError(types.ErrInvalidNetworkConfig, err)
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Env = append(os.Environ(), "CNI_COMMAND="+verb, "CNI_CONTAINERID="+r.ContainerID, "CNI_IFNAME="+r.IfName)
	cmd.Stdin = bytes.NewReader(r.StdinData)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if err == nil {
		return stdout.Bytes(), nil
	}
	var said types.Error
	if json.Unmarshal(stdout.Bytes(), &said) == nil && said.Msg != "" {
		return nil, r.delegateError(cmp.Or(said.Code, types.ErrInternal), &said)
	}
	return nil, r.delegateError(types.ErrInternal, fmt.Errorf("%w: %s", err, strings.TrimSpace(stdout.String()+stderr.String())))
}

// find looks for a plugin in CNI_PATH.
func (r *request) find(name string) (string, error) {
	if strings.ContainsRune(name, os.PathSeparator) {
		return "", errors.New("ipam: type is a plugin's name, not a path")
	}
	for _, dir := range filepath.SplitList(r.Path) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("ipam: there is no plugin %s in CNI_PATH (%s)", name, r.Path)
}

// delegateError names the plugin.
func (r *request) delegateError(code uint, err error) error {
	return fail(code, "ipam plugin "+r.IPAM.Type, err)
}
