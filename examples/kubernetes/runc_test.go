package kubernetes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/plumbnet/plumb/kernel/nstest"
	"github.com/plumbnet/plumb/state/desired/volumetest"
)

// worker1 is the namespace of a test as the node worker1 of the manifest, with the
// folder that stands for its disk.
type worker1 struct {
	t         *testing.T
	disk      string
	stateFile volumetest.Volume // the ConfigMap's volume
	hostIP    string            // as the API server has it
	ran       int
}

const address, address6 = "172.18.0.3", "fc00:f853:ccd:e793::3"

// onWorker1 runs a test on such a node. Container runtimes need root.
func onWorker1(t *testing.T, body func(n *worker1)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("runc needs root here, for the owners of files: run the tests as root")
	}
	noteSources(t)
	nstest.Run(t, func(t *testing.T) {
		nstest.Sh(t, `
			mount --make-rprivate /
			echo 0 >/proc/sys/net/ipv4/ip_forward
			ip link add eth0 type veth peer name peer
			ip link set eth0 up; ip link set peer up
			ip address add `+address+`/16 dev eth0
			ip address add `+address6+`/64 dev eth0 nodad
			ip route add default via 172.18.0.1`)
		n := &worker1{t: t, disk: t.TempDir(), hostIP: address}
		n.stateFile = volumetest.Volume{T: t, Dir: filepath.Join(n.disk, "volumes/state-file")}
		body(n)
	})
}

