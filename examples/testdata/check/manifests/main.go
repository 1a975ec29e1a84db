// Command manifests prints the Kubernetes objects of YAML files and kustomizations,
// one line of JSON each, as the API server would understand them. A field or kind that
// the API does not have is an error. It is a module of its own, so that plumb does not
// depend on Kubernetes' libraries.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"k8s.io/apimachinery/pkg/runtime"
	kjson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(paths []string) error {
	for _, path := range paths {
		text, err := read(path)
		if err == nil {
			err = decode(text)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// read gives the text of a file, or what a folder with a kustomization comes to.
func read(path string) ([]byte, error) {
	if filepath.Ext(path) == ".yaml" {
		return os.ReadFile(path)
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), path)
	if err != nil {
		return nil, err
	}
	return resources.AsYaml()
}

var separator = regexp.MustCompile(`(?m)^---$`)

func decode(text []byte) error {
	strict := kjson.NewSerializerWithOptions(kjson.DefaultMetaFactory, scheme.Scheme, scheme.Scheme,
		kjson.SerializerOptions{Yaml: true, Strict: true})
	for _, part := range separator.Split(string(text), -1) {
		if len(bytes.TrimSpace([]byte(part))) == 0 {
			continue
		}
		object, kind, err := strict.Decode([]byte(part), nil, nil)
		if err != nil {
			return err
		}
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(fields); err != nil {
			return err
		}
	}
	return nil
}
