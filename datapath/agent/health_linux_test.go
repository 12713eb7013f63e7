package agent

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath"
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
		{status{generation: 7, held: true, unfound: []unfound{{Unfound: datapath.Unfound{Name: "shop/\u009b31mweb\r\n", Why: datapath.Ambiguous, Text: "a\nb", Hint: "c\x1b"}}}},
			http.StatusServiceUnavailable, "1 of the plan's pods are not enforced\ngeneration 7\nnot enforced: shop/�31mweb  : a b; c�\n"},
	} {
		w := httptest.NewRecorder()
		(&agent{status: c.status}).health(w, nil)
		if w.Code != c.code || w.Body.String() != c.want || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("got %d %q (%s), want %d %q", w.Code, w.Body, w.Header().Get("Content-Type"), c.code, c.want)
		}
	}
}

// TestFlowLine: a packet that was not read as far as its port or its addresses is not told with zeros in their place.
func TestFlowLine(t *testing.T) {
	e := datapath.Event{Kind: datapath.DeniedFlow, Endpoint: "shop/a", Drop: datapath.DropSource}
	if got := fmt.Sprint(flowAttrs(&e)...); strings.Contains(got, "port") || strings.Contains(got, "local") {
		t.Errorf("a packet that was not read: %s", got)
	}
	e.Parsed, e.Port = true, plan.Key(ir.UDP, 53)
	e.Local, e.Remote = netip.MustParseAddrPort("10.1.0.1:4000"), netip.MustParseAddrPort("10.1.0.2:53")
	if got := fmt.Sprintln(flowAttrs(&e)...); !strings.Contains(got, " port UDP number 53 local 10.1.0.1:4000 remote 10.1.0.2:53 ") {
		t.Errorf("a packet that was read: %s", got)
	}
}
