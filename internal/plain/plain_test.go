package plain

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
)

// Escape sequences, C1's CSI, a bell, a direction override, a zero-width space, a tag character, broken UTF-8.
const hostile = "a\x1b[31mb\u009b2Jc\ad\u202ee\u200bf\U000e0041g\xffh\x7fi\r\n\tj→ü"

func TestLine(t *testing.T) {
	if got, want := Line(hostile), "a�[31mb�2Jc�d�e�f�g�h�i   j→ü"; got != want {
		t.Errorf("Line: %q, want %q", got, want)
	}
	if got, want := Text(hostile), "a�[31mb�2Jc�d�e�f�g�h�i�\n\tj→ü"; got != want {
		t.Errorf("Text: %q, want %q", got, want)
	}
}

// A writer says the same however the text is cut.
func TestWriter(t *testing.T) {
	for size := 1; size < len(hostile); size++ {
		var b bytes.Buffer
		w := Writer(&b)
		for rest := []byte(hostile); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			part := rest[:min(size, len(rest))]
			if n, err := w.Write(part); n != len(part) || err != nil {
				t.Fatalf("wrote %d of %d: %v", n, len(part), err)
			}
		}
		if got, want := b.String(), Text(hostile); got != want {
			t.Fatalf("in pieces of %d: %q, want %q", size, got, want)
		}
	}
}

// JSON decodes to the same value, and holds nothing that drives a terminal.
func TestJSON(t *testing.T) {
	var b bytes.Buffer
	in := map[string]string{"k\u009b": "a\x1b[31m\u009b2J\u202e\U000e0041\x7f→ü"}
	e := json.NewEncoder(JSON(&b))
	e.SetIndent("", "\t")
	if err := e.Encode(in); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != Text(got) {
		t.Errorf("%q", got)
	}
	var out map[string]string
	if err := json.Unmarshal(b.Bytes(), &out); err != nil || out["k\u009b"] != in["k\u009b"] {
		t.Errorf("%q, %v", out, err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestWriterFails(t *testing.T) {
	for _, text := range []string{"plain", "\x1b"} {
		if n, err := Writer(broken{}).Write([]byte(text)); n != 0 || err == nil {
			t.Errorf("%q: %d, %v", text, n, err)
		}
	}
}
