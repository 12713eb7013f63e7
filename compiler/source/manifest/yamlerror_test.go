package manifest

import (
	"strings"
	"testing"
)

// The place of what is not YAML is that of the mistake, not of what holds it, and is always there.
func TestSyntaxPlace(t *testing.T) {
	const (
		rest     = "nothing after this place in the file was read"
		spaces   = "indent with spaces: a tab is no indentation in YAML"
		template = "this is a template, not YAML yet: read what is made of it, as in helm template CHART | weir check -"
	)
	many := strings.Repeat("a: {b: [1, \"2\"]}\n---\n", 1000)
	for _, tt := range []struct{ in, want, hint string }{
		{"\tkind: A\n", "1:1 found character that cannot start any token", spaces},
		{"a:\n  b: 1\n\tc: 2\n", "3:1 found a tab character that violates indentation", spaces},
		{"a: @b\n", "1:4 found character that cannot start any token", rest},
		{"a: b\nc: \x1b[0m\n", "2:4 control characters are not allowed", rest},
		{"a: 1\nb: c: d\n", "2:5 mapping values are not allowed in this context", rest},
		{"a: 1\nb:\n  c: 1\n d: 2\n", "4:2 did not find expected key", rest}, // in a mapping that begins in line 1
		{"a: b\n---\na: 1\nb:\n  c: 1\n d: 2\n", "6:2 did not find expected key", rest},
		{"- a\n- b\nc: d\n", "3:2 did not find expected '-' indicator", rest},
		{"a: 'x'\nb: 'y' z\nc: d\n", "2:8 did not find expected key", rest}, // seen only in the next line
		{"a: b\nkind: [x\n---\na: b\n", "2:8 did not find expected ',' or ']'", rest},
		{"a: b\n---\na: [1,\n  2,\n  b: c\nd: e\n", "5:6 did not find expected ',' or ']'", rest},
		{"a: {x: 1\nb: 2\n", "1:8 did not find expected ',' or '}'", rest},
		{"a: \"b\"\nc: \"d\ne: f\n" + strings.Repeat("g: h\n", 100), "2:4 found unexpected end of stream", rest},
		{"{kind: A,\n b: [}\n", "2:6 did not find expected node content", rest},
		{"{\n\"kind\": \"A\",\n\"a\": [1,\n2],\n\"b\": [3,,\n4]}\n", "5:9 did not find expected node content", rest},
		{"{\n\"a\": 1,\n\"b\": 2\n\"c\": 3\n}\n", "3:6 did not find expected ',' or '}'", rest}, // the comma is missing in line 3
		{"a: [\n  x,\n  y\n]\nb: 1\nc: [1,\n  2\nd: e\n", "7:3 did not find expected ',' or ']'", rest},
		{"é: é\nü: \"é\" é\n", "2:10 did not find expected key", rest},
		{"a: b\r\nc: [\r\nd: e\r\n", "3:4 did not find expected ',' or ']'", rest},
		{"a: b\nc: *d\n", "2:5 unknown anchor 'd' referenced", rest},
		{"%YAML 3.0\n---\na: b\n", "1:9 found incompatible YAML document", rest},
		{many + "a: [\n", "2001:4 did not find expected node content", rest},
		{"a: [" + strings.Repeat("x,", maxSearch) + "\n  y\nb: c\n", "3:0 did not find expected ',' or ']'", rest}, // too much to search
		{"{{- if .Values.x }}\na: b\n", "1:3 did not find expected node content", template},
		{"a: b\n{{ include \"c\" . | nindent 4 }}\n", "2:1 could not find expected ':'", template},
		{"a: b\nc: {{ .Values.x }}-y\n", "2:20 did not find expected key", template},
	} {
		_, diags := Parse("a.yaml", []byte(tt.in), Limits{})
		if len(diags) == 0 || diags[len(diags)-1].Code != CodeSyntax {
			t.Errorf("%.40q: found %v", tt.in, showDiags(diags))
			continue
		}
		d := diags[len(diags)-1]
		want := "a.yaml:" + strings.Replace(strings.Replace(tt.want, ":0 ", " ", 1), " ", ": error WEIR1030: not YAML: ", 1)
		if got := d.Error(); got != want || d.Hint != tt.hint {
			t.Errorf("%.40q:\n got %s (%s)\nwant %s (%s)", tt.in, got, d.Hint, want, tt.hint)
		}
	}
}

// What parses may still be a template.
func TestTemplate(t *testing.T) {
	for _, in := range []string{"{{ .Values.object }}\n", "apiVersion: v1\nkind: A\nmetadata: {name: {{ .Values.name }}}\n"} {
		_, diags := Parse("a.yaml", []byte(in), Limits{})
		if len(diags) != 1 || !strings.Contains(diags[0].Hint, "helm template") {
			t.Errorf("%q: found %v, want one finding that says what a template is", in, showDiags(diags))
		}
	}
}
