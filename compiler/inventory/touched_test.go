package inventory

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/compiler/source/manifest"
)

// TestTouched: whom an object that is not understood may touch (S33).
func TestTouched(t *testing.T) {
	const pods = `
apiVersion: v1
kind: Namespace
metadata: {name: a, labels: {team: x}}
---
apiVersion: v1
kind: Pod
metadata: {name: one, namespace: a, ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: web, controller: true, uid: u}]}
---
apiVersion: v1
kind: Pod
metadata: {name: two, namespace: a}
---
apiVersion: v1
kind: Pod
metadata: {name: three, namespace: b}
---
`
	for name, c := range map[string]struct{ object, want string }{
		"nothing":                    {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n", ""},
		"of its namespace":           {"apiVersion: k8s.ovn.org/v1\nkind: UserDefinedNetwork\nmetadata: {name: u, namespace: a}\n", "one two"},
		"by a selector":              {"apiVersion: k8s.ovn.org/v1\nkind: ClusterUserDefinedNetwork\nmetadata: {name: u}\nspec: {namespaceSelector: {matchLabels: {team: x}}}\n", "one two"},
		"by a selector of all":       {"apiVersion: k8s.ovn.org/v1\nkind: ClusterUserDefinedNetwork\nmetadata: {name: u}\nspec: {namespaceSelector: {}}\n", "one two three"},
		"by none":                    {"apiVersion: k8s.ovn.org/v1\nkind: ClusterUserDefinedNetwork\nmetadata: {name: u}\n", "one two three"},
		"by a selector that is none": {"apiVersion: k8s.ovn.org/v1\nkind: ClusterUserDefinedNetwork\nmetadata: {name: u}\nspec: {namespaceSelector: {matchExpressions: [{key: k, operator: Odd}]}}\n", "one two three"},
		"in doubt all":               {"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: u, namespace: b}\n", "one two three"},
		"an unknown kind":            {"apiVersion: example.org/v2\nkind: Widget\nmetadata: {name: u, namespace: b}\n", "one two three"},
		"an annotated pod":           {"apiVersion: v1\nkind: Pod\nmetadata: {name: four, namespace: a, annotations: {k8s.v1.cni.cncf.io/networks: fast}}\n", "four"},
		"an annotated workload": {"apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: web, namespace: a}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}, annotations: {k8s.v1.cni.cncf.io/networks: fast}}, spec: {containers: [{name: c, image: i}]}}}\n",
			"one web"},
		"a labelled namespace": {"apiVersion: v1\nkind: Namespace\nmetadata: {name: b, labels: {k8s.ovn.org/primary-user-defined-network: \"\"}}\n", "three"},
	} {
		t.Run(name, func(t *testing.T) {
			objects, diags := manifest.Parse("a.yaml", []byte(pods+c.object), manifest.Limits{})
			if len(diags) > 0 {
				t.Fatal(diags)
			}
			inv, _, diags := Read(objects, Options{Lenient: true})
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			var got []string
			for _, p := range inv.Pods {
				if p.Touched != "" {
					got = append(got, p.Name)
				}
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("touched %s, want %s", fmt.Sprint(got), c.want)
			}
		})
	}
}
