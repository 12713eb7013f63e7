//go:build linux

package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"testing"
	"time"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/weir-mesh/weir/internal/built"
	"github.com/weir-mesh/weir/internal/strict"
	"github.com/weir-mesh/weir/schemas"
	"github.com/weir-mesh/weir/test/documents"
)

// The tests of this package share one API server, as starting one costs seconds.
var shared struct {
	*Server
	*client
	// missing is why there is none.
	missing error
}

func TestMain(m *testing.M) {
	if os.Getenv(endsAs) != "" {
		leaveChildBehind()
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	bin, err := built.Dir("../..", "kube", "etcd", "kube-apiserver")
	if err != nil {
		shared.missing = err
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "weir-apiserver-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	began := time.Now()
	if shared.Server, err = Start(ctx, bin, dir, "nobody"); err != nil {
		fmt.Fprintln(os.Stderr, "starting the API server:", err)
		return 1
	}
	defer shared.Stop()
	if shared.client, err = newClient(shared.Config(Admin)); err == nil {
		err = install(ctx, shared.client)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "preparing the API server:", err)
		return 1
	}
	fmt.Printf("the API server started and serves Weir's kinds after %v\n", time.Since(began).Round(100*time.Millisecond))
	code := m.Run()
	if used, err := shared.Memory(); err == nil {
		fmt.Printf("at most resident: etcd %d MB, kube-apiserver %d MB\n", used["etcd"]>>20, used["kube-apiserver"]>>20)
	}
	return code
}

// live returns a client of the API server, which serves Weir's kinds.
func live(t *testing.T) *client {
	t.Helper()
	if shared.missing != nil {
		strict.Skip(t, shared.missing)
	}
	return shared.client
}

const crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

// install creates the CRDs and waits until their kinds are served.
func install(ctx context.Context, c *client) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := ensureNamespace(ctx, c, "shop"); err != nil {
		return err
	}
	for _, k := range schemas.Kinds() {
		text, err := schemas.CRDs.ReadFile("crds/" + k.Plural + ".yaml")
		if err != nil {
			return err
		}
		doc, err := yaml.YAMLToJSONStrict(text)
		if err != nil {
			return err
		}
		if _, err := c.create(ctx, crds, doc); err != nil {
			return fmt.Errorf("creating the CRD of %s: %w", k.Name, err)
		}
	}
	for _, k := range schemas.Kinds() {
		for {
			_, err := c.get(ctx, "/apis/"+schemas.APIVersion+"/"+k.Plural)
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return errors.Join(ctx.Err(), err)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

func ensureNamespace(ctx context.Context, c *client, name string) error {
	doc := fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, name)
	_, err := c.apply(ctx, "/api/v1/namespaces/"+name, []byte(doc))
	return err
}

// TestCRDsAreEstablished: the API server serves each kind, found nothing wrong with its schema, and has the schema that
// was sent: the CEL rules are within its limits of cost, or it would have refused them.
func TestCRDsAreEstablished(t *testing.T) {
	c := live(t)
	for _, k := range schemas.Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			text, err := schemas.CRDs.ReadFile("crds/" + k.Plural + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			var want, got apiextensions.CustomResourceDefinition
			if err := yaml.UnmarshalStrict(text, &want); err != nil {
				t.Fatal(err)
			}
			answer, err := c.get(t.Context(), crds+"/"+k.Plural+"."+schemas.Group)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(answer, &got); err != nil {
				t.Fatal(err)
			}
			conditions := map[apiextensions.CustomResourceDefinitionConditionType]apiextensions.ConditionStatus{}
			for _, cond := range got.Status.Conditions {
				conditions[cond.Type] = cond.Status
			}
			healthy := map[apiextensions.CustomResourceDefinitionConditionType]apiextensions.ConditionStatus{
				apiextensions.NamesAccepted: apiextensions.ConditionTrue, apiextensions.Established: apiextensions.ConditionTrue,
			}
			if !reflect.DeepEqual(conditions, healthy) {
				t.Errorf("the conditions are %v", got.Status.Conditions)
			}
			if !reflect.DeepEqual(got.Spec.Versions, want.Spec.Versions) {
				t.Error("the API server has another schema than was sent")
			}
		})
	}
}

// TestLargeObjects creates the largest objects: the cost of their CEL rules is within what the API server spends on one.
func TestLargeObjects(t *testing.T) {
	c := live(t)
	for name, doc := range documents.Large() {
		o := object(t, "MeshPolicy", doc)
		if err := o.create(t.Context(), c); err != nil {
			t.Errorf("%s (%d KiB): %v", name, len(doc)>>10, err)
			continue
		}
		if err := c.remove(t.Context(), o.path); err != nil {
			t.Fatal(err)
		}
	}
}
