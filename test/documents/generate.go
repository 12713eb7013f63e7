package documents

import (
	"math/rand/v2"
	"net/netip"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weir-mesh/weir/hack/gen/language"
	"github.com/weir-mesh/weir/schemas"
)

// words are what generated strings are taken from: good for some type, or bad for most.
var words = []string{
	"a", "A", "shop", "shop/web", "a.b", "a-b", "80", "x1", "GET", "/", "/v1", "/v1?x", "1s", "0s", "90m", "99999h99999h99999h99999h",
	"2027-01-31", "2027-02-31", "2027-01-31T00:00:00Z", "0000-01-01", "2026-01-02T03:04:05.5+01:00", "spiffe://a/b",
	"spiffe://a/*", "spiffe://a", "weir.dev/mesh", "*.a.b", "**.a.b", "*", "10.0.0.0/8", "10.0.0.1/8", "::/0", "::ffff:1.2.3.4/120",
	"1.2.3.4", "::1", "fe80::1%a", "", " ", "a b", "é", "a\nb", "\x00", "true", "null", "X-A", "'", `"`, `\`,
	strings.Repeat("a", 15), strings.Repeat("a", 16), strings.Repeat("a", 63), strings.Repeat("é", 63), strings.Repeat("a", 64), strings.Repeat("a", 254),
}

// Generator makes documents of the language's definitions: mostly good values, so that whole documents are accepted now
// and then.
type Generator struct {
	l *language.Language
	r *rand.Rand
	// bad is how often, of 1,000, a value breaks its constraints.
	bad int
}

// NewGenerator returns a generator that makes the same documents for the same seed.
func NewGenerator(l *language.Language, seed uint64) *Generator {
	return &Generator{l: l, r: rand.New(rand.NewPCG(seed, 0))}
}

// Document returns a document of a definition; of 1,000 values in it about bad break their constraints.
func (g *Generator) Document(kind string, bad int) map[string]any {
	g.bad = bad
	doc, _ := g.structure(g.l.Def(kind).Struct).(map[string]any)
	metadata(kind, doc)
	return doc
}

func (g *Generator) odds(n int) bool { return g.r.IntN(1000) < n }

func (g *Generator) value(t *language.Type) any {
	if g.odds(g.bad) && g.odds(200) {
		return []any{nil, true, 7, -1.5, "x", []any{}, map[string]any{}}[g.r.IntN(7)]
	}
	s, t := g.l.Resolve(t)
	if s != nil {
		return g.structure(s)
	}
	switch t.Kind {
	case language.List:
		out := []any{}
		for range g.size(t.MaxLen) {
			out = append(out, g.value(t.Elem))
		}
		return out
	case language.Map:
		out := map[string]any{}
		for range g.size(3) {
			_, key := g.l.Resolve(t.Key)
			out[g.text(key)] = g.value(t.Elem)
		}
		return out
	case language.Int:
		return g.integer(t)
	case language.Bool:
		return t.True || g.odds(500)
	default:
		return g.text(t)
	}
}

// size is mostly 1 or 2, at times 0, and at times above the bound.
func (g *Generator) size(limit int) int {
	switch {
	case g.odds(g.bad):
		return 0
	case limit < 20 && g.odds(g.bad/4):
		return limit + 1
	default:
		return 1 + g.r.IntN(8)/7*min(1, limit-1)
	}
}

func (g *Generator) structure(s *language.Struct) any {
	out := map[string]any{}
	fields := g.l.AllFields(s)
	for _, f := range fields {
		if f.Type.Const != "" {
			if g.odds(900) {
				out[f.Name] = f.Type.Const
			}
			continue
		}
		if f.Required && !g.odds(g.bad/4) || !f.Required && g.odds(min(300, 1300/len(fields))) {
			out[f.Name] = g.value(f.Type)
		}
	}
	if g.odds(g.bad / 8) {
		out["unknown"] = true
	}
	return out
}

func (g *Generator) integer(t *language.Type) any {
	if t.IntEnum != nil {
		if g.odds(g.bad) {
			return t.IntEnum[0] - 1
		}
		return t.IntEnum[g.r.IntN(len(t.IntEnum))]
	}
	if g.odds(g.bad) {
		return []int64{*t.Min - 1, min(*t.Max, 1<<53) + 1}[g.r.IntN(2)]
	}
	return []int64{*t.Min, *t.Max, *t.Min + (*t.Max-*t.Min)/2}[g.r.IntN(3)]
}

func (g *Generator) text(t *language.Type) string {
	if t.Const != "" {
		return t.Const
	}
	if t.Enum != nil && !g.odds(g.bad) {
		return t.Enum[g.r.IntN(len(t.Enum))]
	}
	for range 200 {
		w := words[g.r.IntN(len(words))]
		if g.odds(g.bad) || fits(t, w) {
			return w
		}
	}
	return "none of the words fits"
}

// fits is a rough judge: what it gets wrong only makes more refused documents.
func fits(t *language.Type, w string) bool {
	if n := utf8.RuneCountInString(w); n < t.MinLen || t.MaxLen > 0 && n > t.MaxLen {
		return false
	}
	for _, p := range t.Patterns {
		if !regexp.MustCompile(p).MatchString(w) {
			return false
		}
	}
	var err error
	switch t.Format {
	case "cidr":
		_, err = netip.ParsePrefix(w)
	case "ip":
		_, err = netip.ParseAddr(w)
	case "date-time":
		_, err = time.Parse(time.RFC3339, w)
	case "end":
		_, err = time.Parse(time.DateOnly, w)
	}
	return err == nil
}

// metadata puts in place what the CRD's schema does not see: the API server has its own rules for metadata, and asks
// for apiVersion and kind before it picks a schema.
func metadata(kind string, doc map[string]any) {
	if kind == "Test" {
		return
	}
	name := "a"
	if kind == "MeshConfig" {
		name = "default"
	}
	doc["apiVersion"], doc["kind"] = schemas.APIVersion, kind
	doc["metadata"] = map[string]any{"name": name}
}
