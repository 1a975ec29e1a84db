package cni

import (
	"errors"
	"io/fs"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/plumbnet/plumb/cni/address"
)

// fail makes an error of the specification's: a code, what was being done, and
// what went wrong with it.
func fail(code uint, doing string, err error) error {
	return &types.Error{Code: code, Msg: doing, Details: err.Error()}
}

// classify finds the code for an error of one of the steps.
func classify(doing string, err error) error {
	var e *types.Error
	var exhausted *address.ExhaustedError
	var taken *address.TakenError
	var path *fs.PathError
	switch {
	case errors.As(err, &e):
		return err
	case errors.As(err, &exhausted), errors.As(err, &taken), errors.Is(err, address.ErrBusy):
		return fail(types.ErrTryAgainLater, doing, err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EROFS), errors.Is(err, unix.EDQUOT), errors.As(err, &path):
		return fail(types.ErrIOFailure, doing, err)
	}
	return fail(types.ErrInternal, doing, err)
}
