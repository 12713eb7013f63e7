package manifest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
)

// Each value of a wrong type is named by the whole path that leads to it, at its place, whoever reads it.
func TestWrongTypes(t *testing.T) {
	for in, want := range map[string][]string{
		"metadata: {name: 5, labels: {t: yes, u/v: 5}}": {
			`1:18 metadata.name must be a string, not the number 5 (put it in quotes)`,
			`1:33 metadata.labels.t must be a string, not true or false (put it in quotes)`,
			`1:43 metadata.labels[u/v] must be a string, not the number 5 (put it in quotes)`},
		"metadata: {name: x, labels: [x]}":             {`1:29 metadata.labels must be a mapping, not a list ()`},
		"metadata: {name: x, labels: {a: {}}}":         {`1:33 metadata.labels.a must be a string, not a mapping ()`},
		"metadata: {name: x, creationTimestamp: 5}":    {`1:40 metadata.creationTimestamp must be a time such as 2027-01-31T18:00:00Z, not the number 5 ()`},
		"metadata: {name: x, creationTimestamp: now}":  {`1:40 metadata.creationTimestamp must be a time such as 2027-01-31T18:00:00Z, not "now" ()`},
		"metadata: {name: x, creationTimestamp: null}": nil,
		"spec: 7":                              {`1:7 spec must be a mapping, not the number 7 ()`},
		"spec: {containers: {name: c}}":        {`1:20 spec.containers must be a list, not a mapping ()`},
		"spec: {containers: [{name: c}, 3]}":   {`1:32 spec.containers[1] must be a mapping, not the number 3 ()`},
		"spec: {hostNetwork: \"true\"}":        {`1:21 spec.hostNetwork must be true or false, not a string (leave the quotes out)`},
		"spec: {hostNetwork: nope}":            {`1:21 spec.hostNetwork must be true or false, not a string ()`},
		"spec: {activeDeadlineSeconds: 1.5}":   {`1:31 spec.activeDeadlineSeconds must be a whole number, not the number 1.5 ()`},
		"spec: {priority: 99999999999}":        {`1:18 spec.priority must be from -2147483648 to 2147483647, not the number 99999999999 ()`},
		"spec: {priority: \"1\"}":              {`1:18 spec.priority must be a whole number, not a string (leave the quotes out)`},
		"spec: {overhead: {cpu: abc, m: [1]}}": {`1:24 spec.overhead.cpu must be a quantity, not "abc" ()`, `1:32 spec.overhead.m must be a quantity, not a list ()`},
	} {
		checkDecode(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n", in, &corev1.Pod{}, want)
	}
	for in, want := range map[string][]string{
		"spec: {podSelector: {matchLabels: {a: on}}}": {`1:39 spec.podSelector.matchLabels.a must be a string, not true or false (put it in quotes)`},
		"spec: {ingress: {}}":                         {`1:17 spec.ingress must be a list, not a mapping ()`},
		"spec: {ingress: [{ports: [{port: true}, {port: 80}, {port: [1]}]}]}": {`1:34 spec.ingress[0].ports[0].port must be a number or a string, not true or false ()`,
			`1:60 spec.ingress[0].ports[2].port must be a number or a string, not a list ()`},
	} {
		checkDecode(t, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\n", in, &netv1.NetworkPolicy{}, want)
	}
}

// checkDecode reads what a first line says beside what the head says of the object.
func checkDecode(t *testing.T, head, in string, into any, want []string) {
	t.Helper()
	if strings.HasPrefix(in, "metadata") {
		head = strings.Replace(head, "metadata: {name: x}\n", "", 1)
	}
	objs, diags := Parse("p.yaml", []byte(in+"\n"+head), Limits{})
	if len(objs) != 1 || len(diags) > 0 {
		t.Fatalf("%s: %v", in, show(objs, diags))
	}
	found := objs[0].DecodeStrict(into)
	found.Sort()
	var got []string
	for _, d := range found {
		got = append(got, strings.Replace(strings.TrimPrefix(d.Error(), "p.yaml:"), ": error WEIR1034:", "", 1)+" ("+d.Hint+")")
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s: -want +got\n%s", in, d)
	}
}
