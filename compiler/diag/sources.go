package diag

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// Sources returns the content of a file that a position names. Renderers print no excerpt, and count
// columns in bytes, where it fails.
type Sources func(file string) ([]byte, error)

// lineCache finds lines in the sources, reading and indexing each file once.
type lineCache struct {
	sources Sources
	files   map[string]*indexed
}

type indexed struct {
	text   []byte
	starts []int // offset of each line's first byte
}

func newLineCache(s Sources) *lineCache { return &lineCache{sources: s, files: map[string]*indexed{}} }

// line returns the text of line n of a file, without its end; ok is false if there is no such line.
func (c *lineCache) line(file string, n int) (string, bool) {
	if c.sources == nil || file == "" || n < 1 {
		return "", false
	}
	f, seen := c.files[file]
	if !seen {
		if b, err := c.sources(file); err == nil {
			f = index(b)
		}
		c.files[file] = f
	}
	if f == nil || n > len(f.starts) {
		return "", false
	}
	end := len(f.text)
	if n < len(f.starts) {
		end = f.starts[n] - 1
	}
	return strings.TrimSuffix(string(f.text[f.starts[n-1]:end]), "\r"), true
}

func index(b []byte) *indexed {
	f := &indexed{text: b, starts: []int{0}}
	for i := 0; ; {
		j := bytes.IndexByte(b[i:], '\n')
		if j < 0 {
			return f
		}
		i += j + 1
		f.starts = append(f.starts, i)
	}
}

// runeCol turns a byte column (from 1) of a line into a column in code points (from 1).
func runeCol(line string, col int) int {
	if col < 1 {
		return col
	}
	if col-1 > len(line) {
		return utf8.RuneCountInString(line) + 1 + (col - 1 - len(line))
	}
	return utf8.RuneCountInString(line[:col-1]) + 1
}

// end returns the byte column after what a position marks on its line: what it says, else the word,
// string or single character that starts there.
func (p Position) end(line string) int {
	if p.Col < 1 || p.Col > len(line) { // nothing there, or the line is not known
		return max(p.EndCol, p.Col+1)
	}
	if p.EndCol > p.Col {
		return min(p.EndCol, len(line)+1)
	}
	rest := line[p.Col-1:]
	if rest[0] == '"' {
		for i := 1; i < len(rest); i++ {
			switch rest[i] {
			case '\\':
				i++
			case '"':
				return p.Col + i + 1
			}
		}
		return len(line) + 1
	}
	n := strings.IndexFunc(rest, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-$#.", r)
	})
	switch n {
	case -1:
		n = len(rest)
	case 0:
		_, n = utf8.DecodeRuneInString(rest)
	}
	return p.Col + n
}

// cells returns how many columns of a terminal a printable character takes.
func cells(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
