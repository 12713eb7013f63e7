package diag

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/weir-mesh/weir/internal/plain"
)

// The escapes of GitHub's workflow commands: a property also ends at a comma or colon
// (actions/toolkit, packages/core/src/command.ts).
var (
	escapeData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	escapeProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// GitHub writes findings as workflow commands, which GitHub Actions shows as annotations. What several objects have from one
// place is one annotation.
func GitHub(w io.Writer, l List, sources Sources) error {
	b := bufio.NewWriter(w)
	lines := newLineCache(sources)
	for _, f := range fold(l) {
		writeAnnotation(b, &f, lines)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("writing annotations: %w", err)
	}
	return nil
}

func writeAnnotation(w *bufio.Writer, d *folded, lines *lineCache) {
	command := map[Severity]string{Error: "error", Warning: "warning", Note: "notice"}[d.Severity]
	var props []string
	add := func(key, value string) { props = append(props, key+"="+escapeProperty.Replace(plain.Line(value))) }
	p := d.Pos
	if p.File != "" {
		add("file", filepath.ToSlash(p.File))
		if p.Line > 0 {
			add("line", fmt.Sprint(p.Line))
			if p.Col > 0 {
				line, _ := lines.line(p.File, p.Line)
				add("col", fmt.Sprint(runeCol(line, p.Col)))
				add("endColumn", fmt.Sprint(runeCol(line, p.end(line))))
			}
		}
	}
	add("title", string(d.Code))
	text := d.Message
	if p.File == "" && p.String() != "" {
		text = p.String() + ": " + text
	}
	if in := d.in(); in != "" {
		text += "\n" + in
	}
	for _, r := range d.Related {
		text += "\n" + r.Pos.String() + " " + r.Message
	}
	if d.Hint != "" {
		text += "\n" + d.Hint
	}
	_, _ = fmt.Fprintf(w, "::%s %s::%s\n", command, strings.Join(props, ","), escapeData.Replace(plain.Text(text)))
}
