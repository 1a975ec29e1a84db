package cni

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/plumbnet/plumb/cni/attachment"
	"github.com/plumbnet/plumb/kernel/link"
	"github.com/plumbnet/plumb/kernel/pod"
	"github.com/plumbnet/plumb/render"
	"github.com/plumbnet/plumb/state"
	"github.com/plumbnet/plumb/state/desired"
)

// gc removes what is left of attachments that are not valid any more: first those
// that are known, by the journal or a record, then host ends and addresses of
// which nothing else is left. What another network's attachments have, and what
// the state file names, stays.
func gc(ctx context.Context, r *request) error {
	known, err := r.known()
	if err != nil {
		return classify("collect garbage", err)
	}
	valid := map[string]bool{}
	for _, a := range r.ValidAttachments {
		valid[attachment.ID(a.ContainerID, a.IfName)] = true
	}
	keep := maps.Clone(valid)
	var errs []error
	for id, network := range known {
		switch {
		case network != "" && network != r.config.Name:
			keep[id] = true
		case !valid[id]:
			dead := r.as(id)
			// Not every ipam plugin knows GC, and its own DEL does as well.
			errs = append(errs, dead.remove(ctx), dead.delegate(ctx, "DEL"))
		}
	}
	errs = append(errs, r.freeStrayAddresses(keep), r.removeStrayHostEnds(ctx, keep))
	if err := errors.Join(errs...); err != nil {
		return classify("collect garbage", err)
	}
	return r.delegate(ctx, "GC")
}

// known gives every attachment that the journal or a record names, and its
// network, as far as that is known.
func (r *request) known() (map[string]string, error) {
	entries, err := r.journal().All()
	if err != nil {
		return nil, err
	}
	known := map[string]string{}
	for id, e := range entries {
		known[id] = e.Network
	}
	records, errs := r.endpoints().List()
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	for _, e := range records {
		if e.ContainerID != "" && known[e.ID] == "" {
			known[e.ID] = e.Network
		}
	}
	return known, nil
}

// as is the request for another attachment.
func (r *request) as(id string) *request {
	other, args := *r, *r.CmdArgs
	i := strings.LastIndexByte(id, '/')
	args.ContainerID, args.IfName = id[:max(i, 0)], id[i+1:]
	other.CmdArgs = &args
	return &other
}

func (r *request) freeStrayAddresses(keep map[string]bool) error {
	if r.addresses().Absent() {
		return nil
	}
	s, err := r.addresses().Lock(lockTime)
	if err != nil {
		return err
	}
	defer s.Close()
	all, err := s.All()
	if err != nil {
		return err
	}
	var errs []error
	for a, o := range all {
		if !keep[attachment.ID(o.ContainerID, o.IfName)] {
			errs = append(errs, s.Release(o, a))
		}
	}
	return errors.Join(errs...)
}

// removeStrayHostEnds removes host ends that no attachment accounts for. Those
// that the state file names were made by somebody's hand; where it cannot be read
// which those are is not known, and so none is removed.
func (r *request) removeStrayHostEnds(ctx context.Context, keep map[string]bool) error {
	links, err := link.New()
	if err != nil {
		return err
	}
	defer links.Close()
	strays := map[string]bool{}
	if err := links.Read(ctx, func(l state.Link) {
		if render.IsHostEnd(l.Name) {
			strays[l.Name] = true
		}
	}); err != nil {
		return err
	}
	for id := range keep {
		a := r.as(id)
		delete(strays, a.hostEnd())
	}
	if len(strays) == 0 {
		return nil
	}
	file, _, err := desired.Load(r.File)
	if err != nil || file == nil {
		return fmt.Errorf("%s is not valid, so it is not known whether it names %s", r.File,
			strings.Join(slices.Sorted(maps.Keys(strays)), ", "))
	}
	for _, e := range file.Endpoints {
		delete(strays, e.Interface)
	}
	var errs []error
	for name := range strays {
		errs = append(errs, pod.Unwire(name))
	}
	return errors.Join(errs...)
}
