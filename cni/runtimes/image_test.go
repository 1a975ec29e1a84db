package runtimes

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"testing"
)

// image is the name of the image whose only file is echo.
const image = "localhost/echo:1"

// object is any JSON object.
type object = map[string]any

// writeImage writes an image of one static program to a tar file: a layout with a
// layer, a configuration and a manifest, each named by its digest, and an index
// that gives it its name (OCI image specification 1.0, image-layout.md).
func writeImage(t *testing.T, path, program string) {
	t.Helper()
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	layer := archive(t, []file{{"echo", text, 0o755}})
	files := []file{{"oci-layout", marshal(t, object{"imageLayoutVersion": "1.0.0"}), 0o644}}
	// add puts a blob into the layout and gives its descriptor.
	add := func(mediaType string, blob []byte) object {
		sum := fmt.Sprintf("%x", sha256.Sum256(blob))
		files = append(files, file{"blobs/sha256/" + sum, blob, 0o644})
		return object{"mediaType": "application/vnd.oci.image." + mediaType, "digest": "sha256:" + sum, "size": len(blob)}
	}
	layerBlob := add("layer.v1.tar", layer)
	config := add("config.v1+json", marshal(t, object{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": object{"Entrypoint": echo("/echo")},
		"rootfs": object{"type": "layers", "diff_ids": []any{layerBlob["digest"]}},
	}))
	manifest := add("manifest.v1+json", marshal(t, object{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": config, "layers": []object{layerBlob},
	}))
	// By this annotation containerd names what it imports.
	manifest["annotations"] = object{"io.containerd.image.name": image, "org.opencontainers.image.ref.name": "1"}
	index := marshal(t, object{"schemaVersion": 2, "manifests": []object{manifest}})
	files = append(files, file{"index.json", index, 0o644})
	if err := os.WriteFile(path, archive(t, files), 0o644); err != nil {
		t.Fatal(err)
	}
}

type file struct {
	name string
	text []byte
	mode int64
}

func archive(t *testing.T, files []file) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
