package schemas_test

import (
	"context"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
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
