package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/weir-mesh/weir/compiler/diag"
)

// source is one file's text, kept for positions.
type source struct {
	name  string
	data  []byte
	lines []int // offset of each line's first byte
	// last is where the latest look-up ended. Objects are read in order, so the next one mostly goes on from there;
	// without it a file of one long line would be counted from its start each time.
	last struct{ line, column, offset int }
}

func newSource(name string, data []byte) *source {
	s := &source{name: name, data: data, lines: []int{0}}
	for i, b := range data {
		if b == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// parse adds the objects of a file. A file that does not parse still gives the objects before the error, so that
// their own findings show in the same run.
func (r *reader) parse(name string, data []byte) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		r.errorAt(CodeEncoding, invalidAt(name, data), "the file is not UTF-8", "save it as UTF-8")
		return
	}
	if r.values += countValues(data); r.values > r.limits.Values {
		r.errorAt(CodeLimit, diag.Position{File: name}, fmt.Sprintf("the files hold more than %d values (limit on values)", r.limits.Values), "name fewer paths, or split the file")
		return
	}
	f := &fileParse{reader: r, src: newSource(name, data), aliases: r.limits.AliasNodes}
	// kubectl tells JSON by its first character; YAML's flow form starts with the same one.
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		docs, err := parseJSON(data, r.limits.Depth)
		if err == nil {
			for _, d := range docs {
				f.document(d)
			}
			return
		}
		var tooDeep *depthError
		if filepath.Ext(name) == ".json" || errors.As(err, &tooDeep) {
			f.jsonError(err)
			return
		}
	}
	f.yaml()
}

// countValues estimates how many values a text holds, from above: each has one of these characters before it, but
// for the first.
func countValues(data []byte) int64 {
	n := int64(1)
	for i, b := range data {
		switch b {
		case ',', ':', '[', '{', '\n', '?':
			n++
		case '-':
			if i+1 < len(data) && (data[i+1] == ' ' || data[i+1] == '\t') {
				n++
			}
		}
	}
	return n
}

func invalidAt(name string, data []byte) diag.Position {
	pos := diag.Position{File: name, Line: 1, Col: 1}
	for len(data) > 0 {
		c, n := utf8.DecodeRune(data)
		if c == utf8.RuneError && n == 1 {
			break
		}
		if pos.Col += n; c == '\n' {
			pos.Line, pos.Col = pos.Line+1, 1
		}
		data = data[n:]
	}
	return pos
}

// fileParse holds one file's state.
type fileParse struct {
	*reader
	src *source
	// aliases is what is left of the file's alias allowance.
	aliases int
}

func (f *fileParse) yaml() {
	dec := yaml.NewDecoder(bytes.NewReader(f.src.data))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			f.syntax(err)
			return
		}
		if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
			f.document(doc.Content[0])
		}
	}
}

func (f *fileParse) jsonError(err error) {
	var je *jsonError
	var tooDeep *depthError
	switch {
	case errors.As(err, &tooDeep):
		f.diags.Add(TooDeep(f.src.at(tooDeep.offset), f.limits.Depth))
	case errors.As(err, &je):
		f.errorAt(CodeSyntax, f.src.at(je.offset), "not JSON: "+firstLine(je.err.Error()), "the file was not read")
	default:
		f.errorAt(CodeSyntax, diag.Position{File: f.src.name}, "not JSON: "+firstLine(err.Error()), "the file was not read")
	}
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}

// at turns an offset in the text into a position.
func (s *source) at(offset int) diag.Position {
	lo, hi := 0, len(s.lines)
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; s.lines[mid] <= offset {
			lo = mid
		} else {
			hi = mid
		}
	}
	return diag.Position{File: s.name, Line: lo + 1, Col: offset - s.lines[lo] + 1}
}

// position turns the parser's line and column, which counts characters, into a position, which counts bytes.
func (s *source) position(line, column int) diag.Position {
	p := diag.Position{File: s.name, Line: line, Col: column}
	if line < 1 || line > len(s.lines) {
		return p
	}
	start := s.lines[line-1]
	at, offset := 1, start
	if s.last.line == line && s.last.column <= column {
		at, offset = s.last.column, s.last.offset
	}
	for ; at < column && offset < len(s.data) && s.data[offset] != '\n'; at++ {
		_, n := utf8.DecodeRune(s.data[offset:])
		offset += n
	}
	s.last.line, s.last.column, s.last.offset = line, at, offset
	p.Col = offset - start + 1
	return p
}
