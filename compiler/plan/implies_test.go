package plan

import (
	"math/rand/v2"
	"testing"

	"github.com/weir-mesh/weir/compiler/ir"
)

func drawn[T any](r *rand.Rand, s ...T) T { return s[r.IntN(len(s))] }

func drawnKeys(r *rand.Rand, keys ...string) []ir.KeyMatch {
	if r.IntN(3) > 0 {
		return nil
	}
	return []ir.KeyMatch{{Key: drawn(r, keys...), StringMatch: ir.StringMatch{Kind: drawn(r, ir.Exact, ir.Prefix, ir.Regex, ir.Present), Value: drawn(r, "v", "vw", "v.*")}}}
}

func drawnMatch(r *rand.Rand) ir.HTTPMatch {
	m := ir.HTTPMatch{Headers: drawnKeys(r, "x", "y"), Query: drawnKeys(r, "p", "q")}
	if r.IntN(3) == 0 {
		m.Methods = drawn(r, []string{"GET"}, []string{"POST"}, []string{"GET", "POST"})
	}
	switch r.IntN(4) {
	case 0, 1:
		m.Path = &ir.StringMatch{Kind: drawn(r, ir.Exact, ir.Prefix, ir.Regex), Value: drawn(r, "/", "/s", "/s/", "/s/m", "/sm", "/s/.*")}
	case 2:
		m.GRPC = &ir.GRPCMatch{Service: drawn(r, "s", "t"), Method: drawn(r, "", "m")}
	}
	if r.IntN(3) == 0 {
		m.Hosts = drawn(r, []string{"a.b.c"}, []string{"*.b.c"}, []string{"*.c"}, []string{"a.b.c", "*.d"})
	}
	return m
}

// TestImplies holds that what is said to imply another match does: no request that meets the one misses the other.
func TestImplies(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 22))
	entry := func(m ...ir.HTTPMatch) *Entry { return &Entry{Conds: [][]ir.HTTPMatch{m}} }
	said, met := 0, 0
	for range 40_000 {
		d, c := drawnMatch(r), drawnMatch(r)
		if !Implies(entry(d), entry(c, drawnMatch(r))) || !Implies(entry(d), entry(c)) {
			continue
		}
		said++
		for range 40 {
			q := &Request{Method: drawn(r, "GET", "POST", "PUT"), Path: drawn(r, "/", "/s", "/s/m", "/s/m/n", "/s/n", "/sm", "/t/m") + drawn(r, "", "?p=v", "?p=vw&q=v"),
				Host: drawn(r, "a.b.c", "b.c", "x.c", "y.d"), Headers: map[string][]string{}}
			for _, k := range []string{"x", "y"} {
				if r.IntN(2) == 0 {
					q.Headers[k] = []string{drawn(r, "v", "vw", "u")}
				}
			}
			if !MatchHTTP(&d, q) {
				continue
			}
			if met++; !MatchHTTP(&c, q) {
				t.Fatalf("%+v is said to imply %+v; %+v meets the first only", d, c, q)
			}
		}
	}
	if said < 2000 || met < 2000 {
		t.Fatalf("too little was tried: %d pairs, %d requests", said, met)
	}
}

// TestImpliesWhat lists what has to be seen, and what must not be.
func TestImpliesWhat(t *testing.T) {
	path := func(k ir.MatchKind, v string) ir.HTTPMatch {
		return ir.HTTPMatch{Path: &ir.StringMatch{Kind: k, Value: v}}
	}
	header := func(k ir.MatchKind, v string) ir.HTTPMatch {
		return ir.HTTPMatch{Headers: []ir.KeyMatch{{Key: "x", StringMatch: ir.StringMatch{Kind: k, Value: v}}}}
	}
	claim := func(provider string) ir.HTTPMatch {
		return ir.HTTPMatch{Claims: []ir.KeyMatch{{Key: "sub", Provider: provider, StringMatch: ir.StringMatch{Kind: ir.Exact, Value: "a"}}}}
	}
	hosts := func(h ...string) ir.HTTPMatch { return ir.HTTPMatch{Hosts: h} }
	methods := func(m ...string) ir.HTTPMatch { return ir.HTTPMatch{Methods: m} }
	grpc := func(s, m string) ir.HTTPMatch { return ir.HTTPMatch{GRPC: &ir.GRPCMatch{Service: s, Method: m}} }
	for _, c := range []struct {
		d, c ir.HTTPMatch
		want bool
	}{
		{path(ir.Prefix, "/v1/x"), path(ir.Prefix, "/v1"), true},
		{path(ir.Prefix, "/v1"), path(ir.Prefix, "/v1/"), true},
		{path(ir.Prefix, "/v10"), path(ir.Prefix, "/v1"), false},
		{path(ir.Prefix, "/v1"), path(ir.Exact, "/v1"), false},
		{path(ir.Exact, "/v1/x"), path(ir.Regex, "/v[0-9]/.*"), true},
		{path(ir.Exact, "/v1/x"), path(ir.Regex, "/v"), false},
		{path(ir.Regex, "/a.*"), path(ir.Prefix, "/a"), false},
		{methods("GET"), path(ir.Prefix, "/"), true},
		{methods("GET"), methods("POST", "GET"), true},
		{methods("GET", "POST"), methods("GET"), false},
		{path(ir.Prefix, "/"), methods("GET"), false},
		{grpc("s", "m"), grpc("s", ""), true},
		{grpc("s", ""), grpc("s", "m"), false},
		{grpc("s", "m"), methods("POST"), true},
		{grpc("s", "m"), path(ir.Exact, "/s/m"), true},
		{grpc("s", ""), path(ir.Prefix, "/s"), true},
		{grpc("s", ""), path(ir.Exact, "/s"), false},
		{hosts("a.b.c"), hosts("*.c"), true},
		{hosts("*.b.c"), hosts("*.c"), true},
		{hosts("*.c"), hosts("*.b.c"), false},
		{hosts("a.c", "d"), hosts("*.c"), false},
		{methods("GET"), hosts("*.c"), false},
		{header(ir.Exact, "vw"), header(ir.Prefix, "v"), true},
		{header(ir.Prefix, "v"), header(ir.Prefix, "vw"), false},
		{header(ir.Prefix, "v"), header(ir.Present, ""), true},
		{header(ir.Present, ""), header(ir.Exact, "v"), false},
		{claim("a"), claim("a"), true},
		{claim("a"), claim("b"), false},
	} {
		e, f := Entry{Conds: [][]ir.HTTPMatch{{c.d}}}, Entry{Conds: [][]ir.HTTPMatch{{c.c}}}
		if got := Implies(&e, &f); got != c.want {
			t.Errorf("%+v implies %+v: %t, want %t", c.d, c.c, got, c.want)
		}
	}
	if !Implies(&Entry{}, &Entry{}) || Implies(&Entry{}, &Entry{Conds: [][]ir.HTTPMatch{{methods("GET")}}}) {
		t.Error("what matches everything implies only what does, too")
	}
}
