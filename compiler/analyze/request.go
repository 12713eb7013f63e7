package analyze

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
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

// The words of a request line and a header's name, as the language has them (schemas/v1alpha1/http.cue).
var (
	methodForm = regexp.MustCompile(`^[A-Z][A-Z-]*$`)
	headerForm = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_|~-]+$")
)

// check is what a flow line's request has to be. A test's was held against the schema.
func (r *Request) check() error {
	switch {
	case r.Method != "" && !methodForm.MatchString(r.Method):
		return fmt.Errorf("http.method %q is no method", r.Method)
	case r.Path != "" && (r.Path[0] != '/' || strings.ContainsAny(r.Path, " \t\r\n")):
		return fmt.Errorf("http.path %q is no path: it starts with \"/\" and has no spaces", r.Path)
	}
	hosts := 0
	if r.Host != "" {
		hosts++
	}
	for name, values := range r.Headers {
		if !headerForm.MatchString(name) {
			return fmt.Errorf("http.headers: %q is no header's name", name)
		}
		if strings.EqualFold(name, "host") {
			hosts += len(values)
		}
	}
	if hosts > 1 {
		return errors.New("a request has one host: it is given twice")
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
