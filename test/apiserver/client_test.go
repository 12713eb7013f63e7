//go:build linux

package apiserver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// client sends objects byte by byte as a test has them; a library would decode and encode them first.
type client struct {
	http *http.Client
	host string
}

func newClient(c *rest.Config) (*client, error) {
	h, err := rest.HTTPClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return &client{http: h, host: c.Host}, nil
}

// do sends a request and returns the body of the answer. A refusal is an apierrors.StatusError.
func (c *client) do(ctx context.Context, method, path string, query url.Values, mediaType string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.host+path+"?"+query.Encode(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", mediaType)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 300 {
		return answer, nil
	}
	var status apierrors.StatusError
	if err := json.Unmarshal(answer, &status.ErrStatus); err != nil || status.ErrStatus.Status != metav1.StatusFailure {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	return nil, &status
}

// strictly is the query under which a field that the schema does not have is refused instead of dropped.
func strictly(more ...string) url.Values {
	q := url.Values{"fieldValidation": {metav1.FieldValidationStrict}}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return q
}

// create makes an object in a collection.
func (c *client) create(ctx context.Context, collection string, doc []byte, query ...string) ([]byte, error) {
	return c.do(ctx, http.MethodPost, collection, strictly(query...), "application/json", doc)
}

// update replaces an object, or its status under path/status.
func (c *client) update(ctx context.Context, path string, doc []byte) ([]byte, error) {
	return c.do(ctx, http.MethodPut, path, strictly(), "application/json", doc)
}

// apply is server-side apply, by one manager.
func (c *client) apply(ctx context.Context, path string, doc []byte) ([]byte, error) {
	return c.do(ctx, http.MethodPatch, path, strictly("fieldManager", "test", "force", "true"), "application/apply-patch+yaml", doc)
}

func (c *client) get(ctx context.Context, path string) ([]byte, error) {
	return c.do(ctx, http.MethodGet, path, nil, "application/json", nil)
}

// remove deletes an object, if it is there.
func (c *client) remove(ctx context.Context, path string) error {
	_, err := c.do(ctx, http.MethodDelete, path, nil, "application/json", nil)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
