package weirroute

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/source/weir"
)

// object places every field at its own path.
type object struct{}

func (object) Decode(any) diag.List             { return nil }
func (object) Pos(path string) diag.Position    { return diag.Position{File: "r.yaml", Line: 1} }
func (object) KeyPos(path string) diag.Position { return diag.Position{File: "r.yaml", Line: 1} }

func lower(t *testing.T, spec string) (ir.Route, diag.List) {
	t.Helper()
	r := weir.Route{Object: weir.NamedObject{Kind: "MeshRoute", Namespace: "shop", Name: "r", Object: object{}}}
	if err := json.Unmarshal([]byte(`{"metadata":{"creationTimestamp":"2026-01-02T03:04:05+01:00"},"spec":`+spec+`}`), &r.MeshRoute); err != nil {
		t.Fatal(err)
	}
	out, diags := Lower([]weir.Route{r})
	return out[0], diags
}

func TestLower(t *testing.T) {
	got, diags := lower(t, `{"service":"a","port":80,"hosts":["A.org"],"connections":{"max":5,"requests":7},"rules":[
		{"name":"n","matches":[{"method":"GET","path":{"prefix":"/x"},"headers":[{"name":"X-A","exact":""}],"query":[{"name":"Q","present":true}]},
		  {"path":{"prefix":"/y"}}],
		 "backends":[{"service":"b","port":81},{"service":"c","namespace":"d","port":82,"weight":0}],
		 "rewrite":{"host":"h","path":{"prefix":"/"}},"requestHeaders":{"set":[{"name":"X-S","value":"v"}],"remove":["X-R"]},
		 "timeouts":{"request":"0s","backendRequest":"1m"},
		 "retries":{"attempts":2,"on":["unavailable"],"backoff":"10ms","budget":{"percent":20}},
		 "mirrors":[{"backend":{"service":"m","port":83}}],"rateLimit":{"requests":3,"per":"minute","burst":4},"maxBodyBytes":9,
		 "fault":{"expires":"2026-03-01","delay":{"duration":"2s","percent":10},"abort":{"grpcStatus":14,"percent":20}}},
		{"matches":[{"grpc":{"service":"s.S"}}],"redirect":{"scheme":"https","port":443,"path":{"full":"/z"},"status":308}}]}`)
	for i := range diags {
		t.Error(diags[i].Error())
	}
	at := func(path string) diag.Position {
		return diag.Position{File: "r.yaml", Line: 1, Object: "MeshRoute shop/r", Path: path}
	}
	ptr := func(s string) *string { return &s }
	zero, minute, nine := time.Duration(0), time.Minute, uint32(9)
	want := ir.Route{Kind: "MeshRoute", Namespace: "shop", Name: "r", Pos: at("spec.service"), Service: "a", Port: 80, Hosts: []string{"a.org"},
		Created: time.Date(2026, 1, 2, 2, 4, 5, 0, time.UTC), Connections: ir.ConnectionLimits{Max: 5, Requests: 7},
		Rules: []ir.RouteRule{
			{Name: "n", Pos: at("spec.rules[0]"),
				Matches: []ir.HTTPMatch{
					{Methods: []string{"GET"}, Path: &ir.StringMatch{Kind: ir.Prefix, Value: "/x"},
						Headers: []ir.KeyMatch{{Key: "x-a", StringMatch: ir.StringMatch{Kind: ir.Exact}}},
						Query:   []ir.KeyMatch{{Key: "Q", StringMatch: ir.StringMatch{Kind: ir.Present}}}},
					{Path: &ir.StringMatch{Kind: ir.Prefix, Value: "/y"}}},
				Backends: []ir.RouteBackend{{Namespace: "shop", Service: "b", Port: 81, Weight: 1, Pos: at("spec.rules[0].backends[0]")},
					{Namespace: "d", Service: "c", Port: 82, Pos: at("spec.rules[0].backends[1]")}},
				Rewrite:        &ir.Rewrite{Host: "h", Path: &ir.PathChange{Prefix: ptr("/")}},
				RequestHeaders: ir.HeaderChanges{Set: []ir.HeaderValue{{Name: "x-s", Value: "v"}}, Remove: []string{"X-R"}},
				Timeouts:       ir.Timeouts{Request: &zero, BackendRequest: &minute},
				Retries:        &ir.Retries{Attempts: 2, On: []ir.RetryOn{ir.RetryUnavailable}, Backoff: 10 * time.Millisecond, BudgetPercent: 20, MinConcurrent: 3},
				Mirrors:        []ir.Mirror{{Percent: 100, Backend: ir.RouteBackend{Namespace: "shop", Service: "m", Port: 83, Weight: 1, Pos: at("spec.rules[0].mirrors[0].backend")}}},
				RateLimit:      &ir.RateLimit{Requests: 3, Burst: 4, Per: time.Minute}, MaxBodyBytes: &nine,
				Fault: &ir.Fault{Expires: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), Delay: &ir.FaultDelay{Duration: 2 * time.Second, Percent: 10},
					Abort: &ir.FaultAbort{GRPCStatus: 14, Percent: 20}}},
			{Index: 1, Pos: at("spec.rules[1]"), Matches: []ir.HTTPMatch{{GRPC: &ir.GRPCMatch{Service: "s.S"}}},
				Redirect: &ir.Redirect{Scheme: "https", Port: 443, Path: &ir.PathChange{Full: ptr("/z")}, Status: 308}},
		}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestLowerErrors: what is in error takes its rule with it, at the field's own place (S14, S26).
func TestLowerErrors(t *testing.T) {
	for path, rule := range map[string]string{
		"timeouts.backendRequest": `{"timeouts":{"request":"1s","backendRequest":"2s"}}`,
		"timeouts.request":        `{"timeouts":{"request":"soon"}}`,
		"matches":                 `{"matches":[]}`,
		"matches[0].path.regex":   `{"matches":[{"path":{"regex":"("}}]}`,
		"matches[0].headers[0]":   `{"matches":[{"headers":[{"name":"x"}]}]}`,
		"rewrite.path.prefix":     `{"matches":[{"path":{"exact":"/a"}}],"rewrite":{"path":{"prefix":"/b"}}}`,
		"redirect.path.prefix":    `{"redirect":{"path":{"prefix":"/b"}}}`,
		"retries.on[1]":           `{"retries":{"attempts":1,"on":["reset","never"],"budget":{"percent":1}}}`,
		"fault.expires":           `{"fault":{"expires":"","abort":{"status":500,"percent":1}}}`,
		"fault.delay.duration":    `{"fault":{"expires":"2026-01-01","delay":{"duration":"x","percent":1}}}`,
	} {
		got, diags := lower(t, `{"service":"a","rules":[`+rule+`,{}]}`)
		if len(diags) != 1 || diags[0].Pos.Path != "spec.rules[0]."+path || diags[0].Severity != diag.Error {
			t.Errorf("%s: %v, want one error at %s", rule, diags, path)
		}
		if len(got.Rules) != 1 || got.Rules[0].Index != 1 {
			t.Errorf("%s: %d rules, want the other one", rule, len(got.Rules))
		}
	}
}
