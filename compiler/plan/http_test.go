package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/compiler/ir"
)

// TestParseTarget holds what Envoy 1.40 was seen to forward, or to refuse (S24).
func TestParseTarget(t *testing.T) {
	for raw, want := range map[string]string{
		"/":                "/",
		"/a":               "/a",
		"//a":              "/a",
		"/a//b///c":        "/a/b/c",
		"/a/./b//c/../d":   "/a/b/d",
		"/a//../b":         "/a/b",
		"/a/..//b":         "/b",
		"/a//b/../..":      "/a/",
		"/a/b/../../..":    "/",
		"/../..//c":        "/c",
		"/..":              "/",
		"/.":               "/",
		"/a/.":             "/a/",
		"/a/b/..":          "/a/",
		"/a/...":           "/a/...",
		"/a/%2e%2E/b":      "/b",
		"/%2e/a":           "/a",
		"/a/.%2e/b":        "/b",
		"/a/%2e%2e%2e":     "/a/...",
		"/a;x/..;/..":      "/a;x/",
		"/a;.%2e/..":       "/",
		"/%61%7e%41%2d%5F": "/a~A-_",
		"/%2F":             "refused", "/%30%39%3a": "/09%3a", "/%40%41%5a%5b": "/%40AZ%5b", "/%60%61%7a%7b": "/%60az%7b", // beside what is unreserved
		"/%zz":   "refused",
		"/%3":    "refused",
		"/%%361": "/%2561", "/%%361%41": "/%2561A",
		"/%%32f": "/%252f", "/p%%36ay": "/p%256ay", "/%3%35": "/%2535", "/%%36": "refused",
		"/%%%361x":                    "refused",
		"/%25%36":                     "/%256",
		"/%20%7C":                     "/%20%7C",
		"/a%":                         "refused",
		"/%2561":                      "/%2561",
		"/%c3%A9":                     "/%c3%A9",
		"/a\\..\\b":                   "/b",
		"/\"<>^`{|}":                  "/%22%3C%3E%5E%60%7B%7C%7D",
		"/[]!$&'()*+,=:@;":            "/[]!$&'()*+,=:@;",
		"/a?b=/../%2f\\//":            "/a?b=/../%2f\\//",
		"/a?":                         "/a?",
		"/x?y?z":                      "/x?y?z",
		"/ADMIN":                      "/ADMIN",
		"":                            "refused",
		"a":                           "refused",
		"*":                           "refused",
		"?a":                          "refused",
		"http://h/a":                  "refused",
		"/a%2fb":                      "refused",
		"/a%2Fb":                      "refused",
		"/a%5cb":                      "refused",
		"/a%5Cb":                      "refused",
		"/a%00":                       "refused",
		"/a#b":                        "refused",
		"/a?x#b":                      "refused",
		"/a b":                        "refused",
		"/a\tb":                       "refused",
		"/a\x7f":                      "refused",
		"/\xc3\xa9":                   "refused",
		"//":                          "refused",
		"///?a":                       "refused",
		"//..//":                      "refused",
		"/a?" + "b\x00":               "refused",
		"/" + strings.Repeat("/a", 3): "/a/a/a",
	} {
		got := "refused"
		if target, ok := ParseTarget(raw); ok {
			if got = target.Path; target.HasQuery {
				got += "?" + target.Query
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

// TestUnhex has the edges of the digits, and what is beside them.
func TestUnhex(t *testing.T) {
	for s, want := range map[string]int{"00": 0, "09": 9, "90": 0x90, "0a": 10, "0f": 15, "0A": 10, "0F": 15, "fF": 255, "61x": 0x61, "7e%": 0x7e,
		"": -1, "6": -1, "0/": -1, "0:": -1, "0@": -1, "0G": -1, "0`": -1, "0g": -1, "/0": -1, ":0": -1, "@0": -1, "G0": -1, "`0": -1, "g0": -1, "4\xc1": -1} {
		if v, ok := unhex(s); ok != (want >= 0) || int(v) != max(want, 0) {
			t.Errorf("%q: %#x, %t; want %#x", s, v, ok, want)
		}
	}
}

// FuzzParseTarget holds what rules rely on: a normalised path starts with one slash, holds no dot segment, no empty
// segment but the last, no backslash, and is what becomes of itself.
func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"/", "//a/./b/../c", "/%2e%2e/a", "/a%2fb", "/a\\b?c", "/%61?%61"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		target, ok := ParseTarget(raw)
		if !ok {
			return
		}
		segments := strings.Split(target.Path, "/")
		if segments[0] != "" || len(segments) < 2 || strings.ContainsAny(target.Path, "\\?#") {
			t.Fatalf("%q becomes %q", raw, target.Path)
		}
		for i, s := range segments[1:] {
			if s == "." || s == ".." || s == "" && i < len(segments)-2 {
				t.Fatalf("%q becomes %q", raw, target.Path)
			}
		}
		if again, ok := ParseTarget(target.Path); !ok || again.Path != target.Path {
			t.Fatalf("%q becomes %q, which becomes %q (%v)", raw, target.Path, again.Path, ok)
		}
	})
}

// oneList is a plan with one list of one entry that allows what matches, and denies the rest.
func oneList(matches ...ir.HTTPMatch) *Plan {
	o := Outcome{Verdict: Allow, Rule: None, Policy: None, List: None}
	deny := Outcome{Verdict: Deny, Reason: ByIsolation, Rule: None, Policy: None, List: None}
	return &Plan{Lists: []List{{Entries: []Entry{{Conds: [][]ir.HTTPMatch{matches}, Outcome: o}, {Outcome: deny}}}}}
}

func TestRequestMatching(t *testing.T) {
	str := func(k ir.MatchKind, v string) ir.StringMatch { return ir.StringMatch{Kind: k, Value: v} }
	header := func(k ir.MatchKind, v string) ir.HTTPMatch {
		return ir.HTTPMatch{Headers: []ir.KeyMatch{{Key: "x", StringMatch: str(k, v)}}}
	}
	query := func(k ir.MatchKind, v string) ir.HTTPMatch {
		return ir.HTTPMatch{Query: []ir.KeyMatch{{Key: "q", StringMatch: str(k, v)}}}
	}
	claim := func(key string, k ir.MatchKind, v string) ir.HTTPMatch {
		return ir.HTTPMatch{Claims: []ir.KeyMatch{{Provider: "p", Key: key, StringMatch: str(k, v)}}}
	}
	path := func(k ir.MatchKind, v string) ir.HTTPMatch {
		m := str(k, v)
		return ir.HTTPMatch{Path: &m}
	}
	with := func(values ...string) *Request { return &Request{Path: "/", Headers: map[string][]string{"x": values}} }
	at := func(p string) *Request { return &Request{Path: p} }
	claims := func(v any) *Request {
		return &Request{Path: "/", Claims: map[string]map[string]any{"p": {"c": v, "o": map[string]any{"i": "deep"}}}}
	}
	for _, c := range []struct {
		what  string
		match ir.HTTPMatch
		q     *Request
		want  bool
	}{
		{"methods are exact", ir.HTTPMatch{Methods: []string{"GET"}}, &Request{Method: "get", Path: "/"}, false},
		{"GET is the default", ir.HTTPMatch{Methods: []string{"GET"}}, at("/"), true},
		{"a prefix is by segment", path(ir.Prefix, "/v1"), at("/v1/x?y"), true},
		{"a prefix is by segment", path(ir.Prefix, "/v1"), at("/v10"), false},
		{"a prefix matches itself", path(ir.Prefix, "/v1/"), at("/v1"), true},
		{"the root is a prefix of all", path(ir.Prefix, "/"), at("/x"), true},
		{"the query is no part of a path", path(ir.Exact, "/v1"), at("/v1?x"), true},
		{"regular expressions match in full", path(ir.Regex, "/a.*b"), at("/axb/"), false},
		{"a regular expression does not see the query", path(ir.Regex, "/a.*b"), at("/ax?b"), false},
		{"alternatives in a regular expression", path(ir.Regex, "/a|/b"), at("/bx"), false},
		{"hosts have no case and no port", ir.HTTPMatch{Hosts: []string{"a.org"}}, &Request{Path: "/", Host: "A.ORG.:80"}, true},
		{"a wildcard is one label or more", ir.HTTPMatch{Hosts: []string{"*.a.org"}}, &Request{Path: "/", Host: "x.y.a.org"}, true},
		{"a wildcard is not nothing", ir.HTTPMatch{Hosts: []string{"*.a.org"}}, &Request{Path: "/", Host: "a.org"}, false},
		{"a wildcard is no port", ir.HTTPMatch{Hosts: []string{"*.a.org"}}, &Request{Path: "/", Host: "x:y.a.org"}, false},
		{"nor a path", ir.HTTPMatch{Hosts: []string{"*.a.org"}}, &Request{Path: "/", Host: "x/y.a.org"}, false},
		{"nor an empty label", ir.HTTPMatch{Hosts: []string{"*.a.org"}}, &Request{Path: "/", Host: ".x.a.org"}, false},
		{"any one of the hosts", ir.HTTPMatch{Hosts: []string{"*.a.org", "b.org"}}, &Request{Path: "/", Host: "b.org"}, true},
		{"a wildcard is not user information", ir.HTTPMatch{Hosts: []string{"*.a.org"}}, &Request{Path: "/", Host: "u@x.a.org"}, false},
		{"an absent header does not match (S23)", header(ir.Present, ""), at("/"), false},
		{"nor does it match anything", header(ir.Regex, ".*"), at("/"), false},
		{"an empty header is present", header(ir.Present, ""), with(""), true},
		{"a repeated header is one value", header(ir.Exact, "a,b"), with("a", "b"), true},
		{"and not each", header(ir.Exact, "a"), with("a", "b"), false},
		{"no UTF-8 matches no regular expression", header(ir.Regex, ".*"), with("\xff"), false},
		{"but is present", header(ir.Present, ""), with("\xff"), true},
		{"host is a header", ir.HTTPMatch{Headers: []ir.KeyMatch{{Key: "host", StringMatch: str(ir.Exact, "A:1")}}}, &Request{Path: "/", Host: "A:1"}, true},
		{"parameters are unescaped", query(ir.Exact, "a b"), at("/?%71=a%20b"), true},
		{"a broken escape stays", query(ir.Exact, "%"), at("/?q=%"), true},
		{"and one digit is none", query(ir.Exact, "%2"), at("/?q=%2"), true},
		{"nor are other letters", query(ir.Exact, "%2g%GA"), at("/?q=%2g%GA"), true},
		{"both cases are", query(ir.Exact, "\xaf\xfa"), at("/?q=%aF%Fa"), true},
		{"an escape at the end", query(ir.Exact, "xa"), at("/?q=x%61"), true},
		{"the first of other parameters", query(ir.Exact, "a"), at("/?x=b&q=a&y=c"), true},
		{"no query at all", query(ir.Present, ""), at("/q"), false},
		{"cookies are joined by semicolons", ir.HTTPMatch{Headers: []ir.KeyMatch{{Key: "cookie", StringMatch: str(ir.Exact, "a=1; b=2")}}}, &Request{Path: "/", Headers: map[string][]string{"cookie": {"a=1", "b=2"}}}, true},
		{"a header without a value is absent", header(ir.Present, ""), with(), false},
		{"a plus is a plus", query(ir.Exact, "a b"), at("/?q=a+b"), false},
		{"an empty value is there", query(ir.Present, ""), at("/?q"), true},
		{"an absent parameter does not match", query(ir.Present, ""), at("/?qq=1"), false},
		{"a parameter that is there twice is refused (S23)", query(ir.Exact, "a"), at("/?q=a&q=a"), false},
		{"gRPC is by path", ir.HTTPMatch{GRPC: &ir.GRPCMatch{Service: "s.S", Method: "M"}}, &Request{Path: "/s.S/M", GRPC: true}, true},
		{"whatever the content type", ir.HTTPMatch{GRPC: &ir.GRPCMatch{Service: "s.S"}}, &Request{Method: "POST", Path: "/s.S/M"}, true},
		{"gRPC is POST", ir.HTTPMatch{GRPC: &ir.GRPCMatch{Service: "s.S"}}, at("/s.S/M"), false},
		{"gRPC is not another service", ir.HTTPMatch{GRPC: &ir.GRPCMatch{Service: "s.S"}}, &Request{GRPC: true, Path: "/s.SS/M"}, false},
		{"nor another method", ir.HTTPMatch{GRPC: &ir.GRPCMatch{Service: "s.S", Method: "M"}}, &Request{GRPC: true, Path: "/s.S/N"}, false},
		{"nor no method", ir.HTTPMatch{GRPC: &ir.GRPCMatch{Service: "s.S"}}, &Request{GRPC: true, Path: "/s.S/"}, false},
		{"gRPC has one segment", ir.HTTPMatch{GRPC: &ir.GRPCMatch{Service: "s.S"}}, &Request{GRPC: true, Path: "/s.S/M/N"}, false},
		{"a claim", claim("c", ir.Exact, "v"), claims("v"), true},
		{"one of a list", claim("c", ir.Exact, "v"), claims([]any{"u", 1.0, "v"}), true},
		{"a number is no string", claim("c", ir.Regex, ".*"), claims(1.0), false},
		{"but is present", claim("c", ir.Present, ""), claims(1.0), true},
		{"a list without it", claim("c", ir.Exact, "v"), claims([]any{"u", 1.0}), false},
		{"an object is no string", claim("o", ir.Regex, ".*"), claims("v"), false},
		{"a dot steps into nothing else", claim("c.i", ir.Present, ""), claims("v"), false},
		{"a dot steps into an object", claim("o.i", ir.Prefix, "de"), claims("v"), true},
		{"an absent claim does not match", claim("d", ir.Present, ""), claims("v"), false},
		{"nor one of no token", claim("c", ir.Present, ""), at("/"), false},
		{"nor one of a step too many", claim("c.i.j", ir.Present, ""), claims([]any{"i"}), false},
		{"without a query there is no parameter", ir.HTTPMatch{Query: []ir.KeyMatch{{StringMatch: str(ir.Present, "")}}}, at("/"), false},
		{"in an empty one there is", ir.HTTPMatch{Query: []ir.KeyMatch{{StringMatch: str(ir.Present, "")}}}, at("/?"), true},
		{"a kind that is not known matches nothing", header(ir.Present+1, "a"), with("a"), false},
	} {
		p := oneList(c.match)
		r, err := NewRequests(p)
		if err != nil {
			t.Fatal(err)
		}
		if o, _, ok := r.List(0, c.q); !ok || (o.Verdict == Allow) != c.want {
			t.Errorf("%s: %+v on %+v: %v, want match %v", c.what, c.match, c.q, o.Verdict, c.want)
		}
	}
}

// TestRequestAnswer: both sides must allow, and what can't be read gets 400 (S8, S23, S24). Each case says what becomes
// of each side: its verdict, what decided, and the entry.
func TestRequestAnswer(t *testing.T) {
	p := oneList(ir.HTTPMatch{Methods: []string{"GET"}, Query: []ir.KeyMatch{{Key: "q", StringMatch: ir.StringMatch{Kind: ir.Exact, Value: "a"}}}},
		ir.HTTPMatch{Methods: []string{"GET", "HEAD"}})
	p.Lists = append(p.Lists, oneList(ir.HTTPMatch{Methods: []string{"GET", "POST"}}).Lists...)
	p.Lists = append(p.Lists, List{}) // no list of a plan is empty: fail closed
	r, err := NewRequests(p)
	if err != nil {
		t.Fatal(err)
	}
	silent, deny := side(Allow, ByDefault), side(Deny, ByEnrolment)
	list := func(l ListIndex) Decision { return decision(handed(None, l)) }
	both := Answer{Verdict: Redirect, Egress: list(0), Ingress: list(1)}
	egress := Answer{Verdict: Redirect, By: ir.Egress, Egress: list(0), Ingress: silent}
	ingress := Answer{Verdict: Redirect, By: ir.Ingress, Egress: silent, Ingress: list(1)}
	for _, c := range []struct {
		what   string
		a      Answer
		q      Request
		status int
		by     ir.Direction
		want   string // egress, ingress
	}{
		{"both allow", both, Request{Path: "/"}, 0, ir.Ingress, "allow by rule at 0, allow by rule at 0"},
		{"egress denies", both, Request{Method: "POST", Path: "/"}, 403, ir.Egress, "deny by isolation at 1, allow by rule at 0"},
		{"ingress denies", both, Request{Method: "HEAD", Path: "/"}, 403, ir.Ingress, "allow by rule at 0, deny by isolation at 1"},
		{"both deny", both, Request{Method: "PUT", Path: "/"}, 403, ir.Egress, "deny by isolation at 1, deny by isolation at 1"},
		{"only egress asks, and denies", egress, Request{Method: "POST", Path: "/"}, 403, ir.Egress, "deny by isolation at 1, allow by default at -1"},
		{"only egress asks, and allows", egress, Request{Path: "/"}, 0, ir.Egress, "allow by rule at 0, allow by default at -1"},
		{"only ingress asks, and denies", ingress, Request{Method: "PUT", Path: "/"}, 403, ir.Ingress, "allow by default at -1, deny by isolation at 1"},
		{"only ingress asks, and allows", ingress, Request{Method: "POST", Path: "/"}, 0, ir.Ingress, "allow by default at -1, allow by rule at 0"},
		{"malformed", both, Request{Path: "/a%2fb"}, 400, ir.Egress, "deny by request at -1, deny by request at -1"},
		{"malformed, and only ingress asks", ingress, Request{Path: "/a%2fb"}, 400, ir.Ingress, "allow by default at -1, deny by request at -1"},
		{"malformed, and only egress asks", egress, Request{Path: "/a%2fb"}, 400, ir.Egress, "deny by request at -1, allow by default at -1"},
		{"a parameter twice, which egress asks for", both, Request{Path: "/?q=a&q=a"}, 403, ir.Egress, "deny by request at -1, allow by rule at 0"},
		{"no entry matches", Answer{Verdict: Redirect, Egress: silent, Ingress: list(2)}, Request{Path: "/"}, 403, ir.Ingress, "allow by default at -1, deny by request at -1"},
		{"no waypoint, allowed", Answer{Verdict: Allow, By: ir.Ingress, Egress: silent, Ingress: silent}, Request{Path: "/a%2fb"}, 0, ir.Ingress, "allow by default at -1, allow by default at -1"},
		{"denied before any request", Answer{Verdict: Deny, By: ir.Egress, Egress: deny, Ingress: list(1)}, Request{Path: "/a%2fb"}, 403, ir.Egress, "deny by enrolment at -1, redirect by rule at -1"},
		{"denied by the other side", Answer{Verdict: Deny, By: ir.Ingress, Egress: list(0), Ingress: deny}, Request{Path: "/"}, 403, ir.Ingress, "redirect by rule at -1, deny by enrolment at -1"},
	} {
		got := r.Decide(&c.a, &c.q)
		verdict := Deny
		if c.status == 0 {
			verdict = Allow
		}
		sides := fmt.Sprintf("%s by %s at %d, %s by %s at %d", got.Egress.Verdict, got.Egress.Reason, got.EgressEntry, got.Ingress.Verdict, got.Ingress.Reason, got.IngressEntry)
		if got.Status != c.status || got.Verdict != verdict || got.By != c.by || sides != c.want {
			t.Errorf("%s: %s, status %d by %s: %s; want status %d by %s: %s", c.what, got.Verdict, got.Status, got.By, sides, c.status, c.by, c.want)
		}
	}
	if o, entry, ok := r.List(0, &Request{Path: "/a%2fb"}); ok || o.Verdict != Deny || o.Reason != ByRequest || entry != None {
		t.Errorf("a malformed request: %s by %s at %d, %t", o.Verdict, o.Reason, entry, ok)
	}
	p.Lists[2].Entries = []Entry{{Conds: [][]ir.HTTPMatch{nil}, Outcome: allowed(1, AuthNone)}}
	if o, _, _ := r.List(2, &Request{Path: "/"}); o.Verdict != Deny {
		t.Errorf("of no alternatives one matches")
	}
}

// TestQueryKeys lists the parameters that a list asks for, each once.
func TestQueryKeys(t *testing.T) {
	key := func(names ...string) (m ir.HTTPMatch) {
		for _, n := range names {
			m.Query = append(m.Query, ir.KeyMatch{Key: n})
		}
		return m
	}
	l := List{Entries: []Entry{{Conds: [][]ir.HTTPMatch{{key("b"), key("a", "b")}, {key("c")}}}, {Conds: [][]ir.HTTPMatch{{key("c", "d")}}}, {}}}
	if got := l.QueryKeys(); !slices.Equal(got, []string{"b", "a", "c", "d"}) {
		t.Errorf("got %q", got)
	}
}

// TestRepeated names the parameter for which a list refuses a request: one that it asks for and that is there twice (S23). A
// request that can't be read at all is refused for that.
func TestRepeated(t *testing.T) {
	ask := ir.HTTPMatch{Query: []ir.KeyMatch{{Key: "a", StringMatch: ir.StringMatch{Kind: ir.Present}}}}
	r, err := NewRequests(&Plan{Lists: []List{{Entries: []Entry{{Conds: [][]ir.HTTPMatch{{ask}}}, {}}}}})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/x": "", "/x?a=1": "", "/x?a=1&a=2": "a", "/x?b=1&b=2": "", "/x%2f?a=1&a=2": "", "x?a=1&a=2": ""} {
		if got := r.Repeated(0, &Request{Path: path}); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// TestBrokenExpression has a regular expression that does not compile, in each place for one.
func TestBrokenExpression(t *testing.T) {
	broken := ir.StringMatch{Kind: ir.Regex, Value: "("}
	keys := []ir.KeyMatch{{Key: "x", StringMatch: broken}}
	for where, m := range map[string]ir.HTTPMatch{"path": {Path: &broken}, "header": {Headers: keys}, "query": {Query: keys}, "claim": {Claims: keys}} {
		if _, err := NewRequests(oneList(m)); err == nil {
			t.Errorf("%s: no error", where)
		}
		if MatchHTTP(&m, &Request{Path: "/", Headers: map[string][]string{"x": {"("}}}) {
			t.Errorf("%s: matches", where)
		}
	}
}

func TestNormalHost(t *testing.T) {
	for authority, want := range map[string]string{
		"a.org": "a.org", "A.Org": "a.org", "a.org:80": "a.org", "a.org.:80": "a.org", "a.org:": "a.org", "a.org:8x": "a.org:8x", "a.org:/0": "a.org:/0",
		"a.org:8:90": "a.org:8", "[::1]:80": "[::1]", "[::1]": "[::1]", "[fd00::1:2]:443": "[fd00::1:2]", "": "", ":80": "", "a.org:09": "a.org",
	} {
		if got := NormalHost(authority); got != want {
			t.Errorf("%q: %q, want %q", authority, got, want)
		}
	}
}
