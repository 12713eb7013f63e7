package inventory

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/weir-mesh/weir/compiler/source/manifest"
)

// named reports whether an object's names are names.
func (r *reader) named(o *manifest.Object) bool {
	found := o.CheckNames()
	r.diags = append(r.diags, found...)
	return len(found) == 0
}

// namedIn reports whether what a pod's spec names are names.
func (r *reader) namedIn(o *manifest.Object, path string, spec *corev1.PodSpec) bool {
	found := o.CheckName(path+".nodeName", spec.NodeName, validation.IsDNS1123Subdomain)
	found = append(found, o.CheckName(path+".serviceAccountName", spec.ServiceAccountName, validation.IsDNS1123Subdomain)...)
	r.diags = append(r.diags, found...)
	return len(found) == 0
}
