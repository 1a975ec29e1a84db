package reconcile

import (
	"context"

	"github.com/plumbnet/plumb/state"
)

// Ops is what a kind of kernel object implements. O is the object's struct, or
// state.Object where several kinds are changed in one transaction.
//
// An implementation opens its sockets when it is made, on the calling thread,
// so that the network namespace is settled there. Read and Apply are called
// from one goroutine at a time; Watch's callbacks come from a goroutine of its own.
type Ops[O state.Object] interface {
	// Read gives every object in the kernel that plumb owns, and no other, each
	// once. yield must not keep references into buffers; it is called
	// synchronously. After an error what was yielded is not complete.
	Read(ctx context.Context, yield func(O)) error

	// Apply carries out changes in as few system calls as it can, and gives one
	// error for each (nil: done), in the order of changes. It is idempotent:
	// adding what is there and deleting what is not are no errors. It never
	// changes another owner's object: a *state.ConflictError says so. It must not
	// keep the list of changes, which is used again.
	Apply(ctx context.Context, changes []state.Change[O]) []error

	// Watch subscribes, returns, and from then on until ctx ends calls changed
	// with what others did to plumb's objects, in order, and again where the
	// kind must be read anew (events were lost, or do not say enough). Changes
	// that this value's own Apply makes are not reported.
	Watch(ctx context.Context, changed func([]state.Event[O]), again func()) error
}

// Tracker is an Ops whose objects bear no mark of ownership, so that Read cannot
// find them by itself (sysctls): it reads those that are tracked, and an object
// that is no longer wanted is forgotten, not deleted.
type Tracker[O state.Object] interface {
	Track(ids ...string)
	Untrack(ids ...string)
	// Silent says that no event tells of a change of the object, so that it has to
	// be looked at from time to time.
	Silent(id string) bool
	// Lookup is Read for some of the tracked.
	Lookup(ctx context.Context, ids []string, yield func(O)) error
}
