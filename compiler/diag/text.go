package diag

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/weir-mesh/weir/internal/plain"
)

// tabWidth is how many columns a tab takes in an excerpt.
const tabWidth = 4

// excerptWidth is how many columns of a source line are shown; a longer one is cut around the mark.
const excerptWidth = 160

// The colours of a terminal: red what fails, yellow what to look at, dim what is context.
const (
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	dim    = "\x1b[2m"
	bold   = "\x1b[1m"
	reset  = "\x1b[0m"
)

// TextOptions says how findings are printed for people.
type TextOptions struct {
	// Sources gives the files that excerpts are taken from.
	Sources Sources
	// Color adds terminal colours; they only add, nothing is said by colour alone.
	Color bool
}

// Text writes findings for people: for each the position, severity, code and message, the source
// line with the place marked, then related places and the hint; an empty line follows each. What several objects have
// from one place is shown once.
func Text(w io.Writer, l List, o TextOptions) error {
	b := bufio.NewWriter(w)
	t := &textWriter{b, newLineCache(o.Sources), o.Color}
	for _, f := range fold(l) {
		t.finding(&f)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("writing diagnostics: %w", err)
	}
	return nil
}

// Summary ends a report: what was read ("14 policies, 52 rules"), how many findings of each
// severity, and where the last one is explained.
func Summary(read string, l List) string {
	var counts []string
	for _, s := range []Severity{Error, Warning, Note} {
		switch n := l.Count(s); n {
		case 0:
		case 1:
			counts = append(counts, "1 "+s.String())
		default:
			counts = append(counts, fmt.Sprintf("%d %ss", n, s))
		}
	}
	parts := []string{read}
	if read == "" {
		parts = nil
	}
	if len(l) == 0 {
		return strings.Join(append(parts, "no findings"), " · ")
	}
	return strings.Join(append(parts, strings.Join(counts, ", "), fmt.Sprintf("`weir docs %s` explains", l[len(l)-1].Code)), " · ")
}

type textWriter struct {
	*bufio.Writer
	lines *lineCache
	color bool
}

func (t *textWriter) paint(colour, s string) string {
	if !t.color {
		return s
	}
	return colour + s + reset
}

func (t *textWriter) severity(s Severity) (word, colour string) {
	switch s {
	case Error:
		return t.paint(red, s.String()), red
	case Warning:
		return t.paint(yellow, s.String()), yellow
	}
	return s.String(), bold
}

func (t *textWriter) finding(d *folded) {
	word, colour := t.severity(d.Severity)
	if p := plain.Line(d.Pos.String()); p != "" {
		_, _ = t.WriteString(t.paint(bold, p) + ": ")
	}
	_, _ = fmt.Fprintf(t, "%s %s: %s\n", word, d.Code, plain.Line(d.Message))
	if line, ok := t.lines.line(d.Pos.File, d.Pos.Line); ok {
		text, marks := excerpt(line, d.Pos)
		_, _ = fmt.Fprintf(t, "%s%s\n", t.paint(dim, fmt.Sprintf("%5d | ", d.Pos.Line)), text)
		if marks != "" {
			_, _ = fmt.Fprintf(t, "%s%s\n", t.paint(dim, "      | "), t.mark(marks, colour))
		}
	}
	if in := d.in(); in != "" {
		_, _ = fmt.Fprintf(t, "   %s\n", plain.Line(in))
	}
	for _, r := range d.Related {
		_, _ = fmt.Fprintf(t, "   %s %s\n", t.paint(bold, plain.Line(near(r.Pos, d.Pos))), plain.Line(r.Message))
	}
	if d.Hint != "" {
		_, _ = fmt.Fprintf(t, "   %s\n", plain.Line(d.Hint))
	}
	_, _ = t.WriteString("\n")
}

// mark colours the carets, not the space before them.
func (t *textWriter) mark(marks, colour string) string {
	i := strings.IndexByte(marks, '^')
	return marks[:i] + t.paint(colour, marks[i:])
}

// near names a related place by file and line, without the folder that it shares with the finding; with its column where it
// is on the finding's own line, as all is in JSON that a program wrote.
func near(p, from Position) string {
	if p.File != from.File || p.Line != from.Line {
		p.Col = 0
	}
	if p.File != "" && path.Dir(p.File) == path.Dir(from.File) {
		p.File = path.Base(p.File)
	}
	return p.String()
}

// excerpt returns a source line as a terminal shows it and the line of carets below it.
func excerpt(line string, p Position) (text, marks string) {
	end := p.end(line)
	from, to, cutLeft, cutRight := window(line, p.Col, end)
	var out, under strings.Builder
	if cutLeft {
		out.WriteString("…")
		under.WriteString(" ")
	}
	marked := false
	for i, col := from, 0; i < to; {
		r, size := utf8.DecodeRuneInString(line[i:])
		shown, n := string(r), cells(r)
		switch {
		case r == '\t':
			n = tabWidth - col%tabWidth
			shown = strings.Repeat(" ", n)
		case r == utf8.RuneError || plain.Line(shown) != shown:
			shown, n = string(utf8.RuneError), 1
		}
		out.WriteString(shown)
		if i+1 >= p.Col && i+1 < end && p.Col > 0 {
			under.WriteString(strings.Repeat("^", n))
			marked = true
		} else if !marked {
			under.WriteString(strings.Repeat(" ", n))
		}
		i, col = i+size, col+n
	}
	if cutRight {
		out.WriteString("…")
	}
	if !marked && p.Col > len(line) && !cutRight {
		under.WriteString("^") // what is missing at the end of a line
		marked = true
	}
	if !marked {
		return out.String(), ""
	}
	return out.String(), under.String()
}

// window chooses the bytes of a long line to show: at most excerptWidth of them, the mark inside.
func window(line string, col, end int) (from, to int, cutLeft, cutRight bool) {
	to = len(line)
	if to <= excerptWidth {
		return 0, to, false, false
	}
	if col > excerptWidth/2 && end > excerptWidth {
		from = min(col-1, to) - excerptWidth/4
	}
	to = min(to, from+excerptWidth)
	for from > 0 && !utf8.RuneStart(line[from]) {
		from--
	}
	for to < len(line) && !utf8.RuneStart(line[to]) {
		to--
	}
	return from, to, from > 0, to < len(line)
}
