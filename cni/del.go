package cni

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"

	"github.com/plumbnet/plumb/kernel/conntrack"
	"github.com/plumbnet/plumb/kernel/pod"
)

// del removes whatever there is of the attachment. That there is nothing, or only
// a part, is no error: the pod's namespace may be gone, the plugin may have been
// killed, the runtime may call twice.
func del(ctx context.Context, r *request) error {
	if err := r.remove(ctx); err != nil {
		return classify("delete the attachment", err)
	}
	if err := r.delegate(ctx, "DEL"); err != nil {
		return err
	}
	return nil
}

// remove goes through the steps. Addresses are freed only once nothing leads to
// them.
func (r *request) remove(ctx context.Context) error {
	addresses, err := r.held()
	if err != nil {
		return err
	}
	if err := errors.Join(r.endpoints().Delete(r.id()), pod.Unwire(r.hostEnd())); err != nil {
		return err
	}
	// The next pod with one of the addresses must not inherit its flows.
	if len(addresses) > 0 {
		if _, err := conntrack.Delete(ctx, addresses...); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	return r.release(addresses...)
}

// held gives the attachment's addresses, as far as its record or the journal know
// them.
func (r *request) held() ([]netip.Addr, error) {
	if record, err := r.endpoints().Get(r.id()); err == nil {
		return record.Addresses, nil
	}
	entry, err := r.journal().Get(r.id())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return entry.Addresses, err
}
