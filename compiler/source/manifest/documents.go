package manifest

import (
	"cmp"
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
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		f.errorAt(CodeNotObject, f.src.span(n), "this is no Kubernetes object", "an object is a mapping with apiVersion, kind and metadata")
		return
	}
	if v := text(n, "kind"); v != "" {
		kind = v
	}
	if v := text(n, "apiVersion"); v != "" {
		apiVersion = v
	}
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
	o := &Object{APIVersion: apiVersion, Kind: kind, Name: name, JSON: e.buf, src: f.src, node: n}
	if _, meta := child(n, "metadata"); meta != nil {
		o.Namespace, o.Name = text(meta, "namespace"), cmp.Or(text(meta, "name"), text(meta, "generateName"), name)
	}
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
	case items.Kind == yaml.ScalarNode && items.ShortTag() == "!!null":
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

// text is a field's string, empty when it is absent or no string.
func text(n *yaml.Node, field string) string {
	_, v := child(n, field)
	if v = target(v); v == nil || v.Kind != yaml.ScalarNode || v.ShortTag() == "!!null" {
		return ""
	}
	return v.Value
}
