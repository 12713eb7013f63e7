package manifest

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/weir-mesh/weir/compiler/diag"
)

// syntax reports what the parser said of a text that is not YAML.
func (f *fileParse) syntax(err error) {
	problem := yamlProblem(err)
	pos := f.src.brokenAt(problem)
	if strings.Contains(problem, "exceeded max depth") {
		f.diags.Add(TooDeep(pos, f.limits.Depth))
		return
	}
	hint := "nothing after this place in the file was read"
	if line := f.src.line(pos.Line); pos.Col > 0 && bytes.HasPrefix(line[pos.Col-1:], []byte("\t")) {
		hint = "indent with spaces: a tab is no indentation in YAML"
	}
	f.errorAt(CodeSyntax, pos, "not YAML: "+firstLine(problem), f.src.wayOut(pos.Line, hint))
}

// wayOut is the hint for what is no object, unless its line is one that another program makes YAML of.
func (s *source) wayOut(line int, hint string) string {
	if bytes.Contains(s.line(line), []byte("{{")) {
		return "this is a template, not YAML yet: read what is made of it, as in helm template CHART | weir check -"
	}
	return hint
}

var yamlLine = regexp.MustCompile(`^line \d+: `)

// yamlProblem is the parser's message without the line, which is that of whatever holds the mistake, one too low for a
// part of the errors, and absent for others (yaml.v3, decode.go, parser.fail).
func yamlProblem(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	return text[len(yamlLine.FindString(text)):]
}

// maxSearch is how much text is parsed again and again to find the place of a mistake.
const maxSearch = 64 << 10

// brokenAt finds the place at which a text stops being YAML: as far as there it has no such problem, one character further
// it has. The parser only tells the problem, so it is asked about parts of the text.
func (s *source) brokenAt(problem string) diag.Position {
	r := &bytewise{data: s.data}
	_ = parseAll(r)
	end := s.at(max(r.read-1, 0))
	start, ok := s.documentBefore(r.read, problem)
	if !ok {
		return diag.Position{File: s.name, Line: end.Line}
	}
	broken := func(to int) bool {
		text := s.data[start:to]
		if problem == missingValue { // which a text that breaks off behind a comma or bracket misses for that alone
			text = append(slices.Clone(text), " x"...)
		}
		return problemIn(text) == problem
	}
	// The parser reads ahead, and what it misses, such as a quote's end, may be missed since many lines. Those just before
	// are asked one by one, for further up other parts of the text may be broken off in the same way.
	first, bad := s.at(start).Line, end.Line
	good := bad - 1
	for step := 1; good >= first && broken(s.lineEnd(good)); {
		if end.Line-good >= 16 {
			step *= 2
		}
		bad, good = good, good-step
	}
	good = max(good, first-1)
	bad = good + 1 + sort.Search(bad-good-1, func(i int) bool { return broken(s.lineEnd(good + 1 + i)) })
	return diag.Position{File: s.name, Line: bad, Col: s.columnOf(bad, broken)}
}

// missingValue is the parser's complaint where it needs a value and there is something else, or nothing more.
const missingValue = "did not find expected node content"

// columnOf is the place in a line from which on the text is broken wherever it breaks off, else the end of the line, behind
// which something is missing.
func (s *source) columnOf(n int, broken func(to int) bool) int {
	from, line := s.lines[n-1], s.line(n)
	to := len(line)
	for i := 0; i < 64 && to > 0 && broken(from+to); i++ {
		_, size := utf8.DecodeLastRune(line[:to])
		to -= size
	}
	return min(to+1, max(len(line), 1))
}

// documentBefore is where the text begins, that of a document if it can be, that has the problem at an offset. It is false
// where that is too much text to search.
func (s *source) documentBefore(offset int, problem string) (start int, ok bool) {
	to := s.lineEnd(s.at(max(offset-1, 0)).Line)
	start = to
	for range 3 { // marks: the last may be where the parser only noticed
		if start = bytes.LastIndex(s.data[max(to-maxSearch, 0):start], []byte("\n---")) + 1; start == 0 {
			break
		}
		start += max(to-maxSearch, 0)
		if problemIn(s.data[start:to]) == problem {
			return start, true
		}
	}
	return 0, to <= maxSearch
}

// lineEnd is the offset behind a line.
func (s *source) lineEnd(line int) int {
	if line < len(s.lines) {
		return s.lines[line]
	}
	return len(s.data)
}

// line is a line's text, without what ends it.
func (s *source) line(n int) []byte {
	return bytes.TrimRight(s.data[s.lines[n-1]:s.lineEnd(n)], "\r\n")
}

// problemIn is what the parser says of a text, or "".
func problemIn(data []byte) string {
	if err := parseAll(bytes.NewReader(data)); err != nil {
		return yamlProblem(err)
	}
	return ""
}

func parseAll(r io.Reader) error {
	dec := yaml.NewDecoder(r)
	for {
		var doc yaml.Node
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// bytewise gives out a byte at a time: what was read when the parser gives up ends where it stood.
type bytewise struct {
	data []byte
	read int
}

func (b *bytewise) Read(p []byte) (int, error) {
	if b.read == len(b.data) {
		return 0, io.EOF
	}
	p[0] = b.data[b.read]
	b.read++
	return 1, nil
}
