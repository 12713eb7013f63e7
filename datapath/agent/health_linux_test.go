package agent

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestHealthIsPlain: a reason and a name that hold what drives a terminal, or that would add a line, are only shown.
func TestHealthIsPlain(t *testing.T) {
	for _, c := range []struct {
		status status
		code   int
		want   string
	}{
		{status{failure: "reading \x1b[2Jp\u202e:\ngeneration 7", held: true, generation: 6}, http.StatusServiceUnavailable,
			"the plan is not enforced: reading �[2Jp�: generation 7\nthe kernel enforces generation 6\n"},
		{status{generation: 7, held: true, missing: []string{"shop/\u009b31mweb\r\n"}}, http.StatusOK, "generation 7\nno interface yet: shop/�31mweb  \n"},
	} {
		w := httptest.NewRecorder()
		(&agent{status: c.status}).health(w, nil)
		if w.Code != c.code || w.Body.String() != c.want || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("got %d %q (%s), want %d %q", w.Code, w.Body, w.Header().Get("Content-Type"), c.code, c.want)
		}
	}
}
