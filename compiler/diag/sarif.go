package diag

import (
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"github.com/weir-mesh/weir/docs/codes"
)

// informationURI is where Weir lives, for readers of a SARIF log.
const informationURI = "https://github.com/weir-mesh/weir"

// sourceRoot is the base that relative file names of a log belong to; consumers such as GitHub's
// code scanning take it as the repository's root.
const sourceRoot = "%SRCROOT%"

// SARIF writes findings as a SARIF 2.1.0 log of one run, with each code's page as the rule's help.
// Columns are code points where sources gives the file.
func SARIF(w io.Writer, l List, version string, sources Sources) error {
	run := sarif.NewRunWithInformationURI("weir", informationURI)
	run.WithColumnKind("unicodeCodePoints")
	run.Tool.Driver.WithVersion(version)
	rules, index, err := sarifRules(l)
	if err != nil {
		return err
	}
	run.Tool.Driver.WithRules(rules)
	lines := newLineCache(sources)
	for i := range l {
		run.AddResult(sarifResult(&l[i], index, lines))
	}
	err = sarif.NewReport().AddRun(run).PrettyWrite(w)
	if err == nil {
		_, err = io.WriteString(w, "\n") // the library ends without one
	}
	if err != nil {
		return fmt.Errorf("writing SARIF: %w", err)
	}
	return nil
}

// sarifRules describes the codes that occur, in order, and returns each one's place.
func sarifRules(l List) ([]*sarif.ReportingDescriptor, map[Code]int, error) {
	var used []Code
	for i := range l {
		used = append(used, l[i].Code)
	}
	slices.Sort(used)
	used = slices.Compact(used)
	rules := []*sarif.ReportingDescriptor{}
	index := map[Code]int{}
	for i, c := range used {
		page, err := codes.Lookup(string(c))
		if err != nil {
			return nil, nil, fmt.Errorf("describing %s: %w", c, err)
		}
		index[c] = i
		rules = append(rules, sarif.NewReportingDescriptor().WithID(string(c)).WithName(page.Title).
			WithShortDescription(sarif.NewMultiformatMessageString().WithText(page.Title)).
			WithHelp(sarif.NewMultiformatMessageString().WithText(page.Markdown).WithMarkdown(page.Markdown)))
	}
	return rules, index, nil
}

func sarifResult(d *Diagnostic, index map[Code]int, lines *lineCache) *sarif.Result {
	text := d.Message
	if d.Hint != "" {
		text += "\n" + d.Hint
	}
	r := sarif.NewResult().WithRuleID(string(d.Code)).WithRuleIndex(index[d.Code]).
		WithLevel(d.Severity.String()).WithMessage(sarif.NewTextMessage(strings.ToValidUTF8(text, "\uFFFD")))
	if loc := sarifLocation(d.Pos, lines); loc != nil {
		r.AddLocation(loc)
	}
	for i, rel := range d.Related {
		if loc := sarifLocation(rel.Pos, lines); loc != nil {
			r.AddRelatedLocation(loc.WithID(i).WithMessage(sarif.NewTextMessage(rel.Message)))
		}
	}
	return r
}

// sarifLocation returns nil for a position that says nothing.
func sarifLocation(p Position, lines *lineCache) *sarif.Location {
	if p.File == "" && p.Object == "" {
		return nil
	}
	loc := sarif.NewLocation()
	if p.File != "" {
		phys := sarif.NewPhysicalLocation().WithArtifactLocation(sarifArtifact(p.File))
		if p.Line > 0 {
			region := sarif.NewRegion().WithStartLine(p.Line)
			if p.Col > 0 {
				line, _ := lines.line(p.File, p.Line)
				region.WithStartColumn(runeCol(line, p.Col)).WithEndColumn(runeCol(line, p.end(line)))
			}
			phys.WithRegion(region)
		}
		loc.WithPhysicalLocation(phys)
	}
	if p.Object != "" {
		name := strings.TrimSpace(p.Object + " " + p.Path)
		loc.AddLogicalLocation(sarif.NewLogicalLocation().WithFullyQualifiedName(name).WithKind("resource"))
	}
	return loc
}

// sarifArtifact names a file by a URI: relative to the source root, or absolute.
func sarifArtifact(file string) *sarif.ArtifactLocation {
	u := url.URL{Path: filepath.ToSlash(file)}
	if filepath.IsAbs(file) {
		u.Scheme = "file"
		if !strings.HasPrefix(u.Path, "/") { // a Windows drive
			u.Path = "/" + u.Path
		}
		return sarif.NewArtifactLocation().WithURI(u.String())
	}
	return sarif.NewArtifactLocation().WithURI(u.String()).WithURIBaseID(sourceRoot)
}
