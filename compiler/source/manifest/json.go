package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// jsonError is a syntax error at an offset.
type jsonError struct {
	offset int
	err    error
}

func (e *jsonError) Error() string { return e.err.Error() }

// depthError says where values nest too deep.
type depthError struct{ offset int }

func (e *depthError) Error() string { return fmt.Sprintf("too deep at offset %d", e.offset) }

// parseJSON reads a stream of JSON values into the nodes that YAML gives, so that all that follows has one form.
// YAML's parser is no substitute: it refuses tabs.
func parseJSON(data []byte, maxDepth int) ([]*yaml.Node, error) {
	p := jsonParser{data: data, dec: json.NewDecoder(bytes.NewReader(data)), maxDepth: maxDepth, line: 1}
	p.dec.UseNumber()
	var docs []*yaml.Node
	for {
		n, err := p.value(0)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, err
		}
		docs = append(docs, n)
	}
}

type jsonParser struct {
	data     []byte
	dec      *json.Decoder
	maxDepth int
	// scanned is how far line and column have been counted; column counts characters, as YAML's parser does.
	scanned, line, column int
}

// token reads a token and returns a node placed at its first byte.
func (p *jsonParser) token() (json.Token, *yaml.Node, error) {
	start := int(p.dec.InputOffset())
	tok, err := p.dec.Token()
	for start < len(p.data) && bytes.IndexByte([]byte(" \t\r\n,:"), p.data[start]) >= 0 {
		start++
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil, err
		}
		return nil, nil, &jsonError{min(start, len(p.data)-1), err}
	}
	for ; p.scanned < start; p.scanned++ {
		switch b := p.data[p.scanned]; {
		case b == '\n':
			p.line, p.column = p.line+1, 0
		case b&0xc0 != 0x80:
			p.column++
		}
	}
	return tok, &yaml.Node{Line: p.line, Column: p.column + 1}, nil
}

func (p *jsonParser) value(depth int) (*yaml.Node, error) {
	tok, n, err := p.token()
	if err != nil {
		return nil, err
	}
	n.Kind = yaml.ScalarNode
	switch t := tok.(type) {
	case json.Delim:
		if depth >= p.maxDepth {
			return nil, &depthError{int(p.dec.InputOffset()) - 1}
		}
		return n, p.container(n, t, depth)
	case string:
		n.Tag, n.Value, n.Style = "!!str", t, yaml.DoubleQuotedStyle
	case json.Number:
		n.Tag, n.Value = "!!float", t.String()
		if !bytes.ContainsAny([]byte(t), ".eE") {
			n.Tag = "!!int"
		}
	case bool:
		n.Tag, n.Value = "!!bool", fmt.Sprint(t)
	default:
		n.Tag, n.Value = "!!null", "null"
	}
	return n, nil
}

func (p *jsonParser) container(n *yaml.Node, open json.Delim, depth int) error {
	n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
	if open == '{' {
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
	}
	for p.dec.More() {
		if open == '{' {
			tok, key, err := p.token()
			if err != nil {
				return unexpectedEnd(err, len(p.data))
			}
			key.Kind, key.Tag, key.Style = yaml.ScalarNode, "!!str", yaml.DoubleQuotedStyle
			key.Value, _ = tok.(string)
			n.Content = append(n.Content, key)
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return unexpectedEnd(err, len(p.data))
		}
		n.Content = append(n.Content, v)
	}
	_, _, err := p.token()
	return unexpectedEnd(err, len(p.data))
}

// unexpectedEnd tells an end inside a value from the end of the stream.
func unexpectedEnd(err error, end int) error {
	if errors.Is(err, io.EOF) {
		return &jsonError{max(end-1, 0), io.ErrUnexpectedEOF}
	}
	return err
}
