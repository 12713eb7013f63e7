package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// edit puts text in the place of a part of a file. node is set where it opens a span, closes where it closes one: they
// nest. Text holds the mutant's number as %d.
type edit struct {
	at, end          token.Pos
	text             string
	node, closes     ast.Node
	from, to         int
	spanFrom, spanTo int
	// infix edits take a span's operator apart, so they are the innermost of their span.
	infix bool
	seq   int
}

// rewrite returns the file with every mutant behind its switch, apart from those that do not compile.
func rewrite(s *source) string {
	var all []edit
	for i, m := range s.mutants {
		if m.state == notCompiled {
			continue
		}
		for _, e := range m.edits {
			e.seq = i + 1
			if e.infix {
				e.seq = 0
			}
			e.text = strings.ReplaceAll(e.text, "%d", fmt.Sprint(m.id))
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b edit) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.rank(), b.rank()), a.nested(&b))
	})
	var out strings.Builder
	at := 0
	for _, e := range all {
		if e.from < at {
			continue // inside a replaced part
		}
		out.Write(s.text[at:e.from])
		out.WriteString(e.text)
		at = e.to
	}
	out.Write(s.text[at:])
	return out.String()
}

// rank puts closing edits before replacing ones before opening ones at one place.
func (e *edit) rank() int {
	switch {
	case e.closes != nil:
		return 0
	case e.node == nil:
		return 1
	default:
		return 2
	}
}

// nested opens the outer span first and closes the inner first; of equal spans the later mutant is outside.
func (e *edit) nested(o *edit) int {
	if e.closes != nil {
		return cmp.Or(cmp.Compare(o.spanFrom, e.spanFrom), cmp.Compare(e.seq, o.seq))
	}
	return cmp.Or(cmp.Compare(o.spanTo, e.spanTo), cmp.Compare(o.seq, e.seq))
}

// helpers is the file that every mutated package gets.
const helpers = `package %s

import (
	"cmp"
	"os"
	"strconv"
)

// mutActive is the mutant that is switched on; 0 is none.
var mutActive = func() int { n, _ := strconv.Atoi(os.Getenv("WEIR_MUTANT")); return n }()

func mut(n int) bool { return mutActive == n }

// MutSet switches a mutant on; no goroutine of the compiler may be running.
func MutSet(n int) { mutActive = n }

type mutInteger interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

func mutBoth(n int, a bool, b func() bool) bool {
	if mut(n) {
		return a || b()
	}
	return a && b()
}

func mutEither(n int, a bool, b func() bool) bool {
	if mut(n) {
		return a && b()
	}
	return a || b()
}

func mutLess[T cmp.Ordered](n int, a, b T) bool         { return a < b || mut(n) && a == b }
func mutLessEqual[T cmp.Ordered](n int, a, b T) bool    { return a < b || !mut(n) && a == b }
func mutGreater[T cmp.Ordered](n int, a, b T) bool      { return a > b || mut(n) && a == b }
func mutGreaterEqual[T cmp.Ordered](n int, a, b T) bool { return a > b || !mut(n) && a == b }

func mutAdd[T mutInteger](n int, a, b T) T    { return mutOp(n, a+b, a-b) }
func mutSub[T mutInteger](n int, a, b T) T    { return mutOp(n, a-b, a+b) }
func mutAnd[T mutInteger](n int, a, b T) T    { return mutOp(n, a&b, a|b) }
func mutOr[T mutInteger](n int, a, b T) T     { return mutOp(n, a|b, a&b) }
func mutAndNot[T mutInteger](n int, a, b T) T { return mutOp(n, a&^b, a&b) }
func mutXor[T mutInteger](n int, a, b T) T    { return mutOp(n, a^b, a&b) }
func mutMul[T mutInteger](n int, a, b T) T    { return mutOp(n, a*b, a+b) }
func mutShl[T, S mutInteger](n int, a T, b S) T {
	return mutOp(n, a<<b, a>>b)
}
func mutShr[T, S mutInteger](n int, a T, b S) T {
	return mutOp(n, a>>b, a<<b)
}

func mutOp[T mutInteger](n int, a, b T) T {
	if mut(n) {
		return b
	}
	return a
}

func mutLiteral[T mutInteger](n int, a T) T { return mutOp(n, a, a+1) }

func mutPick[T any](n int, a, b T) T {
	if mut(n) {
		return b
	}
	return a
}

func mutSmallest[T cmp.Ordered](all []T) T {
	out := all[0]
	for _, x := range all[1:] {
		out = min(out, x)
	}
	return out
}

func mutLargest[T cmp.Ordered](all []T) T {
	out := all[0]
	for _, x := range all[1:] {
		out = max(out, x)
	}
	return out
}

func mutMin[T cmp.Ordered](n int, all ...T) T {
	if mut(n) {
		return mutLargest(all)
	}
	return mutSmallest(all)
}

func mutMax[T cmp.Ordered](n int, all ...T) T {
	if mut(n) {
		return mutSmallest(all)
	}
	return mutLargest(all)
}
`
