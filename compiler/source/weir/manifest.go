package weir

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/source/manifest"
	"github.com/weir-mesh/weir/schemas"
)

// FromManifest takes an object of the group from YAML or JSON, perhaps as the API server gave it out.
func FromManifest(o *manifest.Object) NamedObject {
	return NamedObject{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Object: manifestObject{o}}
}

type manifestObject struct{ *manifest.Object }

// Decode holds the object against the schema first: the same as CUE objects went through.
func (o manifestObject) Decode(into any) diag.List {
	var v map[string]any
	d := json.NewDecoder(bytes.NewReader(o.JSON))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return o.disagreement(err)
	}
	dropServerFields(v)
	var out diag.List
	if o.NamePath() != "metadata.name" { // of which the schema knows nothing
		out = o.CheckNames()
	}
	for _, p := range schemas.Check(o.Kind, v) {
		out.Add(o.problem(v, p))
	}
	if out.HasErrors() {
		return out
	}
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		return o.disagreement(err)
	}
	return nil
}

// disagreement is for what the schema and the Go types, which are generated from it, do not agree on.
func (o manifestObject) disagreement(err error) diag.List {
	return diag.List{{Code: manifest.CodeWrongType, Severity: diag.Error, Pos: o.Pos(""), Message: "cannot read the " + o.Kind + ": " + err.Error()}}
}

// serverMetadata are the fields of Kubernetes' ObjectMeta that our own has no use for.
var serverMetadata = []string{"generateName", "selfLink", "uid", "resourceVersion", "generation", "deletionTimestamp", "deletionGracePeriodSeconds",
	"ownerReferences", "finalizers", "managedFields"}

// dropServerFields leaves aside what the API server adds: fields of metadata beyond our own, and the status.
func dropServerFields(v map[string]any) {
	delete(v, "status")
	meta, ok := v["metadata"].(map[string]any)
	if !ok {
		return
	}
	for _, f := range serverMetadata {
		delete(meta, f)
	}
	if meta["creationTimestamp"] == nil {
		delete(meta, "creationTimestamp") // tools write null there
	}
}

// problem turns what the schema says into a finding at its place.
func (o manifestObject) problem(v any, p schemas.Problem) diag.Diagnostic {
	path, value := follow(v, p.Path)
	d := diag.Diagnostic{Code: CodeValue, Severity: diag.Error, Pos: o.Pos(path), Message: p.Message, Hint: p.Hint}
	switch value.(type) {
	case map[string]any, []any:
		d.Code = CodeRule
	}
	switch p.Class {
	case schemas.UnknownField:
		name := p.Path[len(p.Path)-1]
		d.Code, d.Pos, d.Message = CodeField, o.KeyPos(path), fmt.Sprintf("unknown field %q", name)
		known, _ := schemas.Fields(o.Kind, p.Path[:len(p.Path)-1]...)
		if d.Hint = manifest.DidYouMean(name, known); d.Hint == "" && len(known) > 0 {
			d.Hint = "the fields here are " + strings.Join(known, ", ")
		}
	case schemas.WrongType:
		d.Code, d.Message = CodeType, p.Path[len(p.Path)-1]+": "+p.Message
	case schemas.MissingField:
		d.Code = CodeMissing
	case schemas.WrongValue:
		if s, ok := value.(string); ok {
			d.Hint = manifest.NearestChoice(s, p.Message)
		}
	}
	return d
}

// follow turns the steps that lead to a place in a decoded value into a path, and returns what is there.
func follow(v any, steps []string) (path string, at any) {
	for _, s := range steps {
		switch x := v.(type) {
		case []any:
			path += "[" + s + "]"
			v = nil
			if i, err := strconv.Atoi(s); err == nil && i >= 0 && i < len(x) {
				v = x[i]
			}
			continue
		case map[string]any:
			v = x[s]
		default:
			v = nil
		}
		switch {
		case path == "":
			path = s
		case strings.ContainsAny(s, ".[/"):
			path += "[" + s + "]"
		default:
			path += "." + s
		}
	}
	return path, v
}
