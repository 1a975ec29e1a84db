package desired

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	"gopkg.in/yaml.v3"
)

// documents gives the YAML documents of a source. After a syntax error it gives
// those before it, and the problem.
func documents(src Source) ([]*yaml.Node, *Problem) {
	docs, err := decodeYAML(bytes.NewReader(src.Data))
	if err == nil {
		return docs, nil
	}
	return docs, &Problem{
		Pos:     Pos{File: src.Name, Line: syntaxErrorLine(src.Data, err), Column: 1},
		Message: "not valid YAML: " + syntaxErrorText(err),
	}
}

// decodeYAML turns a panic of the YAML library into an error: a state file may
// come from anybody's template, and must not take the agent down.
func decodeYAML(r io.Reader) (docs []*yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: %v", p)
		}
	}()
	d := yaml.NewDecoder(r)
	for {
		var doc yaml.Node
		if err := d.Decode(&doc); errors.Is(err, io.EOF) {
			return docs, nil
		} else if err != nil {
			return docs, err
		}
		docs = append(docs, &doc)
	}
}

var syntaxErrorPrefix = regexp.MustCompile(`^yaml: (line \d+: )?`)

// syntaxErrorText is what the YAML library says, without its line number.
func syntaxErrorText(err error) string {
	text := err.Error()
	text = text[len(syntaxErrorPrefix.FindString(text)):]
	// The most frequent causes, which the library leaves to be guessed.
	switch text {
	case "found character that cannot start any token":
		text += "; indent with spaces, not tabs, and put a value that begins with @, ` or % in quotes"
	case "found unexpected end of stream":
		text += "; a quote is not closed"
	case "did not find expected key", "did not find expected '-' indicator":
		text += "; check the indentation"
	case "did not find expected ',' or ']'", "did not find expected ',' or '}'":
		text += "; a bracket is not closed, or a comma is missing"
	case "could not find expected ':'":
		text += "; write a field as NAME: VALUE, with a space behind the colon"
	case "did not find expected node content":
		text += "; put a value that begins with a colon, such as ::1, in quotes"
	case "mapping values are not allowed in this context":
		text += "; check the indentation, and put a value that has \": \" in it in quotes"
	}
	return text
}

// maxSyntaxSearch bounds, in bytes, the text that is parsed several times to
// find the place of an error.
const maxSyntaxSearch = 1 << 20

// syntaxErrorLine finds the line that err, of parsing data, is about. The
// library itself says the line where the enclosing list or mapping begins, which
// may be thousands of lines away, or one too few, or none. It is the first line
// that the error needs: without it and what follows, the error is another one or
// none.
func syntaxErrorLine(data []byte, err error) int {
	// Fed line by line, the library stops reading a little after the error.
	r := &lineReader{rest: data}
	_, _ = decodeYAML(r)
	last := max(r.line, 1)
	if len(data) > maxSyntaxSearch {
		return last
	}
	want := syntaxErrorText(err)
	fails := func(lines int) bool {
		_, err := decodeYAML(bytes.NewReader(firstLines(data, lines)))
		return err != nil && syntaxErrorText(err) == want
	}
	// The error is mostly just above: look back in growing steps, then halve.
	step, bad := 1, last
	for bad-step > 0 && fails(bad-step) {
		bad -= step
		step *= 2
	}
	good := max(bad-step, 0)
	for bad-good > 1 {
		if mid := (bad + good) / 2; fails(mid) {
			bad = mid
		} else {
			good = mid
		}
	}
	return bad
}

func firstLines(data []byte, n int) []byte {
	end := 0
	for ; n > 0 && end < len(data); n-- {
		i := bytes.IndexByte(data[end:], '\n')
		if i < 0 {
			return data
		}
		end += i + 1
	}
	return data[:end]
}

// lineReader gives at most one line at each Read, and counts them.
type lineReader struct {
	rest []byte
	line int // of the last byte given
	mid  bool
}

func (r *lineReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	if !r.mid {
		r.line++
	}
	n := bytes.IndexByte(r.rest, '\n') + 1
	if n == 0 {
		n = len(r.rest)
	}
	r.mid = n > len(p) // the line goes on in the next Read
	n = copy(p, r.rest[:n])
	r.rest = r.rest[n:]
	return n, nil
}
