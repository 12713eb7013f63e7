// Package plain keeps what somebody else wrote from driving the reader's terminal: names, paths and reasons come out of
// files, and end in messages, logs and HTTP bodies.
package plain

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line makes a text safe for a part of a line: control and direction-changing characters, which could move the cursor or
// reorder what a reviewer sees, become U+FFFD, as do bytes that are not UTF-8; line ends and tabs become spaces.
func Line(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case unsafe(r):
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

// Text is Line for a text of several lines, which keeps its line ends and tabs.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		if unsafe(r) && r != '\n' && r != '\t' {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

// unsafe reports control characters, and those that format text without a shape of their own: bidirectional overrides,
// zero-width spaces, line separators.
func unsafe(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// Writer passes on what is written to it as Text would have it: for text without colours.
func Writer(w io.Writer) io.Writer {
	return &writer{w: w, write: func(b *bytes.Buffer, r rune) {
		if r == '\n' || r == '\t' {
			b.WriteRune(r)
		} else {
			b.WriteRune(utf8.RuneError)
		}
	}}
}

// JSON passes on JSON with the characters escaped that encoding/json leaves as they are, which says the same.
func JSON(w io.Writer) io.Writer {
	return &writer{w: w, write: func(b *bytes.Buffer, r rune) {
		switch {
		case r < ' ': // between values; in strings they are escaped already
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(b, `\u%04x`, r)
		}
	}}
}

// writer replaces unsafe characters.
type writer struct {
	w       io.Writer
	write   func(*bytes.Buffer, rune)
	partial []byte // the beginning of a character
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	if len(w.partial) == 0 && !needed(p) {
		return w.w.Write(p)
	}
	in := slices.Concat(w.partial, p)
	var out bytes.Buffer
	for len(in) > 0 && utf8.FullRune(in) {
		r, n := utf8.DecodeRune(in)
		switch {
		case r == utf8.RuneError && n == 1:
			out.WriteRune(r)
		case unsafe(r):
			w.write(&out, r)
		default:
			out.Write(in[:n])
		}
		in = in[n:]
	}
	w.partial = bytes.Clone(in)
	if _, err := w.w.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// needed reports whether anything but ASCII's printable characters, line ends and tabs is in a text.
func needed(p []byte) bool {
	for _, b := range p {
		if b < ' ' && b != '\n' && b != '\t' || b >= 0x7f {
			return true
		}
	}
	return false
}
