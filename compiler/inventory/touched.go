package inventory

import (
	"encoding/json"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	klabels "k8s.io/apimachinery/pkg/labels"

	"github.com/weir-mesh/weir/compiler/source/manifest"
)

// touch is an object that was not understood, and whom it may touch (S33): in doubt every pod.
type touch struct {
	object string
	// namespaces says which namespaces' pods; nil is all of them.
	namespaces func(*Namespace) bool
	// owner, when not empty, leaves of these only the pods of that name, or of a workload of that name, where there are any.
	owner string
}

func inNamespace(name string) func(*Namespace) bool {
	return func(n *Namespace) bool { return n.Name == name }
}

// touchOf is whom an object of a kind that is not understood may touch. What has effect only in its own namespace by its
// API's definition is listed; of all else nothing is known.
func (r *reader) touchOf(o *manifest.Object) touch {
	t := touch{object: o.Ref()}
	switch o.Group() + "/" + o.Kind {
	case "k8s.cni.cncf.io/NetworkAttachmentDefinition", "k8s.cni.cncf.io/MultiNetworkPolicy", "k8s.ovn.org/UserDefinedNetwork":
		t.namespaces = inNamespace(o.NamespaceOr(r.options.Namespace))
	case "k8s.ovn.org/ClusterUserDefinedNetwork":
		var c struct {
			Spec struct{ NamespaceSelector *metav1.LabelSelector }
		}
		if json.Unmarshal(o.JSON, &c) != nil || c.Spec.NamespaceSelector == nil {
			break
		}
		if s, err := metav1.LabelSelectorAsSelector(c.Spec.NamespaceSelector); err == nil {
			t.namespaces = func(n *Namespace) bool { return s.Matches(klabels.Set(n.Labels)) }
		}
	}
	return t
}

// touchPods marks the pods that what was not understood may touch, each with the first such object.
func (r *reader) touchPods() {
	spaces := map[string]*Namespace{}
	for i := range r.inv.Namespaces {
		spaces[r.inv.Namespaces[i].Name] = &r.inv.Namespaces[i]
	}
	for _, t := range r.touches {
		var pods, owned []*Pod
		for i := range r.inv.Pods {
			p := &r.inv.Pods[i]
			if t.namespaces != nil && !t.namespaces(spaces[p.Namespace]) {
				continue
			}
			pods = append(pods, p)
			// A Deployment's pods may be annotated by way of its ReplicaSet.
			if p.Name == t.owner || p.Workload.Name == t.owner || strings.HasPrefix(t.owner, p.Workload.Name+"-") {
				owned = append(owned, p)
			}
		}
		if len(owned) > 0 {
			pods = owned
		}
		for _, p := range pods {
			if p.Touched == "" {
				p.Touched = t.object
			}
		}
	}
}
