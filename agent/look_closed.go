package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// closed says why a pod's network namespace cannot be entered, and what would allow
// it: in a container that is not a matter of course.
func closed(netns string, err error) error {
	_, nodir := os.Stat(filepath.Dir(netns))
	switch {
	case errors.Is(err, unix.EPERM): // setns(2)
		return fmt.Errorf("%s cannot be entered without the capability CAP_SYS_ADMIN", netns)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EACCES):
		// The runtime mounts the namespace on this file, and the mount did not get here:
		// the file is empty, and of ip-netns(8) nobody may read it.
		return fmt.Errorf("%s is no network namespace here; in a container its volume needs mountPropagation: HostToContainer", netns)
	case !errors.Is(err, os.ErrNotExist):
		return err
	case nodir != nil && !strings.HasPrefix(netns, "/proc/"):
		return fmt.Errorf("there is no %s here; in a container it has to be a volume, the host's directory", filepath.Dir(netns))
	}
	return fmt.Errorf("%s is no more", netns)
}

// sending says what a probe lacks.
func sending(err error) error {
	if errors.Is(err, unix.EPERM) { // of socket(2), see raw(7): path.Send gives no other
		return fmt.Errorf("%w: an echo request needs the capability CAP_NET_RAW; --proto tcp or udp needs none", err)
	}
	return err
}
