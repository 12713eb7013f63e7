//go:build linux

package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/weir-mesh/weir/schemas"
	"github.com/weir-mesh/weir/test/documents"
)

// instance is an object of one of our kinds, to be written.
type instance struct {
	collection, path string
	doc              map[string]any
}

// object takes a document as an object: in the namespace shop where its kind has one and it says none, and without what
// the API server writes.
func object(t *testing.T, kind string, doc []byte) instance {
	t.Helper()
	content, _ := documents.Decode(t, doc).(map[string]any)
	out := instance{collection: "/apis/" + schemas.APIVersion, doc: sent(content)}
	meta, _ := out.doc["metadata"].(map[string]any)
	k := schemas.Kinds()[slices.IndexFunc(schemas.Kinds(), func(k schemas.Kind) bool { return k.Name == kind })]
	if k.Namespaced {
		if meta["namespace"] == nil {
			meta["namespace"] = "shop"
		}
		out.collection += fmt.Sprintf("/namespaces/%s", meta["namespace"])
	}
	out.collection += "/" + k.Plural
	out.path = fmt.Sprintf("%s/%s", out.collection, meta["name"])
	return out
}

// sent returns an object without what the API server writes into its metadata.
func sent(object map[string]any) map[string]any {
	object = maps.Clone(object)
	if meta, ok := object["metadata"].(map[string]any); ok {
		meta = maps.Clone(meta)
		for _, name := range []string{"creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"} {
			delete(meta, name)
		}
		object["metadata"] = meta
	}
	return object
}

// withoutStatus returns the object as the API server takes it: a status has a way of its own.
func (o instance) withoutStatus() instance {
	o.doc = maps.Clone(o.doc)
	delete(o.doc, "status")
	return o
}

func (o instance) json() []byte {
	doc, err := json.Marshal(o.doc)
	if err != nil {
		panic(err) // it came from JSON
	}
	return doc
}

func (o instance) create(ctx context.Context, c *client, query ...string) error {
	_, err := c.create(ctx, o.collection, o.json(), query...)
	return err
}

func (o instance) apply(ctx context.Context, c *client, below string) error {
	_, err := c.apply(ctx, o.path+below, o.json())
	return err
}

// update replaces what is there now.
func (o instance) update(ctx context.Context, c *client, below string) error {
	now, err := o.stored(ctx, c)
	if err != nil {
		return err
	}
	meta, _ := now["metadata"].(map[string]any)
	o.doc = sent(o.doc)
	mine, _ := o.doc["metadata"].(map[string]any)
	mine["resourceVersion"] = meta["resourceVersion"]
	_, err = c.update(ctx, o.path+below, o.json())
	return err
}

// stored returns what the API server has, numbers exact.
func (o instance) stored(ctx context.Context, c *client) (map[string]any, error) {
	answer, err := c.get(ctx, o.path)
	if err != nil {
		return nil, err
	}
	v, err := documents.Parse(answer)
	content, _ := v.(map[string]any)
	return content, err
}

// way is a way in which an object gets into the API server, or its status does.
type way struct {
	name   string
	status bool
	// prepare writes a base, where the way replaces something.
	prepare func(ctx context.Context, c *client, base instance) error
	write   func(ctx context.Context, c *client, o instance) error
}

var ways = []way{
	{name: "create",
		write: func(ctx context.Context, c *client, o instance) error { return o.create(ctx, c) }},
	{name: "update",
		prepare: func(ctx context.Context, c *client, base instance) error { return base.create(ctx, c) },
		write:   func(ctx context.Context, c *client, o instance) error { return o.update(ctx, c, "") }},
	{name: "apply",
		write: func(ctx context.Context, c *client, o instance) error { return o.apply(ctx, c, "") }},
	{name: "apply again",
		prepare: func(ctx context.Context, c *client, base instance) error { return base.apply(ctx, c, "") },
		write:   func(ctx context.Context, c *client, o instance) error { return o.apply(ctx, c, "") }},
	{name: "update status", status: true,
		prepare: func(ctx context.Context, c *client, base instance) error {
			if err := base.create(ctx, c); err != nil {
				return err
			}
			return base.update(ctx, c, "/status")
		},
		write: func(ctx context.Context, c *client, o instance) error { return o.update(ctx, c, "/status") }},
	{name: "apply status", status: true,
		prepare: func(ctx context.Context, c *client, base instance) error {
			if err := base.create(ctx, c); err != nil {
				return err
			}
			return base.apply(ctx, c, "/status")
		},
		write: func(ctx context.Context, c *client, o instance) error { return o.apply(ctx, c, "/status") }},
}

// outcome is what became of a write: what is stored, less what the API server writes, or why it was refused.
type outcome struct {
	stored map[string]any
	why    error
}

// try writes an object in a way, over base where the way replaces something, and takes it away again.
func (w way) try(t *testing.T, c *client, base, o instance) outcome {
	t.Helper()
	ctx := t.Context()
	if !w.status {
		base, o = base.withoutStatus(), o.withoutStatus()
	}
	if w.prepare != nil {
		if err := w.prepare(ctx, c, base); err != nil {
			t.Fatalf("preparing to %s: %v", w.name, err)
		}
	}
	defer func() {
		if err := c.remove(ctx, o.path); err != nil {
			t.Fatal(err)
		}
	}()
	if err := w.write(ctx, c, o); err != nil {
		// Server-side apply answers 500 to what is not of the schema's types, and to fields that it does not have.
		if !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) && !strings.Contains(err.Error(), "failed to create typed patch object") {
			t.Fatalf("%s: not accepted, but not refused either: %v", w.name, err)
		}
		return outcome{why: err}
	}
	stored, err := o.stored(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	return outcome{stored: w.part(stored)}
}

// part returns what a way writes of an object.
func (w way) part(o map[string]any) map[string]any {
	if w.status {
		return map[string]any{"status": o["status"]}
	}
	o = sent(o)
	delete(o, "status")
	return o
}
