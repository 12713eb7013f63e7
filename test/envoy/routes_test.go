package envoy

import (
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestRoutes sends requests to a service with routes of every kind through the real Envoy (S26, S28).
func TestRoutes(t *testing.T) {
	Binary(t)
	_, ws, diags := Compile(t, "testdata/routes/input")
	for i := range diags {
		t.Log(diags[i].Error())
	}
	if len(ws) != 1 {
		t.Fatalf("%d waypoints, want 1", len(ws))
	}
	hits := newCounter()
	for addr, name := range map[string]string{"127.1.1.11": "v1", "127.1.1.12": "v2"} {
		serve(t, netip.AddrPortFrom(netip.MustParseAddr(addr), 18081), name, hits.handler(name))
	}
	outer := freePort(t)
	b := ws[0].Bootstrap()
	AddOuter(b, outer)
	Start(t, b)
	c := newClient(outer)
	get := func(peer, target string, lines ...string) reply {
		return c.do(t, "spiffe://example.org/ns/shop/sa/"+peer, netip.MustParseAddrPort("127.1.129.1:18081"), "GET", target,
			append([]string{"Host: reviews"}, lines...), "")
	}
	host := func(h, target string) reply {
		return c.do(t, "spiffe://example.org/ns/shop/sa/web", netip.MustParseAddrPort("127.1.129.1:18081"), "GET", target,
			[]string{"Host: " + h}, "")
	}
	post := func(target, body string, lines ...string) reply {
		return c.do(t, "spiffe://example.org/ns/shop/sa/web", netip.MustParseAddrPort("127.1.129.1:18081"), "POST", target,
			append([]string{"Host: reviews", "Transfer-Encoding: chunked"}, lines...), chunked(body))
	}
	rule := func(r reply) string { return r.Header.Get("X-Rule") }

	t.Run("precedence", func(t *testing.T) {
		for target, want := range map[string]string{"/tie": "older", "/long/x": "short", "/long/er/x": "longer", "/long/erx": "short",
			"/long/er": "exact", "/re/12": "matched", "/qry?v=a%20b": "matched"} {
			if r := get("web", target); r.Status != 200 || rule(r) != want {
				t.Errorf("%s: status %d, rule %q, want %q", target, r.Status, rule(r), want)
			}
		}
		if r := post("/shop.v1.Reviews/Get", "", "Content-Type: application/grpc"); rule(r) != "matched" {
			t.Errorf("gRPC: %+v", r)
		}
		for h, want := range map[string]string{"a.example.org": "hosted", "B.example.org:80": "hosted", "reviews": "any-host"} {
			if r := host(h, "/hosted"); rule(r) != want {
				t.Errorf("host %s: %q, want %q", h, rule(r), want)
			}
		}
	})
	t.Run("what no rule matches is not found", func(t *testing.T) {
		for target, want := range map[string]int{"/nothing": 404, "/re/12x": 404, "/qry?v=b": 404, "//": 400, "/a%2fb": 400} {
			if r := get("web", target); r.Status != want {
				t.Errorf("%s: %d, want %d", target, r.Status, want)
			}
		}
	})
	t.Run("each backend must allow", func(t *testing.T) {
		for _, c := range []struct {
			peer, target, canary string
			want                 int
		}{
			{"guest", "/long", "", 200}, {"guest", "/split", "", 403}, {"guest", "/c", "1", 403}, {"web", "/c", "1", 200},
			{"guest", "/mirror", "", 403}, {"nobody", "/long", "", 403}, {"web", "/forbidden/x", "", 403}, {"web", "/c", "", 404},
			{"nobody", "/moved", "", 403}, {"nobody", "/nothing", "", 403}, {"guest", "/nothing", "", 404},
		} {
			lines := []string{}
			if c.canary != "" {
				lines = append(lines, "X-Canary: "+c.canary)
			}
			if r := get(c.peer, c.target, lines...); r.Status != c.want {
				t.Errorf("%s %s canary %q: %d, want %d", c.peer, c.target, c.canary, r.Status, c.want)
			}
		}
	})
	t.Run("allows end by Envoy's own clock", func(t *testing.T) {
		for peer, want := range map[string]int{"leaver": 403, "stayer": 200} {
			if r := get(peer, "/long"); r.Status != want {
				t.Errorf("%s: %d, want %d", peer, r.Status, want)
			}
		}
	})
	t.Run("weights", func(t *testing.T) {
		got := map[string]int{}
		for range 200 {
			got[get("web", "/split").Body]++
		}
		if got["v1"] < 60 || got["v2"] < 60 {
			t.Errorf("shares %v of 200, want about half each", got)
		}
		if r := get("web", "/zero"); r.Status != 500 {
			t.Errorf("all weights 0: %d, want 500", r.Status)
		}
		if r := get("web", "/far"); r.Status != 500 {
			t.Errorf("no ReferenceGrant: %d, want 500", r.Status)
		}
		missing := map[int]int{}
		for range 100 {
			missing[get("web", "/half").Status]++
		}
		if missing[500] < 20 || missing[200] < 20 || missing[500]+missing[200] != 100 {
			t.Errorf("half of the requests to a missing backend: %v, want 500 for about half", missing)
		}
	})
	t.Run("redirect and rewrite", func(t *testing.T) {
		if r := get("web", "/moved/a?b=c"); r.Status != 301 || r.Header.Get("Location") != "https://new.example.org/fresh/a?b=c" {
			t.Errorf("redirect: %d %s", r.Status, r.Header.Get("Location"))
		}
		for target, want := range map[string]string{"/rw/a?b": "/a?b", "/rw": "/", "/rw/": "/", "/full/x?q=1": "/all?q=1"} {
			if r := get("web", target, "X-Gone: 1", "X-Add: one"); r.Header.Get("X-Got") != want {
				t.Errorf("%s arrives as %q, want %q", target, r.Header.Get("X-Got"), want)
			}
		}
		r := get("web", "/rw/x", "X-Gone: 1", "X-Add: one", "X-Set: old")
		if h := r.Header; h.Get("X-Got-Host") != "inner.example.org" || h.Get("X-Got-Set") != "50%" || h.Get("X-Got-Add") != "one,two" ||
			h.Get("X-Got-Gone") != "" {
			t.Errorf("rewritten request: %v", h)
		}
	})
	t.Run("timeouts", func(t *testing.T) {
		for target, want := range map[string]int{"/slow": 504, "/try": 504, "/long": 200} {
			if r := get("web", target, "X-Sleep: 500ms"); r.Status != want {
				t.Errorf("%s: %d, want %d", target, r.Status, want)
			}
		}
		if r := get("web", "/long", "X-Sleep: 300ms", "X-Envoy-Upstream-Rq-Timeout-Ms: 50"); r.Status != 200 {
			t.Errorf("a client shortens a timeout: %d", r.Status)
		}
	})
	t.Run("retries", func(t *testing.T) {
		hits.reset()
		if r := get("web", "/retry/x", "X-Fail: always"); r.Status != 503 || hits.get("v1 /retry/x") != 3 {
			t.Errorf("two retries: status %d after %d tries", r.Status, hits.get("v1 /retry/x"))
		}
		if r := get("web", "/long/x", "X-Fail: always", "X-Envoy-Retry-On: 5xx", "X-Envoy-Max-Retries: 5"); r.Status != 503 ||
			hits.get("v1 /long/x") != 1 {
			t.Errorf("a client asks for retries: status %d after %d tries", r.Status, hits.get("v1 /long/x"))
		}
	})
	t.Run("mirror", func(t *testing.T) {
		hits.reset()
		if r := get("web", "/mirror/x"); r.Status != 200 || r.Body != "v1" {
			t.Errorf("mirrored request: %d %s", r.Status, r.Body)
		}
		for end := time.Now().Add(5 * time.Second); hits.get("v2 /mirror/x") == 0; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("no copy arrived")
			}
		}
	})
	t.Run("limits", func(t *testing.T) {
		var got []int
		for range 4 {
			got = append(got, get("web", "/limit").Status)
		}
		if got[0] != 200 || got[1] != 200 || got[2] != 429 || got[3] != 429 {
			t.Errorf("two requests a minute: %v", got)
		}
		if small, large := post("/body", "0123456789"), post("/body", "0123456789a"); small.Status != 200 || large.Status != 413 {
			t.Errorf("ten bytes: %d; eleven: %d", small.Status, large.Status)
		}
		if large := post("/long", strings.Repeat("x", 100)); large.Status != 200 {
			t.Errorf("a body elsewhere: %d", large.Status)
		}
	})
	t.Run("faults end", func(t *testing.T) {
		if r := get("web", "/fault"); r.Status != 418 {
			t.Errorf("fault: %d, want 418", r.Status)
		}
		if r := get("web", "/endedsince"); r.Status != 200 {
			t.Errorf("fault that has ended since the table was made: %d, want 200", r.Status)
		}
		if r := get("guest", "/wasfault"); r.Status != 200 {
			t.Errorf("fault that has ended: %d, want 200", r.Status)
		}
	})
}

func chunked(body string) string {
	if body == "" {
		return "0\r\n\r\n"
	}
	const digits = "0123456789abcdef"
	return string([]byte{digits[len(body)>>4], digits[len(body)&15]}) + "\r\n" + body + "\r\n0\r\n\r\n"
}

// counter is a backend that counts what it gets, and does what headers ask for.
type counter struct {
	mu sync.Mutex
	n  map[string]int
}

func newCounter() *counter { return &counter{n: map[string]int{}} }

func (c *counter) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.n)
}

func (c *counter) get(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[key]
}

func (c *counter) handler(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.n[name+" "+r.URL.Path]++
		c.mu.Unlock()
		_, _ = io.Copy(io.Discard, r.Body)
		if d, err := time.ParseDuration(r.Header.Get("X-Sleep")); err == nil {
			time.Sleep(d)
		}
		for to, value := range map[string]string{"X-Got": r.RequestURI, "X-Got-Host": r.Host, "X-Got-Set": r.Header.Get("X-Set"),
			"X-Got-Add": strings.Join(r.Header.Values("X-Add"), ","), "X-Got-Gone": r.Header.Get("X-Gone")} {
			w.Header().Set(to, value)
		}
		if r.Header.Get("X-Fail") == "always" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, name)
	}
}
