package inventory

import (
	"strings"
	"testing"

	"github.com/weir-mesh/weir/compiler/source/manifest"
)

// TestNames gives names that would lead out of a folder, or paint a terminal, to everything that has one.
func TestNames(t *testing.T) {
	for what, in := range map[string]string{
		"a node":                 "apiVersion: v1\nkind: Node\nmetadata: {name: ../../evil}\n",
		"a namespace":            "apiVersion: v1\nkind: Namespace\nmetadata: {name: ../x}\n",
		"a namespace with a dot": "apiVersion: v1\nkind: Namespace\nmetadata: {name: a.b}\n",
		"a pod":                  "apiVersion: v1\nkind: Pod\nmetadata: {name: \"a\\e[31mX\"}\nspec: {containers: []}\n",
		"a pod's namespace":      "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: a.b}\nspec: {containers: []}\n",
		"a pod's node":           "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {nodeName: ../../evil, containers: []}\n",
		"a template's account":   "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {template: {spec: {serviceAccountName: a/b, containers: []}}}\n",
		"a cron job's account":   "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: a}\nspec: {jobTemplate: {spec: {template: {spec: {serviceAccountName: a/b, containers: []}}}}}\n",
		"a service":              "apiVersion: v1\nkind: Service\nmetadata: {name: A}\nspec: {ports: [{port: 1}]}\n",
		"an endpoint slice":      "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a_b}\naddressType: IPv4\nendpoints: []\n",
		"a service account":      "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, namespace: \"B\"}\n",
	} {
		t.Run(what, func(t *testing.T) {
			shown, _, found := read(t, in, Options{})
			if len(found) != 1 || !strings.Contains(found[0], string(manifest.CodeName)) {
				t.Errorf("found %q, want one %s", found, manifest.CodeName)
			}
			for _, line := range shown {
				if strings.Contains(line, "evil") || strings.HasPrefix(line, "pod ") {
					t.Errorf("read all the same: %s", line)
				}
			}
		})
	}
}

// TestAllNames gives each of an object's names a fault, and one value a wrong type: no finding hides another.
func TestAllNames(t *testing.T) {
	for what, in := range map[string]string{
		"a pod":        "kind: Pod\nmetadata: {name: A, namespace: a.b}\nspec: {nodeName: N_1, serviceAccountName: a/b, hostNetwork: 1, containers: []}\n",
		"a deployment": "kind: Deployment\nmetadata: {name: A, namespace: a.b}\nspec: {template: {spec: {nodeName: N_1, serviceAccountName: a/b, hostNetwork: 1, containers: []}}}\n",
	} {
		version := "apiVersion: v1\n"
		if what == "a deployment" {
			version = "apiVersion: apps/v1\n"
		}
		_, _, found := read(t, version+in, Options{})
		all := strings.Join(found, "\n")
		for _, want := range []string{`metadata.name "A"`, `metadata.namespace "a.b"`, `nodeName "N_1"`, `serviceAccountName "a/b"`, "hostNetwork must be"} {
			if !strings.Contains(all, want) {
				t.Errorf("%s: nothing about %s in\n%s", what, want, all)
			}
		}
	}
}
