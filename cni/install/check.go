package install

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/containernetworking/cni/libcni"
)

// calls are the plugins that a conflist makes a runtime execute.
type calls []string

// parse checks a conflist as a runtime will, and that it calls plumb. The errors
// do not name the file.
func parse(text []byte) (calls, error) {
	var l struct {
		Type    string `json:"type"`
		Plugins []struct {
			Type string `json:"type"`
			IPAM struct {
				Type string `json:"type"`
			} `json:"ipam"`
		} `json:"plugins"`
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, located(text, err)
	}
	if l.Plugins == nil {
		if l.Type != "" {
			return nil, fmt.Errorf(`is the configuration of one plugin (%q), not a list; put it into {"cniVersion": %q, "name": …, "plugins": […]}`, l.Type, cniVersion)
		}
		return nil, errors.New(`is not a list: it has no "plugins"`)
	}
	var c calls
	plumb := false
	for i, p := range l.Plugins {
		if p.Type == "" {
			return nil, fmt.Errorf(`plugins[%d] has no "type"`, i)
		}
		plumb = plumb || p.Type == Plugin
		c = append(c, p.Type)
		if p.IPAM.Type != "" {
			c = append(c, p.IPAM.Type)
		}
	}
	if !plumb {
		return nil, fmt.Errorf(`has no plugin of "type": %q`, Plugin)
	}
	// Whatever else the library that runtimes use would not take.
	if _, err := libcni.NetworkConfFromBytes(text); err != nil {
		return nil, err
	}
	return c, nil
}

// located gives an error of encoding/json its line and column.
func located(text []byte, err error) error {
	var syntax *json.SyntaxError
	var shape *json.UnmarshalTypeError
	offset := int64(0)
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &shape):
		offset = shape.Offset
		err = fmt.Errorf("%s must not be a JSON %s", shape.Field, shape.Value)
		if shape.Field == "" {
			err = fmt.Errorf("is a JSON %s, not an object", shape.Value)
		}
	}
	// The offset is behind what is wrong.
	before := text[:max(0, min(int(offset)-1, len(text)))]
	line := 1 + bytes.Count(before, []byte{'\n'})
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Errorf("line %d, column %d: %w", line, column, err)
}
