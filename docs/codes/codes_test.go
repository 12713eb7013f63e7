package codes

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	use     = regexp.MustCompile("^[\"`](WEIR\\d{4})[\"`]$")
	mention = regexp.MustCompile(`WEIR\d{4}`)
)

// literals returns the string literals of a Go file, quotes included; comments are not code.
func literals(src []byte) (lits []string) {
	var s scanner.Scanner
	f := token.NewFileSet().AddFile("", -1, len(src))
	s.Init(f, src, func(token.Position, string) {}, 0)
	for {
		switch _, tok, lit := s.Scan(); tok {
		case token.EOF:
			return lits
		case token.STRING:
			lits = append(lits, lit)
		}
	}
}

// scan returns, for the repository's sources, where each code is used (a string literal in Go that is
// no test) and where it is mentioned at all (Go, tests included, and CUE, whose guards carry messages).
func scan(t *testing.T, root string) (used, mentioned map[string]string) {
	t.Helper()
	used, mentioned = map[string]string{}, map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); path != root && (n == "testdata" || n == "node_modules" || strings.HasPrefix(n, ".")) {
				return filepath.SkipDir
			}
			return nil
		}
		isGo := strings.HasSuffix(path, ".go")
		if !isGo && !strings.HasSuffix(path, ".cue") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		texts := []string{string(b)}
		if isGo {
			texts = literals(b)
		}
		for _, text := range texts {
			for _, m := range mention.FindAllString(text, -1) {
				mentioned[m] = path
			}
			if m := use.FindStringSubmatch(text); m != nil && isGo && !strings.HasSuffix(path, "_test.go") {
				used[m[1]] = path
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return used, mentioned
}

func TestCodesAndPagesAgree(t *testing.T) {
	root := filepath.Join("..", "..")
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatalf("the repository's root is not where this test looks: %v", err)
	}
	used, mentioned := scan(t, root)
	if len(used) == 0 {
		t.Fatal("no code found in the sources: the scan is broken")
	}
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]Page{}
	for _, p := range all {
		pages[p.Code] = p
		where, isUsed := used[p.Code]
		switch {
		case p.Retired != "" && isUsed:
			t.Errorf("%s uses %s, which is retired (%s)", where, p.Code, p.Retired)
		case p.Retired == "" && !isUsed:
			t.Errorf("%s.md: no Go source uses \"%s\"; a code that is no longer used keeps its page with a Retired line", p.Code, p.Code)
		}
	}
	for code, where := range used {
		if _, ok := pages[code]; !ok {
			t.Errorf("%s uses %s, which has no page in docs/codes", where, code)
		}
	}
	for code, where := range mentioned {
		if _, ok := pages[code]; !ok && !strings.HasPrefix(code, "WEIR9") {
			t.Errorf("%s mentions %s, which has no page in docs/codes", where, code)
		}
	}
}

func TestPagesHaveTheirForm(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if strings.HasPrefix(p.Code, "WEIR9") {
			t.Errorf("%s.md: WEIR9xxx is for tests", p.Code)
		}
		if strings.HasSuffix(p.Title, ".") {
			t.Errorf("%s.md: the title is no sentence: no full stop", p.Code)
		}
		if p.Retired == "" && !strings.Contains(p.Markdown, "\n## What to do\n") {
			t.Errorf("%s.md: no section \"## What to do\"", p.Code)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"another code":     "# WEIR9002: x\n\nSeverity: error\n\nText.\n",
		"no title":         "# WEIR9001\n\nSeverity: error\n\nText.\n",
		"no severity":      "# WEIR9001: x\n\nText.\n",
		"unknown severity": "# WEIR9001: x\n\nSeverity: bad\n\nText.\n",
		"no text":          "# WEIR9001: x\n\nSeverity: error\n",
	} {
		if p, err := parse("WEIR9001", text); err == nil {
			t.Errorf("%s: parsed as %+v", name, p)
		}
	}
	p, err := parse("WEIR9001", "# WEIR9001: a title\n\nSeverity: note\nRetired: 0.2.0, never fired\n\nText.\n")
	if err != nil || p.Title != "a title" || p.Severity != "note" || p.Retired != "0.2.0, never fired" {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestLookup(t *testing.T) {
	for _, code := range []string{"WEIR1004", "weir1004", "1004", " WEIR1004 "} {
		if p, err := Lookup(code); err != nil || p.Code != "WEIR1004" {
			t.Errorf("Lookup(%q) = %q, %v", code, p.Code, err)
		}
	}
	for _, code := range []string{"", "WEIR9999", "../codes", "WEIR1004.md", "README"} {
		if p, err := Lookup(code); err == nil {
			t.Errorf("Lookup(%q) = %q, want an error", code, p.Code)
		}
	}
}
