package plan

import (
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
		"/%zz":             "refused",
		"/%3":              "refused",
		"/%%361":           "/%2561",
		"/%%32f":           "/%252f", "/p%%36ay": "/p%256ay", "/%3%35": "/%2535", "/%%36": "refused",
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

// TestRequestAnswer: both sides must allow, and what can't be read gets 400 (S8, S23, S24).
func TestRequestAnswer(t *testing.T) {
	p := oneList(ir.HTTPMatch{Methods: []string{"GET"}})
	p.Lists = append(p.Lists, oneList(ir.HTTPMatch{Methods: []string{"GET", "POST"}}).Lists...)
	r, err := NewRequests(p)
	if err != nil {
		t.Fatal(err)
	}
	list := func(l ListIndex) Decision {
		return Decision{Outcome: Outcome{Verdict: Redirect, Rule: None, Policy: None, List: l}}
	}
	both := Answer{Verdict: Redirect, Egress: list(0), Ingress: list(1)}
	ingress := Answer{Verdict: Redirect, Egress: side(Allow, ByDefault), Ingress: list(1)}
	for _, c := range []struct {
		what   string
		a      Answer
		q      Request
		status int
		by     ir.Direction
	}{
		{"both allow", both, Request{Path: "/"}, 0, ir.Ingress},
		{"egress denies", both, Request{Method: "POST", Path: "/"}, 403, ir.Egress},
		{"ingress denies", ingress, Request{Method: "PUT", Path: "/"}, 403, ir.Ingress},
		{"ingress allows", ingress, Request{Method: "POST", Path: "/"}, 0, ir.Ingress},
		{"malformed", both, Request{Path: "/a%2fb"}, 400, ir.Egress},
		{"no waypoint, allowed", Answer{Verdict: Allow, By: ir.Ingress}, Request{Path: "/a%2fb"}, 0, ir.Ingress},
		{"no waypoint, denied", Answer{Verdict: Deny, By: ir.Egress}, Request{Path: "/"}, 403, ir.Egress},
	} {
		got := r.Decide(&c.a, &c.q)
		if got.Status != c.status || (got.Verdict == Allow) != (c.status == 0) || got.By != c.by {
			t.Errorf("%s: %+v, want status %d by %v", c.what, got, c.status, c.by)
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
