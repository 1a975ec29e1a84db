package kubernetes

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/plumbnet/plumb/state/desired"
)

const (
	manifest  = "plumb.yaml"
	uninstall = "uninstall/uninstall.yaml"
)

// everything are the manifests, and the overlays with what is theirs alone.
var everything = []struct{ path, in, want string }{
	{path: manifest},
	{path: "."},
	{"../kustomize/vxlan", "20-pools.yaml", "encapsulation: vxlan"},
	{"../kustomize/bgp-tor", "40-bgp.yaml", "asn: 64496"},
	{"../kustomize/trace", "10-cluster.yaml", "cluster: demo"},
	{"../kustomize/metrics", "10-cluster.yaml", "cluster: demo"},
	{"../kustomize/kube-proxy", "40-nat.yaml", "portRange: 32768-60999"},
}

// Every manifest is of the API's fields alone, and its ConfigMap is a valid state file.
func TestManifests(t *testing.T) {
	for _, tc := range everything {
		t.Run(tc.path, func(t *testing.T) {
			list := objects(t, tc.path)
			var kinds []string
			for _, o := range list {
				kinds = append(kinds, o.Kind)
				if o.Kind != "Namespace" && o.Metadata.Namespace != "plumb-system" {
					t.Errorf("%s %s is in namespace %q", o.Kind, o.Metadata.Name, o.Metadata.Namespace)
				}
			}
			// No ServiceAccount, no roles: nothing talks to the API server.
			if got := strings.Join(kinds, " "); got != "Namespace ConfigMap DaemonSet" {
				t.Errorf("it has %s", got)
			}
			data := the(t, "ConfigMap", list).Data
			if !strings.Contains(data[tc.in], tc.want) {
				t.Errorf("%s has no %s:\n%s", tc.in, tc.want, data[tc.in])
			}
			dir := t.TempDir()
			writeParts(t, dir, data)
			f, problems, err := desired.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range problems {
				t.Error(p)
			}
			if f != nil && len(f.Nodes) < 2 {
				t.Errorf("a cluster of %d nodes", len(f.Nodes))
			}
			checkDaemonSet(t, the(t, "DaemonSet", list))
		})
	}
}

func TestUninstallManifest(t *testing.T) {
	d := the(t, "DaemonSet", objects(t, uninstall))
	checkPod(t, &d.Spec.Template.Spec)
	if agent := the(t, "DaemonSet", objects(t, manifest)); agent.Metadata.Name == d.Metadata.Name {
		t.Error("it would replace the agent's DaemonSet")
	}
}

func checkDaemonSet(t *testing.T, d object) {
	t.Helper()
	for k, v := range d.Spec.Selector.MatchLabels {
		if d.Spec.Template.Metadata.Labels[k] != v {
			t.Errorf("the selector's %s=%s is no label of the pods", k, v)
		}
	}
	u := d.Spec.UpdateStrategy
	if u.Type != "RollingUpdate" || u.RollingUpdate.MaxUnavailable != 1.0 || u.RollingUpdate.MaxSurge != 0.0 {
		t.Errorf("update strategy: %+v", u)
	}
	p := d.Spec.Template.Spec
	checkPod(t, &p)
	if len(p.InitContainers) != 1 || len(p.Containers) != 1 {
		t.Fatalf("%d init containers, %d containers", len(p.InitContainers), len(p.Containers))
	}
	agent := p.Containers[0]
	for path, probe := range map[string]*probe{"/healthz": agent.LivenessProbe, "/readyz": agent.ReadinessProbe} {
		if probe == nil || probe.HTTPGet.Path != path {
			t.Errorf("the probe of %s: %+v", path, probe)
		}
	}
}

// checkPod checks what every pod of plumb's must be: on each node, with as few rights
// as can be.
func checkPod(t *testing.T, p *pod) {
	t.Helper()
	if !p.HostNetwork || p.HostPID || p.HostIPC || p.PriorityClassName != "system-node-critical" {
		t.Errorf("of the host: network %v, processes %v, IPC %v; priority %q", p.HostNetwork, p.HostPID, p.HostIPC, p.PriorityClassName)
	}
	if len(p.Tolerations) != 1 || len(p.Tolerations[0]) != 1 || p.Tolerations[0]["operator"] != "Exists" {
		t.Errorf("not every taint is tolerated: %v", p.Tolerations)
	}
	if p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken {
		t.Error("there is a token in the pod")
	}
	if p.SecurityContext.SeccompProfile.Type != "RuntimeDefault" {
		t.Error("every system call is allowed")
	}
	for _, c := range slices.Concat(p.InitContainers, p.Containers) {
		s := c.SecurityContext
		if s.Privileged != nil && *s.Privileged || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
			s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
			t.Errorf("container %s may do more than it has to: %+v", c.Name, s)
		}
		if !regexp.MustCompile(`:v?\d+\.\d+(\.\d+)?$`).MatchString(c.Image) {
			t.Errorf("container %s: the tag of %s moves", c.Name, c.Image)
		}
		for _, m := range c.VolumeMounts {
			if !slices.ContainsFunc(p.Volumes, func(v volume) bool { return v.Name == m.Name }) {
				t.Errorf("container %s mounts %s, which is no volume", c.Name, m.Name)
			}
		}
	}
}

// The decoder is as strict as it has to be.
func TestUnknownFieldsAreRefused(t *testing.T) {
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		"hostNetwork: true":            "hostNetwrok: true",
		"kind: DaemonSet":              "kind: DemonSet",
		"      hostNetwork: true\n":    "      hostNetwork: true\n      hostNetwork: true\n",
		"readOnlyRootFilesystem: true": "readOnlyRootFilesystem: maybe",
		"maxUnavailable: 1":            "maxUnavailable: {}",
	} {
		path := filepath.Join(t.TempDir(), "wrong.yaml")
		wrong := strings.Replace(string(text), from, to, 1)
		if wrong == string(text) {
			t.Fatalf("the manifest has no %q", from)
		}
		if err := os.WriteFile(path, []byte(wrong), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(filepath.Join(os.Getenv(built), "manifests"), path).CombinedOutput(); err == nil {
			t.Errorf("%q is taken:\n%s", to, out)
		}
	}
}

func TestDockerfile(t *testing.T) {
	d, err := readDockerfile()
	if err != nil {
		t.Fatal(err)
	}
	if len(d.stages) != 2 || d.stages[1] != "scratch" {
		t.Errorf("the stages are made from %v", d.stages)
	}
	gomod, err := os.ReadFile(filepath.Join(repository, "go.mod"))
	if err != nil || !strings.Contains(string(gomod), "\ngo "+d.goVersion+"\n") {
		t.Errorf("the image is built with Go %s, and go.mod says otherwise: %v", d.goVersion, err)
	}
	image := filepath.Join(os.Getenv(built), "image")
	for _, name := range []string{d.entrypoint, filepath.Join(d.path, "plumb-cni")} {
		if info, err := os.Stat(filepath.Join(image, name)); err != nil || info.Mode().Perm()&0o111 == 0 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if out, err := exec.Command(filepath.Join(image, d.entrypoint), "version").Output(); err != nil || !strings.Contains(string(out), "v0.0.0-test") {
		t.Errorf("the version is not built in: %s, %v", out, err)
	}
}
