package desired

import (
	"slices"

	"gopkg.in/yaml.v3"
)

// Parse reads the sources as one state file: lists are concatenated, and a
// setting stands in one of them only. A source may have several YAML documents.
// All problems are reported, by file, line and column; the file is nil where one
// of them is not a warning.
func Parse(sources []Source) (*File, []Problem) {
	w := newWalker()
	f := newFile()
	version := false // some document has an apiVersion
	for _, src := range sources {
		w.file = src.Name
		docs, problem := documents(src)
		if problem != nil {
			w.problems = append(w.problems, *problem)
			w.incomplete = true
		}
		for _, doc := range docs {
			if len(doc.Content) == 0 || isNull(doc.Content[0]) {
				continue // an empty document
			}
			root := doc.Content[0]
			has, ok := w.checkVersion(root)
			version = version || has
			if !ok {
				w.incomplete = true
				continue
			}
			w.visit(root, func(v value) { fileShape.decode(w, v, f) })
		}
	}
	if !w.stopped {
		if !version && !w.incomplete {
			w.missingVersion(sources)
		}
		f.setDefaults()
		(&validator{walker: w, f: f}).validate()
	}
	problems := sortProblems(w.problems)
	if slices.ContainsFunc(problems, isError) {
		return nil, problems
	}
	return f, problems
}

// checkVersion looks at a document's apiVersion before the rest: the fields of
// another version are not unknown, they are not for us to judge. has says that
// there is one, ok that the document can be read.
func (w *walker) checkVersion(root *yaml.Node) (has, ok bool) {
	if root.Kind != yaml.MappingNode {
		return false, true // an error that the schema reports
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		k, v := root.Content[i], root.Content[i+1]
		if k.Value != "apiVersion" || isNull(v) {
			continue
		}
		if v.Kind == yaml.ScalarNode && v.Value == APIVersion {
			return true, true
		}
		got := kindOf(v)
		if v.Kind == yaml.ScalarNode {
			got = quote(v.Value)
		}
		w.fail(w.posOf(v), "apiVersion: must be %s, the only version that this plumb knows, not %s", APIVersion, got)
		return true, false
	}
	return false, true
}

func (w *walker) missingVersion(sources []Source) {
	at := Pos{Line: 1, Column: 1}
	if len(sources) > 0 {
		at.File = sources[0].Name
	}
	if len(sources) > 1 {
		w.fail(at, "apiVersion is missing in all files; begin one of them with \"apiVersion: %s\"", APIVersion)
		return
	}
	w.fail(at, "apiVersion is missing; begin the file with \"apiVersion: %s\"", APIVersion)
}
