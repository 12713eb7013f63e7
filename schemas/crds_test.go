package schemas_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/weir-mesh/weir/schemas"
)

// readCRD reads a kind's CRD as the API server holds it: decoded strictly, defaulted, converted.
func readCRD(t testing.TB, plural string) *apiextensions.CustomResourceDefinition {
	t.Helper()
	raw, err := schemas.CRDs.ReadFile("crds/" + plural + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	var v1 apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(raw, &v1); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	install.Install(scheme)
	scheme.Default(&v1)
	var internal apiextensions.CustomResourceDefinition
	if err := scheme.Convert(&v1, &internal, nil); err != nil {
		t.Fatal(err)
	}
	internal.Status.StoredVersions = []string{schemas.Version}
	return &internal
}

// TestCRDsAreAccepted runs the API server's own validation: structural schemas, CEL that compiles, the cost of each
// rule and of all of them within its limits.
func TestCRDsAreAccepted(t *testing.T) {
	for _, k := range schemas.Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			for _, err := range validation.ValidateCustomResourceDefinition(context.Background(), readCRD(t, k.Plural)) {
				t.Error(err)
			}
		})
	}
}

// TestLargeObjectsFitTheRuntimeBudget: the API server stops evaluating a document's rules at a cost that is far below
// what it lets a schema declare. The largest objects that fit into etcd (1.5 MiB) must stay below it.
func TestLargeObjectsFitTheRuntimeBudget(t *testing.T) {
	pods := `{"pods":{"matchLabels":{"app":"a","weir.dev/long-label-key":"value"}},"namespaces":{"matchExpressions":[{"key":"a","operator":"Exists"}]}}`
	cidr := `{"cidr":{"cidr":"2001:db8:1234:5678::/64","except":["2001:db8:1234:5678::/96","2001:db8:1234:5678:8000::/96"]}}`
	for name, rule := range map[string]string{
		"pods":     `{"action":"allow","from":[` + strings.Repeat(pods+",", 63) + pods + `],"ports":[{"port":1,"protocol":"TCP"}]}`,
		"cidrs":    `{"action":"allow","from":[` + strings.Repeat(cidr+",", 63) + cidr + `]}`,
		"ports":    `{"action":"allow","ports":[` + strings.Repeat(`{"port":1,"endPort":2,"protocol":"TCP"},`, 63) + `{"protocolNumber":47}]}`,
		"requests": `{"action":"allow","http":[` + strings.Repeat(`{"methods":["GET"],"path":{"prefix":"/a"},"headers":[{"name":"a","exact":"b"}]},`, 31) + `{"path":{"exact":"/"}}]}`,
	} {
		n := min(128, 1500*1024/len(rule))
		doc := fmt.Sprintf(`{"apiVersion":%q,"kind":"MeshPolicy","metadata":{"name":"a"},"spec":{"subject":{},"ingress":[%s]}}`,
			schemas.APIVersion, strings.Repeat(rule+",", n-1)+rule)
		if _, refused := newServer(t, "meshpolicies").create(t, []byte(doc)); len(refused) > 0 {
			t.Errorf("%s: %d rules, %d KiB: %v", name, n, len(doc)>>10, refused[0])
		}
	}
}

// TestColumns prints an object as kubectl get does.
func TestColumns(t *testing.T) {
	raw, err := schemas.CRDs.ReadFile("crds/meshpolicies.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(raw, &crd); err != nil {
		t.Fatal(err)
	}
	convertor, err := tableconvertor.New(crd.Spec.Versions[0].AdditionalPrinterColumns)
	if err != nil {
		t.Fatal(err)
	}
	obj, refused := newServer(t, "meshpolicies").create(t, toJSON(t, bases["policy"]))
	if len(refused) > 0 {
		t.Fatal(refused)
	}
	table, err := convertor.ConvertToTable(context.Background(), &unstructured.Unstructured{Object: obj}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var head []string
	for _, c := range table.ColumnDefinitions {
		head = append(head, strings.ToUpper(c.Name))
	}
	if got, want := strings.Join(head, " "), "NAME MODE ACCEPTED ENFORCED RULES AGE"; got != want {
		t.Errorf("the columns are %s, want %s", got, want)
	}
	cells := table.Rows[0].Cells
	if got := fmt.Sprint(cells[:5]); got != "[payments audit True 3/3 3]" {
		t.Errorf("the row is %s", got)
	}
}
