// Package agent puts plumb together on a node: the state file, the endpoint
// records and the host's devices as sources, the kernel's kinds as what is kept,
// one engine between them; once by hand (Once), or for ever (Run).
package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/plumbnet/plumb/kernel/addr"
	"github.com/plumbnet/plumb/kernel/host"
	"github.com/plumbnet/plumb/kernel/link"
	"github.com/plumbnet/plumb/kernel/neigh"
	"github.com/plumbnet/plumb/kernel/nft"
	"github.com/plumbnet/plumb/kernel/route"
	"github.com/plumbnet/plumb/kernel/sysctl"
	"github.com/plumbnet/plumb/reconcile"
	"github.com/plumbnet/plumb/state"
)

// Kernel is the kernel of this process's network namespace: every kind of object
// that plumb keeps there, and what it knows about the host.
type Kernel struct {
	Host      *host.Host
	Routes    *route.Kind
	Sysctls   *sysctl.Kind
	Originals *sysctl.Originals
	Notice    error // what was found amiss, and did not keep the rest from opening
	kinds     []reconcile.Kind
	closers   []func()
}

// OpenKernel opens all sockets. Originals are kept in the state directory. A kind
// that this kernel lacks does not stop the others: reading it fails, with the reason.
func OpenKernel(stateDir string, tables ...uint32) (*Kernel, error) {
	k := &Kernel{}
	fail := func(what string, err error) (*Kernel, error) {
		k.Close()
		return nil, fmt.Errorf("open %s: %w", what, err)
	}
	var err error
	if k.Host, err = host.Open(); err != nil {
		return fail("the host's devices", err)
	}
	k.closers = append(k.closers, k.Host.Close)

	links, err := link.New()
	if err != nil {
		return fail("links", err)
	}
	k.closers = append(k.closers, links.Close)
	k.kinds = append(k.kinds, reconcile.KindOf(links, false, state.KindLink))

	addresses, err := addr.New(state.IsTunnel)
	if err != nil {
		return fail("addresses", err)
	}
	k.closers = append(k.closers, func() { _ = addresses.Close() })
	k.kinds = append(k.kinds, reconcile.KindOf(addresses, false, state.KindAddress))

	sysctls, err := sysctl.New()
	if err != nil {
		return fail("sysctls", err)
	}
	k.closers = append(k.closers, sysctls.Close)
	if k.Originals, k.Notice, err = openOriginals(filepath.Join(stateDir, originalsName)); err != nil {
		return fail("the record of sysctls", err)
	}
	sysctls.Originals, k.Sysctls = k.Originals, sysctls
	k.kinds = append(k.kinds, reconcile.KindOf(sysctls, false, state.KindSysctl))

	forwarding, err := neigh.NewFDB(state.VXLANDevice, state.VXLANDevice6)
	if err != nil {
		return fail("forwarding entries", err)
	}
	k.closers = append(k.closers, func() { _ = forwarding.Close() })
	k.kinds = append(k.kinds, reconcile.KindOf(forwarding, false, state.KindFDB))

	// Permanent entries on plumb's tunnel devices are plumb's.
	neighbours, err := neigh.New(state.IsTunnel)
	if err != nil {
		return fail("neighbours", err)
	}
	k.closers = append(k.closers, func() { _ = neighbours.Close() })
	k.kinds = append(k.kinds, reconcile.KindOf(neighbours, false, state.KindNeigh))

	if k.Routes, err = route.New(tables...); err != nil {
		return fail("routes", err)
	}
	k.closers = append(k.closers, func() { _ = k.Routes.Close() })
	k.kinds = append(k.kinds, reconcile.KindOf(k.Routes, false, state.KindRoute))

	nftKinds := []state.Kind{state.KindTable, state.KindSet, state.KindChain, state.KindRule, state.KindElement}
	if tables, err := nft.New(); err != nil {
		k.kinds = append(k.kinds, reconcile.KindOf(unavailable{err}, true, nftKinds...))
	} else {
		k.closers = append(k.closers, func() { _ = tables.Close() })
		k.kinds = append(k.kinds, reconcile.KindOf(tables, true, nftKinds...))
	}
	return k, nil
}

// openOriginals puts a record that cannot be read aside: without it a cleanup may
// leave a parameter as it is, which is no reason to leave pods without a network.
func openOriginals(path string) (o *sysctl.Originals, notice, err error) {
	if o, notice = sysctl.OpenOriginals(path); notice == nil {
		return o, nil, nil
	}
	aside := path + ".unreadable"
	if err := os.Rename(path, aside); err != nil {
		return nil, nil, errors.Join(notice, err)
	}
	o, err = sysctl.OpenOriginals(path)
	return o, fmt.Errorf("%w; it was moved to %s", notice, aside), err
}

// Engine makes an engine of all kinds.
func (k *Kernel) Engine() *reconcile.Engine { return reconcile.NewEngine(k.kinds...) }

// Close closes all sockets.
func (k *Kernel) Close() {
	for _, c := range k.closers {
		c()
	}
	k.closers = nil
}

// unavailable stands for a kind that the kernel lacks.
type unavailable struct{ err error }

func (u unavailable) Read(context.Context, func(state.Object)) error { return u.err }

func (u unavailable) Apply(_ context.Context, changes []state.Change[state.Object]) []error {
	errs := make([]error, len(changes))
	for i := range errs {
		errs[i] = u.err
	}
	return errs
}

func (u unavailable) Watch(context.Context, func([]state.Event[state.Object]), func()) error {
	return u.err
}
