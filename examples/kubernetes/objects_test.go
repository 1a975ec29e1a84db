package kubernetes

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// object is what the tests look at of a Kubernetes object. That it has no fields but
// those of the API was seen before.
type object struct {
	Kind     string
	Metadata struct {
		Name, Namespace string
		Labels          map[string]string
	}
	Data map[string]string // of a ConfigMap
	Spec struct {
		Selector       struct{ MatchLabels map[string]string }
		UpdateStrategy struct {
			Type          string
			RollingUpdate struct{ MaxUnavailable, MaxSurge any }
		}
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     pod
		}
	}
}

type pod struct {
	HostNetwork                           bool
	PriorityClassName, ServiceAccountName string
	AutomountServiceAccountToken          *bool
	Tolerations                           []map[string]any
	SecurityContext                       struct {
		RunAsUser      *int
		SeccompProfile struct{ Type string }
	}
	HostPID, HostIPC              bool
	InitContainers, Containers    []container
	Volumes                       []volume
	TerminationGracePeriodSeconds int
	NodeSelector                  map[string]string
}

type container struct {
	Name, Image   string
	Command, Args []string
	Env           []struct {
		Name, Value string
		ValueFrom   struct{ FieldRef struct{ FieldPath string } }
	}
	SecurityContext struct {
		Privileged, AllowPrivilegeEscalation, ReadOnlyRootFilesystem *bool
		Capabilities                                                 struct{ Add, Drop []string }
	}
	LivenessProbe, ReadinessProbe *probe
	VolumeMounts                  []mount
}

type mount struct {
	Name, MountPath, MountPropagation string
	ReadOnly                          bool
}

type probe struct {
	HTTPGet struct {
		Host, Path string
		Port       int
	}
}

type volume struct {
	Name      string
	ConfigMap struct {
		Name     string
		Optional bool
	}
	HostPath struct{ Path, Type string }
}

// objects decodes a manifest, or what a folder's kustomization comes to.
func objects(t *testing.T, path string) []object {
	t.Helper()
	noteSources(t)
	cmd := exec.Command(filepath.Join(os.Getenv(built), "manifests"), path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.Bytes())
	}
	var list []object
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var o object
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, o)
	}
}

// the gives the only object of a kind.
func the(t *testing.T, kind string, list []object) object {
	t.Helper()
	list = without(list, func(o object) bool { return o.Kind != kind })
	if len(list) != 1 {
		t.Fatalf("%d objects are a %s, want one", len(list), kind)
	}
	return list[0]
}

// without gives a list without what is so; the list itself stays.
func without[T any](list []T, so func(T) bool) []T { return slices.DeleteFunc(slices.Clone(list), so) }

// writeParts writes a ConfigMap's parts as files.
func writeParts(t *testing.T, dir string, data map[string]string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data[name]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
