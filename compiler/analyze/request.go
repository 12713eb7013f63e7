package analyze

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/plan"
)

// Request is a request as tests, flags and flow lines write it.
type Request struct {
	Method  string                    `json:"method"`
	Path    string                    `json:"path"`
	Host    string                    `json:"host"`
	Headers Headers                   `json:"headers"`
	Claims  map[string]map[string]any `json:"claims"`
}

// Headers are the values of each header, by its name as it was written. A header that is there more than once is one value:
// its lines in their order, joined (S24).
type Headers map[string][]string

// UnmarshalJSON reads an object of strings. A name that comes again adds a value; the standard library keeps the last.
func (h *Headers) UnmarshalJSON(b []byte) error {
	*h = nil
	var all map[string]string
	if err := json.Unmarshal(b, &all); err != nil || all == nil {
		return err
	}
	*h = Headers{}
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil { // the brace
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		value, err := d.Token()
		if err != nil {
			return err
		}
		text, _ := value.(string) // null, which is read as no text
		key := fmt.Sprint(name)
		(*h)[key] = append((*h)[key], text)
	}
	return nil
}

// Plan makes the plan's form of a request, with the defaults of a test: GET, "/", no host.
func (r *Request) Plan() *plan.Request {
	q := &plan.Request{Method: r.Method, Path: r.Path, Host: r.Host, Claims: r.Claims}
	if q.Path == "" {
		q.Path = "/"
	}
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		key := strings.ToLower(name)
		if key == "host" {
			if q.Host == "" {
				q.Host = r.Headers[name][0]
			}
			continue
		}
		if q.Headers == nil {
			q.Headers = map[string][]string{}
		}
		q.Headers[key] = append(q.Headers[key], r.Headers[name]...)
		q.GRPC = q.GRPC || key == "content-type" && strings.HasPrefix(q.Headers[key][0], "application/grpc")
	}
	return q
}
