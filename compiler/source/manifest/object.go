package manifest

import (
	"bytes"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/weir-mesh/weir/compiler/diag"
)

// Object is one Kubernetes object as it was written.
type Object struct {
	APIVersion, Kind string
	// Namespace is as written: empty where the file says none. Name is metadata.name, else metadata.generateName.
	Namespace, Name string
	// JSON is the whole object.
	JSON []byte

	generated bool // Name is metadata.generateName
	src       *source
	node      *yaml.Node
}

// Group is the API group; empty is the core group.
func (o *Object) Group() string {
	if g, _, ok := strings.Cut(o.APIVersion, "/"); ok {
		return g
	}
	return ""
}

// NamespaceOr is the namespace, or what stands for none.
func (o *Object) NamespaceOr(def string) string {
	if o.Namespace == "" {
		return def
	}
	return o.Namespace
}

// Ref prints "Kind namespace/name" as written.
func (o *Object) Ref() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// Pos is the place of the field at a path such as spec.ingress[0].ports[1].port or metadata.labels[app.example/x];
// of the nearest field above it where the path ends early; of the object for the empty path.
func (o *Object) Pos(path string) diag.Position { return o.find(path, false) }

// KeyPos is the place of the field's name rather than its value.
func (o *Object) KeyPos(path string) diag.Position { return o.find(path, true) }

func (o *Object) find(path string, key bool) diag.Position {
	n := o.node
	at := n
	for _, step := range steps(path) {
		k, v := child(n, step)
		if v == nil {
			break
		}
		n, at = v, v
		if key {
			at = k
		}
	}
	p := o.src.span(at)
	p.Object, p.Path = o.Ref(), path
	return p
}

// steps splits a path at dots outside brackets, and at brackets.
func steps(path string) []string {
	var out []string
	for path != "" {
		var step string
		switch path[0] {
		case '.':
			path = path[1:]
			continue
		case '[':
			step, path, _ = strings.Cut(path[1:], "]")
		default:
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			step, path = path[:end], path[end:]
		}
		out = append(out, step)
	}
	return out
}

// child finds a field or element; the key of an element is itself.
func child(n *yaml.Node, step string) (key, value *yaml.Node) {
	budget := 1000
	return childWithin(n, step, &budget)
}

// childWithin looks into at most budget mappings: merges can repeat each other without end.
func childWithin(n *yaml.Node, step string, budget *int) (key, value *yaml.Node) {
	n = target(n)
	if *budget--; *budget < 0 || n == nil {
		return nil, nil
	}
	if n.Kind == yaml.SequenceNode {
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i], n.Content[i]
		}
		return nil, nil
	}
	if n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if name, ok := keyName(n.Content[i]); ok && name == step {
			return n.Content[i], n.Content[i+1]
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].ShortTag() != "!!merge" {
			continue
		}
		merged := []*yaml.Node{n.Content[i+1]}
		if t := target(n.Content[i+1]); t != nil && t.Kind == yaml.SequenceNode {
			merged = t.Content
		}
		for _, m := range merged {
			if k, v := childWithin(m, step, budget); v != nil {
				return k, v
			}
		}
	}
	return nil, nil
}

func target(n *yaml.Node) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.AliasNode && i < 100; i++ {
		n = n.Alias
	}
	return n
}

// span is a node's place; its end is known for a scalar on one line.
func (s *source) span(n *yaml.Node) diag.Position {
	p := s.position(n.Line, n.Column)
	if n.Kind != yaml.ScalarNode || n.Line < 1 || n.Line > len(s.lines) {
		return p
	}
	text := n.Value
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		text = strconv.Quote(text)
	}
	rest := s.data[min(s.lines[n.Line-1]+p.Col-1, len(s.data)):]
	switch {
	case bytes.HasPrefix(rest, []byte(text)):
		p.EndCol = p.Col + len(text)
	case len(rest) > 0 && rest[0] == '\'' && bytes.HasPrefix(rest[1:], []byte(n.Value)):
		p.EndCol = p.Col + len(n.Value) + 2
	}
	return p
}
