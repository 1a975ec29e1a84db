package cni

import (
	"context"
	"errors"

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

// remove goes through the steps, each whether or not the others succeed, except
// that addresses are freed only once nothing leads to them.
func (r *request) remove(ctx context.Context) error {
	if err := errors.Join(r.endpoints().Delete(r.id()), pod.Unwire(r.hostEnd())); err != nil {
		return err
	}
	return r.release()
}
