package cuesrc

import (
	"fmt"
	"strings"

	"cuelang.org/go/cue/scanner"
	"cuelang.org/go/cue/token"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/source/manifest"
)

// What a file may nest. CUE's parser and compiler recurse, and need minutes or all of the stack for what no person
// writes.
const (
	maxNesting   = 500
	maxOperators = 5000 // in one expression, which nests in its operators
)

// tooDeep finds where a file nests too deeply: in brackets, in fields of fields (a: b: c: …), or in operators.
func tooDeep(s *sourceFile) (diag.Diagnostic, bool) {
	file := token.NewFile(s.name, -1, len(s.data))
	var sc scanner.Scanner
	sc.Init(file, s.data, func(token.Pos, string, []any) {}, 0)
	levels, text := make([]level, 1, 16), false
	for {
		pos, tok, _ := sc.Scan()
		top := &levels[len(levels)-1]
		switch tok {
		case token.EOF:
			return diag.Diagnostic{}, false
		case token.INTERPOLATION:
			text = true // a parenthesis follows
		case token.LBRACE, token.LBRACK, token.LPAREN:
			levels = append(levels, level{below: top.below + 1 + top.colons, text: text})
			text = false
		case token.RBRACE, token.RBRACK, token.RPAREN:
			if top.text && tok == token.RPAREN { // the string goes on, perhaps to another expression
				text = strings.HasSuffix(sc.ResumeInterpolation(), "(")
			}
			if len(levels) > 1 {
				levels = levels[:len(levels)-1]
			}
		case token.COMMA:
			top.colons, top.operators = 0, 0
		case token.COLON:
			top.colons++
		default:
			if tok.IsOperator() {
				top.operators++
			}
		}
		switch top = &levels[len(levels)-1]; {
		case top.below+top.colons > maxNesting:
			return manifest.TooDeep(position(pos), maxNesting), true
		case top.operators > maxOperators:
			return diag.Diagnostic{Code: manifest.CodeLimit, Severity: diag.Error, Pos: position(pos),
				Message: fmt.Sprintf("an expression has more than %d operators (limit on operators)", maxOperators),
				Hint:    "no policy needs that: split the expression up"}, true
		}
	}
}

// level counts what nests between two brackets, and how deep the bracket itself lies; text is for the expression
// in a string.
type level struct {
	below, colons, operators int
	text                     bool
}
