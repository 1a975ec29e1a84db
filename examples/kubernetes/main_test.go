// Package kubernetes tests the manifests of this folder and the overlays of
// examples/kustomize: they are decoded as the API server would, and their containers
// are run by runc as a kubelet would have it done, from an image made by the
// Dockerfile.
package kubernetes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// built is the environment variable with the folder of what TestMain built, which a
// test's child in its namespace inherits.
const built = "PLUMB_KUBERNETES_BUILT"

const repository = "../.."

// TestMain builds, once, the image's root file system and the decoder of manifests.
func TestMain(m *testing.M) {
	if os.Getenv(built) != "" {
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "plumb-kubernetes-")
	if err == nil {
		err = errors.Join(buildImage(filepath.Join(dir, "image")), buildDecoder(dir), os.Setenv(built, dir))
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// dockerfile is what the tests know of the Dockerfile: there is no builder here.
type dockerfile struct {
	stages     []string // what the stages are made from
	build      string   // the command that makes the binaries
	copied     []string // from the build stage to the image
	to         string
	path       string // of commands
	entrypoint string
	goVersion  string
}

func readDockerfile() (dockerfile, error) {
	text, err := os.ReadFile(filepath.Join(repository, "Dockerfile"))
	if err != nil {
		return dockerfile{}, err
	}
	find := func(pattern string) string {
		if m := regexp.MustCompile("(?m)" + pattern).FindSubmatch(text); m != nil {
			return string(m[1])
		}
		err = errors.Join(err, fmt.Errorf("Dockerfile: no line matches %s", pattern))
		return ""
	}
	d := dockerfile{
		build:      find(`^RUN (CGO_ENABLED=0 go build .*)$`),
		path:       find(`^ENV PATH=(.*)$`),
		entrypoint: find(`^ENTRYPOINT \["(.*)"\]$`),
		goVersion:  find(`^FROM golang:([0-9.]+)-`),
	}
	for _, m := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllSubmatch(text, -1) {
		d.stages = append(d.stages, string(m[1]))
	}
	words := strings.Fields(find(`^COPY --from=build (.*)$`))
	if err == nil {
		d.copied, d.to = words[:len(words)-1], words[len(words)-1]
	}
	return d, err
}

// buildImage does what the Dockerfile says, with this machine's Go.
func buildImage(image string) error {
	d, err := readDockerfile()
	if err != nil {
		return err
	}
	out := image + ".out"
	cmd := exec.Command("sh", "-ec", strings.ReplaceAll(d.build, "-o /out/", "-o "+out+"/"))
	cmd.Dir = repository
	cmd.Env = append(os.Environ(), "VERSION=v0.0.0-test")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", d.build, err, text)
	}
	to := filepath.Join(image, d.to)
	err = os.MkdirAll(to, 0o755)
	for _, path := range d.copied {
		name := filepath.Base(path)
		err = errors.Join(err, os.Rename(filepath.Join(out, name), filepath.Join(to, name)))
	}
	return err
}

func buildDecoder(dir string) error {
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(dir, "manifests"), "./manifests")
	cmd.Dir = filepath.Join(repository, "examples/testdata/check")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the decoder of manifests: %w\n%s", err, text)
	}
	return nil
}

// noteSources reads the repository's folders: go test does not see what the programs
// are built from, and would give the cached result of before a change of theirs.
func noteSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(repository, func(_ string, d fs.DirEntry, err error) error {
		switch {
		case d != nil && d.IsDir() && (d.Name() == "bin" || d.Name() == ".git"):
			return fs.SkipDir
		case errors.Is(err, fs.ErrNotExist): // what other tests make comes and goes
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
