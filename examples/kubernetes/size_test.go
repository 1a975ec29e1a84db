package kubernetes

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the API server takes: of a ConfigMap's data (ValidateConfigMap,
// pkg/apis/core/validation/validation.go of Kubernetes), and of an object's annotations
// (ValidateAnnotationsSize of apimachinery). One of those holds the whole object where
// kubectl applies it on the client's side.
const (
	maxData        = 1 << 20
	maxAnnotations = 256 << 10
)

// The numbers of nodes in docs/limits.md fit, and not many more do.
func TestHowManyNodesAConfigMapHolds(t *testing.T) {
	limits, err := os.ReadFile(filepath.Join(repository, "docs/limits.md"))
	if err != nil {
		t.Fatal(err)
	}
	manifests := the(t, "ConfigMap", objects(t, manifest)).Data
	for _, form := range []struct {
		node              func(i int) string
		server, annotated int
		says              string
	}{
		{
			func(i int) string {
				return fmt.Sprintf("  - name: worker%d\n    addresses: [172.18.%d.%d/16, \"fc00:f853:ccd:e793::%x/64\"]\n"+
					"    podCIDRs: [10.%d.%d.0/24, \"fd00:10:%x::/64\"]\n    labels: {rack: r%d}\n", i, i>>8, i&255, i, 64+i>>8, i&255, i, i/40)
			},
			6000, 1400, "| as the manifest has them, of both families | 6,000 | 1,400 |",
		},
		{
			func(i int) string {
				return fmt.Sprintf("  - {name: worker%d, addresses: [172.18.%d.%d/16], podCIDRs: [10.%d.%d.0/24]}\n", i, i>>8, i&255, 64+i>>8, i&255)
			},
			12000, 3000, "| a line each, of IPv4 alone | 12,000 | 3,000 |",
		},
	} {
		sizes := func(nodes int) (all, annotation int) {
			var b strings.Builder
			b.WriteString("nodes:\n")
			for i := range nodes {
				b.WriteString(form.node(i + 1))
			}
			data := maps.Clone(manifests)
			data["30-nodes.yaml"] = b.String()
			for _, text := range data {
				all += len(text)
			}
			object, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": data})
			if err != nil {
				t.Fatal(err)
			}
			return all, len(object)
		}
		if all, _ := sizes(form.server); all > maxData {
			t.Errorf("%d nodes are %d bytes", form.server, all)
		}
		if all, _ := sizes(form.server * 6 / 5); all <= maxData {
			t.Errorf("as many as %d nodes are %d bytes", form.server*6/5, all)
		}
		if _, annotation := sizes(form.annotated); annotation > maxAnnotations {
			t.Errorf("the annotation of %d nodes is %d bytes", form.annotated, annotation)
		}
		if _, annotation := sizes(form.annotated * 6 / 5); annotation <= maxAnnotations {
			t.Errorf("the annotation of as many as %d nodes is %d bytes", form.annotated*6/5, annotation)
		}
		if !strings.Contains(string(limits), form.says) {
			t.Errorf("docs/limits.md does not say %s", form.says)
		}
	}
}
