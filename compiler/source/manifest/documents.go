package manifest

import (
	"cmp"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document adds a document's object, or the objects of a list.
func (f *fileParse) document(n *yaml.Node) {
	f.object(n, "", "", 0)
}

// object adds one object; the list that holds it may say what it is.
func (f *fileParse) object(n *yaml.Node, apiVersion, kind string, depth int) {
	n = target(n)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		f.errorAt(CodeNotObject, f.src.span(n), "this is no Kubernetes object", "an object is a mapping with apiVersion, kind and metadata")
		return
	}
	saysKind, kindOK := f.word(n, "", "kind")
	saysVersion, versionOK := f.word(n, "", "apiVersion")
	if !kindOK || !versionOK {
		return
	}
	kind, apiVersion = cmp.Or(saysKind, kind), cmp.Or(saysVersion, apiVersion)
	apiVersion, kind, name := f.kustomization(apiVersion, kind)
	if kind == "" || apiVersion == "" {
		f.errorAt(CodeNotObject, f.src.span(n), "an object without "+missing(apiVersion), f.src.wayOut(n.Line, "a Kubernetes object says apiVersion and kind; keep other YAML elsewhere"))
		return
	}
	if _, items := child(n, "items"); items != nil && strings.HasSuffix(kind, "List") {
		f.list(target(items), apiVersion, kind, depth)
		return
	}
	e := encoder{file: f}
	if err := e.value(n, 0); err != nil {
		return // reported
	}
	o := &Object{APIVersion: apiVersion, Kind: kind, JSON: e.buf, src: f.src, node: n}
	if !f.names(o) {
		return
	}
	o.Name = cmp.Or(o.Name, name)
	if o.Name == "" {
		f.errorAt(CodeIncomplete, f.src.span(n), kind+" without metadata.name", "give it a name")
		return
	}
	f.objects = append(f.objects, o)
}

// list adds a list's items. Those of a typed list (NetworkPolicyList) may leave out what they are.
func (f *fileParse) list(items *yaml.Node, apiVersion, kind string, depth int) {
	itemVersion, itemKind := apiVersion, strings.TrimSuffix(kind, "List")
	if itemKind == "" {
		itemVersion = ""
	}
	switch {
	case depth >= f.limits.Depth:
		f.diags.Add(TooDeep(f.src.span(items), f.limits.Depth))
	case items.Kind == yaml.SequenceNode:
		for _, it := range items.Content {
			f.object(it, itemVersion, itemKind, depth+1)
		}
	case isNull(items):
	default:
		f.errorAt(CodeIncomplete, f.src.span(items), "items of "+kind+" is no list", "")
	}
}

func missing(apiVersion string) string {
	if apiVersion == "" {
		return "apiVersion"
	}
	return "kind"
}

// names fills in what the object's metadata calls it, and reports whether that could be read.
func (f *fileParse) names(o *Object) bool {
	_, meta := child(o.node, "metadata")
	if meta = target(meta); meta == nil || isNull(meta) {
		return true
	}
	if meta.Kind != yaml.MappingNode {
		f.wrongType(meta, "metadata", "a mapping")
		return false
	}
	name, nameOK := f.word(meta, "metadata.", "name")
	prefix, prefixOK := f.word(meta, "metadata.", "generateName")
	namespace, namespaceOK := f.word(meta, "metadata.", "namespace")
	o.Namespace, o.Name, o.generated = namespace, cmp.Or(name, prefix), name == "" && prefix != ""
	return nameOK && prefixOK && namespaceOK
}

// word is a field's text, empty where it is absent or null. What holds other values is no text, which is reported.
func (f *fileParse) word(n *yaml.Node, above, field string) (s string, ok bool) {
	_, v := child(n, field)
	switch v = target(v); {
	case v == nil || isNull(v):
		return "", true
	case v.Kind != yaml.ScalarNode:
		f.wrongType(v, above+field, "a string")
		return "", false
	}
	return v.Value, true
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func (f *fileParse) wrongType(n *yaml.Node, path, want string) {
	is := "a single value"
	switch n.Kind {
	case yaml.MappingNode:
		is = "a mapping"
	case yaml.SequenceNode:
		is = "a list"
	}
	f.errorAt(CodeWrongType, f.src.span(n), fmt.Sprintf("%s must be %s, not %s", path, want, is), "")
}
