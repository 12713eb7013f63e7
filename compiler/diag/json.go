package diag

import (
	"encoding/json"
	"fmt"
	"io"
)

// jsonReport is what -o json prints; the names are stable.
type jsonReport struct {
	Diagnostics List        `json:"diagnostics"`
	Summary     jsonSummary `json:"summary"`
}

type jsonSummary struct {
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	Notes    int `json:"notes"`
}

// JSON writes findings as one JSON object: diagnostics, and a summary that counts them.
func JSON(w io.Writer, l List) error {
	r := jsonReport{Diagnostics: l, Summary: jsonSummary{l.Count(Error), l.Count(Warning), l.Count(Note)}}
	if l == nil {
		r.Diagnostics = List{}
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("writing diagnostics as JSON: %w", err)
	}
	return nil
}
