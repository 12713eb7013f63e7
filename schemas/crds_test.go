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
	"github.com/weir-mesh/weir/test/documents"
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
// what it lets a schema declare. The largest objects must stay below it.
func TestLargeObjectsFitTheRuntimeBudget(t *testing.T) {
	for name, doc := range documents.Large() {
		if _, refused := newServer(t, "meshpolicies").create(t, doc); len(refused) > 0 {
			t.Errorf("%s (%d KiB): %v", name, len(doc)>>10, refused[0])
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
	obj, refused := newServer(t, "meshpolicies").create(t, documents.JSON(t, "policy"))
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
