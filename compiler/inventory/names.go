package inventory

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/source/manifest"
)

// CodeName is a name that no API server would take.
const CodeName diag.Code = "WEIR1041"

// named reports whether an object's names are names. They end up in file names, SPIFFE ids and proxies' resources, and
// the API server, which would have refused them, is not there before a merge.
func (r *reader) named(o *manifest.Object) bool {
	return r.name(o, "metadata.name", o.Name, validation.IsDNS1123Subdomain) &&
		r.name(o, "metadata.namespace", o.NamespaceOr(r.options.Namespace), validation.IsDNS1123Label)
}

// namedIn reports whether what a pod's spec names are names.
func (r *reader) namedIn(o *manifest.Object, path string, spec *corev1.PodSpec) bool {
	return r.name(o, path+".nodeName", spec.NodeName, validation.IsDNS1123Subdomain) &&
		r.name(o, path+".serviceAccountName", spec.ServiceAccountName, validation.IsDNS1123Subdomain)
}

// name checks one name; an empty one is another finding's.
func (r *reader) name(o *manifest.Object, path, value string, valid func(string) []string) bool {
	if value == "" || len(valid(value)) == 0 {
		return true
	}
	r.diags.Add(diag.Diagnostic{Code: CodeName, Severity: diag.Error, Pos: o.Pos(path), Message: fmt.Sprintf("%s %q is no name", path, value),
		Hint: "lower-case letters, digits and \"-\" (in names also \".\"), as the API server asks"})
	return false
}
