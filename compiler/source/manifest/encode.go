package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/weir-mesh/weir/compiler/diag"
)

// encoder writes a node as JSON, by the rules of sigs.k8s.io/yaml, which kubectl uses: keys become strings, and the
// plain words yes, no, on and off are booleans.
type encoder struct {
	file *fileParse
	buf  []byte
	// inAlias is above 0 while inside what an alias repeats.
	inAlias int
}

// errReported says that the finding was added already.
var errReported = errors.New("reported")

func (e *encoder) fail(code diag.Code, n *yaml.Node, message, hint string) error {
	e.file.errorAt(code, e.file.src.span(n), message, hint)
	return errReported
}

func (e *encoder) tooDeep(n *yaml.Node) error {
	e.file.diags.Add(TooDeep(e.file.src.span(n), e.file.limits.Depth))
	return errReported
}

func (e *encoder) value(n *yaml.Node, depth int) error {
	if depth > e.file.limits.Depth {
		return e.tooDeep(n)
	}
	if n.Kind == yaml.AliasNode {
		e.inAlias++
		defer func() { e.inAlias-- }()
		return e.value(n.Alias, depth+1)
	}
	if e.inAlias > 0 {
		if e.file.aliases--; e.file.aliases < 0 {
			return e.fail(CodeLimit, n, fmt.Sprintf("aliases repeat more than %d values (limit on aliases)", e.file.limits.AliasNodes), "write the values out")
		}
	}
	switch n.Kind {
	case yaml.MappingNode:
		return e.mapping(n, depth)
	case yaml.SequenceNode:
		e.buf = append(e.buf, '[')
		for i, c := range n.Content {
			if i > 0 {
				e.buf = append(e.buf, ',')
			}
			if err := e.value(c, depth+1); err != nil {
				return err
			}
		}
		e.buf = append(e.buf, ']')
		return nil
	case yaml.ScalarNode:
		return e.scalar(n)
	}
	return e.fail(CodeSyntax, n, "a value is missing", "")
}

func (e *encoder) mapping(n *yaml.Node, depth int) error {
	pairs, err := e.pairs(n, depth)
	if err != nil {
		return err
	}
	e.buf = append(e.buf, '{')
	for i, p := range pairs {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.string(p.name)
		e.buf = append(e.buf, ':')
		if err := e.value(p.value, depth+1); err != nil {
			return err
		}
	}
	e.buf = append(e.buf, '}')
	return nil
}

// pair is one field of a mapping.
type pair struct {
	name       string
	key, value *yaml.Node
}

// pairs returns a mapping's fields with merged ones behind the explicit, which win, as do earlier merges over later.
func (e *encoder) pairs(n *yaml.Node, depth int) ([]pair, error) {
	if depth > e.file.limits.Depth {
		return nil, e.tooDeep(n)
	}
	out := make([]pair, 0, len(n.Content)/2)
	at := make(map[string]int, len(n.Content)/2)
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.ShortTag() == "!!merge" {
			merges = append(merges, v)
			continue
		}
		name, ok := keyName(k)
		if !ok {
			return nil, e.fail(CodeSyntax, k, "a key must be a string", e.file.src.wayOut(k.Line, ""))
		}
		if first, repeated := at[name]; repeated {
			e.file.diags.Add(diag.Diagnostic{Code: CodeDuplicate, Severity: diag.Error, Pos: e.file.src.span(k),
				Message: fmt.Sprintf("field %q is given twice", name), Hint: "keep one of the two",
				Related: []diag.Related{{Pos: e.file.src.span(out[first].key), Message: "first given here"}}})
			continue
		}
		at[name] = len(out)
		out = append(out, pair{name, k, v})
	}
	for _, m := range merges {
		merged, err := e.merged(m, depth)
		if err != nil {
			return nil, err
		}
		for _, p := range merged {
			if _, given := at[p.name]; !given {
				at[p.name] = len(out)
				out = append(out, p)
			}
		}
	}
	return out, nil
}

func (e *encoder) merged(m *yaml.Node, depth int) ([]pair, error) {
	target := m
	if m.Kind == yaml.AliasNode {
		target = m.Alias
	}
	if e.file.aliases -= len(target.Content); e.file.aliases < 0 {
		return nil, e.fail(CodeLimit, m, fmt.Sprintf("aliases repeat more than %d values (limit on aliases)", e.file.limits.AliasNodes), "write the values out")
	}
	switch target.Kind {
	case yaml.MappingNode:
		return e.pairs(target, depth+1)
	case yaml.SequenceNode:
		var out []pair
		for _, c := range target.Content {
			ps, err := e.merged(c, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, ps...)
		}
		return out, nil
	}
	return nil, e.fail(CodeSyntax, m, "a merge needs a mapping", "")
}

// keyName is a key as JSON has it.
func keyName(k *yaml.Node) (string, bool) {
	if k.Kind == yaml.AliasNode {
		k = k.Alias
	}
	if k.Kind != yaml.ScalarNode {
		return "", false
	}
	switch k.ShortTag() {
	case "!!str":
		if b, isBool := plainBool(k); isBool {
			return strconv.FormatBool(b), true
		}
		return k.Value, true
	case "!!int", "!!float", "!!bool", "!!timestamp":
		return k.Value, true
	}
	return "", false
}

func (e *encoder) scalar(n *yaml.Node) error {
	switch tag := n.ShortTag(); tag {
	case "!!str", "!!timestamp":
		if b, isBool := plainBool(n); isBool {
			e.buf = strconv.AppendBool(e.buf, b)
		} else {
			e.string(n.Value)
		}
		return nil
	case "!!null":
		e.buf = append(e.buf, "null"...)
		return nil
	case "!!bool", "!!int", "!!float":
		if tag != "!!bool" && json.Valid([]byte(n.Value)) {
			e.buf = append(e.buf, n.Value...)
			return nil
		}
		var v any
		if err := n.Decode(&v); err != nil {
			return e.fail(CodeSyntax, n, fmt.Sprintf("%q is no %s", clip(n.Value), tag[2:]), "quote it if it is a string")
		}
		b, err := json.Marshal(v)
		if err != nil {
			return e.fail(CodeSyntax, n, fmt.Sprintf("%q has no form in JSON", clip(n.Value)), "quote it if it is a string")
		}
		e.buf = append(e.buf, b...)
		return nil
	default:
		return e.fail(CodeSyntax, n, fmt.Sprintf("the tag %s means nothing in Kubernetes", clip(tag)), "write the value without a tag")
	}
}

// plainBool knows YAML 1.1's other booleans, where they stand without quotes.
func plainBool(n *yaml.Node) (value, ok bool) {
	if n.Style != 0 {
		return false, false
	}
	switch n.Value {
	case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON":
		return true, true
	case "n", "N", "no", "No", "NO", "off", "Off", "OFF":
		return false, true
	}
	return false, false
}

func (e *encoder) string(s string) {
	plain := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			plain = false
			break
		}
	}
	if plain {
		e.buf = append(append(append(e.buf, '"'), s...), '"')
		return
	}
	b, _ := json.Marshal(s) // a string always has a form
	e.buf = append(e.buf, b...)
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
