package analyze

import (
	"strings"
	"unicode/utf8"

	"github.com/weir-mesh/weir/internal/plain"
)

// Style says how text for people looks. Colour only adds: red what fails, yellow what to look at, dim what is
// context.
type Style struct {
	Color bool
}

const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	dim    = "\x1b[2m"
	bold   = "\x1b[1m"
	reset  = "\x1b[0m"
)

func (s Style) paint(colour, text string) string {
	if !s.Color || text == "" {
		return text
	}
	return colour + text + reset
}

// Red paints what fails.
func (s Style) Red(text string) string { return s.paint(red, text) }

// Yellow paints what to look at.
func (s Style) Yellow(text string) string { return s.paint(yellow, text) }

// Dim paints context.
func (s Style) Dim(text string) string { return s.paint(dim, text) }

// Bold paints what names the thing at hand.
func (s Style) Bold(text string) string { return s.paint(bold, text) }

// verdict paints a verdict's word.
func (s Style) verdict(word, text string) string {
	switch word {
	case "deny":
		return s.paint(red, text)
	case "allow":
		return s.paint(green, text)
	case "pass":
		return s.paint(dim, text)
	}
	return s.paint(yellow, text)
}

// width counts the columns of a text without colours.
func width(s string) int { return utf8.RuneCountInString(s) }

// pad fills a text up to n columns.
func pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-width(s))) }

// clean keeps names from files from driving a terminal.
func clean(s string) string { return plain.Line(s) }