// process is a container that runs.
type process struct {
	n    *worker1
	id   string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

// run starts a container of a pod as a kubelet has a runtime do it.
func (n *worker1) run(p pod, c container) *process {
	n.t.Helper()
	n.ran++
	id := fmt.Sprintf("%s-%d", c.Name, n.ran)
	bundle := filepath.Join(n.disk, "bundles", id)
	config, err := json.Marshal(n.spec(p, c))
	// A file system of its own: the runtime makes in it what volumes are mounted on.
	if err == nil {
		err = errors.Join(os.MkdirAll(bundle, 0o755), exec.Command("cp", "-al", filepath.Join(os.Getenv(built), "image"), bundle+"/root").Run())
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(bundle, "config.json"), config, 0o600)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	r := &process{n: n, id: id, cmd: n.runc("run", "--bundle", bundle, id), log: bundle + "/log", done: make(chan struct{})}
	log, err := os.Create(r.log)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	r.cmd.Stdout, r.cmd.Stderr = log, log
	if err := r.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	go func() {
		r.cmd.Wait() // its status is looked at by those who want it
		close(r.done)
	}()
	n.t.Cleanup(func() {
		r.end(syscall.SIGKILL)
		if n.t.Failed() {
			n.t.Logf("the log of %s:\n%s", id, r.said())
		}
	})
	return r
}

func (n *worker1) runc(args ...string) *exec.Cmd {
	return exec.Command("runc", append([]string{"--root", filepath.Join(n.disk, "runc")}, args...)...)
}

// end sends the container a signal, and waits for its end.
func (r *process) end(s syscall.Signal) {
	_ = r.n.runc("kill", r.id, strconv.Itoa(int(s))).Run() // it may have ended
	<-r.done
}

// inside runs a command in the container, as kubectl exec does, and gives its output,
// with the error if there is one.
func (r *process) inside(args ...string) string {
	out, err := r.n.runc(append([]string{"exec", r.id}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s%v", out, err)
	}
	return string(out)
}

// status is the kernel's word on the container's first process (proc(5)).
func (r *process) status() string {
	r.n.t.Helper()
	var state struct{ PID int }
	out, err := r.n.runc("state", r.id).Output()
	if err == nil {
		err = json.Unmarshal(out, &state)
	}
	text, serr := os.ReadFile(fmt.Sprintf("/proc/%d/status", state.PID))
	if err := errors.Join(err, serr); err != nil {
		r.n.t.Fatal(err)
	}
	return string(text)
}

// finish waits for a container that ends by itself, and gives its status.
func (r *process) finish() int {
	r.n.t.Helper()
	select {
	case <-r.done:
	case <-time.After(patience):
		r.n.t.Fatalf("it does not end within %s:\n%s", patience, r.said())
	}
	return r.cmd.ProcessState.ExitCode()
}

func (r *process) said() string {
	b, _ := os.ReadFile(r.log)
	return string(bytes.TrimSpace(b))
}

// must is a container that has to succeed.
func (n *worker1) must(p pod, c container) string {
	n.t.Helper()
	r := n.run(p, c)
	if code := r.finish(); code != 0 {
		n.t.Fatalf("container %s: exit status %d\n%s", c.Name, code, r.said())
	}
	return r.said()
}

type dict = map[string]any

// spec is the container as the runtime is told of it (OCI runtime specification), with
// what a runtime of Kubernetes adds: /proc whose sys is read-only, and masked places.
func (n *worker1) spec(p pod, c container) dict {
	n.t.Helper()
	d, err := readDockerfile()
	if err != nil {
		n.t.Fatal(err)
	}
	env := []string{"PATH=" + d.path}
	replace := []string{}
	for _, e := range c.Env {
		switch e.ValueFrom.FieldRef.FieldPath {
		case "spec.nodeName":
			e.Value = "worker1"
		case "status.hostIP":
			e.Value = n.hostIP
		case "":
		default:
			n.t.Fatalf("container %s: the test knows no %s", c.Name, e.ValueFrom.FieldRef.FieldPath)
		}
		env = append(env, e.Name+"="+e.Value)
		replace = append(replace, "$("+e.Name+")", e.Value)
	}
	if c.Command != nil {
		n.t.Fatalf("container %s: the image's entry point is not used", c.Name)
	}
	args := []string{d.entrypoint}
	for _, a := range c.Args {
		args = append(args, strings.NewReplacer(replace...).Replace(a))
	}
	capabilities := []string{}
	for _, a := range c.SecurityContext.Capabilities.Add {
		capabilities = append(capabilities, "CAP_"+a)
	}
	linux := dict{
		// The network is the host's.
		"namespaces":    []dict{{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}},
		"maskedPaths":   []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"},
		"readonlyPaths": []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
	}
	if p.SecurityContext.SeccompProfile.Type == "RuntimeDefault" {
		linux["seccomp"] = seccomp(n.t, capabilities)
	}
	return dict{
		"ociVersion": "1.0.2",
		"process": dict{
			"user": dict{"uid": *p.SecurityContext.RunAsUser, "gid": 0}, "args": args, "env": env, "cwd": "/",
			"capabilities":    dict{"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
			"noNewPrivileges": !*c.SecurityContext.AllowPrivilegeEscalation,
		},
		"root":   dict{"path": "root", "readonly": *c.SecurityContext.ReadOnlyRootFilesystem},
		"mounts": n.mounts(p, c),
		"linux":  linux,
	}
}

func (n *worker1) mounts(p pod, c container) []dict {
	n.t.Helper()
	mounts := []dict{
		{"destination": "/proc", "type": "proc", "source": "proc", "options": []string{"nosuid", "noexec", "nodev"}},
		{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{"destination": "/sys", "type": "bind", "source": "/sys", "options": []string{"rbind", "ro"}},
	}
	for _, m := range c.VolumeMounts {
		options := []string{"rbind", "rw"}
		if m.ReadOnly {
			options[1] = "ro"
		}
		if m.MountPropagation == "HostToContainer" {
			options = append(options, "rslave")
		}
		for _, v := range p.Volumes {
			if v.Name == m.Name {
				mounts = append(mounts, dict{"destination": m.MountPath, "type": "bind", "source": n.volume(v), "options": options})
			}
		}
	}
	return mounts
}

// volume gives the place of a volume on the node. The kernel's are the kernel's, the
// others are on the test's disk.
func (n *worker1) volume(v volume) string {
	n.t.Helper()
	switch {
	case v.ConfigMap.Name != "":
		return n.stateFile.Dir
	case strings.HasPrefix(v.HostPath.Path, "/proc/"), v.HostPath.Path == namespaces:
		return v.HostPath.Path
	case v.HostPath.Type == "DirectoryOrCreate":
		if err := os.MkdirAll(n.path(v.HostPath.Path), 0o755); err != nil {
			n.t.Fatal(err)
		}
		return n.path(v.HostPath.Path)
	}
	n.t.Fatalf("volume %s: the test knows no such: %+v", v.Name, v)
	return ""
}

// path is where a path of the node's disk is.
func (n *worker1) path(of string) string { return filepath.Join(n.disk, "host", of) }
