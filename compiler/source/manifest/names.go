package manifest

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/weir-mesh/weir/compiler/diag"
)

// CodeName is a name that no API server would take.
const CodeName diag.Code = "WEIR1041"

// CheckNames reports the object's own names that are none. They end up in file names, SPIFFE ids and proxies' resources,
// and the API server, which would have refused them, is not there before a merge.
func (o *Object) CheckNames() diag.List {
	of := validation.IsDNS1123Subdomain
	if o.Kind == "Namespace" && o.Group() == "" {
		of = validation.IsDNS1123Label
	}
	wrong := func(name string) []string {
		if o.generated {
			name += "x" // the API server appends letters and digits
		}
		return of(name)
	}
	out := append(o.CheckName(o.NamePath(), o.Name, wrong), o.CheckName("metadata.namespace", o.Namespace, validation.IsDNS1123Label)...)
	out.Sort()
	return out
}

// CheckName reports what a field names if that is no name; an empty one is another finding's.
func (o *Object) CheckName(path, value string, wrong func(string) []string) diag.List {
	if value == "" || len(wrong(value)) == 0 {
		return nil
	}
	return diag.List{{Code: CodeName, Severity: diag.Error, Pos: o.Pos(path), Message: fmt.Sprintf("%s %q is no name", path, value), Hint: NameHint}}
}

// NameHint says what a name is.
const NameHint = `lower-case letters, digits and "-" (in names also "."), as the API server asks`

// NamePath is the field that Name is from.
func (o *Object) NamePath() string {
	if o.generated {
		return "metadata.generateName"
	}
	return "metadata.name"
}
