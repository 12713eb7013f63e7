package envoy

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// requests is how many requests a run compares.
const requests = 6000

// TestDecideAsPlanned sends requests of every kind through the real Envoy and compares what it does with what the
// plan says: allowed requests arrive with the path that the plan looked at, others get the plan's status (S22 to S24).
func TestDecideAsPlanned(t *testing.T) {
	Binary(t)
	p, ws, _ := Compile(t, "testdata/decide/input")
	if len(ws) != 1 {
		t.Fatalf("%d waypoints, want 1", len(ws))
	}
	decide, err := plan.NewRequests(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{"127.1.0.10", "127.1.0.11"} {
		echo(t, netip.AddrPortFrom(netip.MustParseAddr(addr), 18443))
	}
	outer := freePort(t)
	b := ws[0].Bootstrap()
	AddOuter(b, outer)
	Start(t, b)
	c := newClient(outer)

	g := &generator{rand.New(rand.NewPCG(1, 2))}
	seen := map[string]int{}
	for range requests {
		src := pick(g, []string{"checkout", "web", "batch"})
		dst := pick(g, []netip.AddrPort{netip.MustParseAddrPort("127.1.0.10:18443"), netip.MustParseAddrPort("127.1.0.10:18443"),
			netip.MustParseAddrPort("127.1.0.11:18443"), netip.MustParseAddrPort("127.1.128.1:8080")})
		q := g.request()
		a := p.Decide(flow(t, p, src, dst))
		if a.Verdict != plan.Redirect {
			t.Fatalf("%s to %s: %v, want a redirect", src, dst, a.Verdict)
		}
		want := decide.Decide(&a, q)
		status := want.Status
		if status == 0 {
			status = 200
		}
		got := c.do(t, "spiffe://example.org/ns/shop/sa/"+src, dst, q.Method, q.Path, lines(q), "")
		seen[fmt.Sprint(status)]++
		if want.Verdict == plan.Deny && status == 403 {
			seen[want.By.String()]++
		}
		if got.Status != status {
			t.Errorf("%s to %s: %s %q host %q headers %v: Envoy says %d, the plan %d (%s %+v)", src, dst, q.Method, q.Path, q.Host,
				q.Headers, got.Status, status, want.By, want)
			continue
		}
		if status == 200 && q.Method != http.MethodHead {
			target, _ := plan.ParseTarget(q.Path)
			uri := target.Path
			if target.HasQuery {
				uri += "?" + target.Query
			}
			if got.Header.Get("X-Got") != uri {
				t.Errorf("%s %q arrives as %q, the plan looked at %q", q.Method, q.Path, got.Header.Get("X-Got"), uri)
			}
		}
	}
	t.Logf("%d requests: %v", requests, seen)
	for _, kind := range []string{"200", "400", "403", "egress", "ingress"} {
		if seen[kind] < requests/100 {
			t.Errorf("only %d of %d requests exercised %q", seen[kind], requests, kind)
		}
	}
}

// flow is a connection of a pod of namespace shop to an address.
func flow(t testing.TB, p *plan.Plan, src string, dst netip.AddrPort) plan.Flow {
	t.Helper()
	f := plan.Flow{Port: plan.Key(ir.TCP, dst.Port()), Dst: plan.NewEnd(p.Addresses.Lookup(dst.Addr()))}
	for i := range p.Endpoints {
		if p.Endpoints[i].Name == src {
			f.Src = plan.NewEnd(p.Endpoints[i].Peers[0])
			f.Src.Endpoint = int32(i)
		}
	}
	if fe, service := p.FrontendAt(dst.Addr(), f.Port); service {
		f.Dst.Frontend = fe
	}
	return f
}

func lines(q *plan.Request) []string {
	out := []string{"Host: " + q.Host}
	for _, name := range []string{"x-team", "x-tier", "x-ver", "x-debug"} {
		for _, v := range q.Headers[name] {
			out = append(out, name+": "+v)
		}
	}
	return out
}

// generator makes requests around what the rules of testdata/decide look at.
type generator struct{ *rand.Rand }

func pick[T any](g *generator, from []T) T { return from[g.IntN(len(from))] }

func (g *generator) request() *plan.Request {
	q := &plan.Request{
		Method: pick(g, []string{"GET", "GET", "GET", "POST", "POST", "PUT", "DELETE", "HEAD", "PATCH", "get"}),
		Host: pick(g, []string{"payments", "pay.example.org", "Pay.Example.ORG:8080", "a.pay.example.org", "a.b.pay.example.org.",
			"xpay.example.org", "pay.example.org.evil", ".pay.example.org"}),
		Path:    g.path(),
		Headers: map[string][]string{},
	}
	if strings.HasPrefix(q.Path, "/pay.v1") && g.IntN(4) > 0 {
		q.Method = "POST"
	}
	for _, h := range []struct {
		name   string
		values []string
	}{
		{"x-team", []string{"red", "Red", "blue", "red,blue", ""}},
		{"x-tier", []string{"gold", "golden", "old", ""}},
		{"x-ver", []string{"v1", "v12", "v", "xv1", "v1x"}},
	} {
		for n := g.IntN(4) / 2; n > 0; n-- {
			q.Headers[h.name] = append(q.Headers[h.name], pick(g, h.values))
		}
	}
	if g.IntN(20) == 0 {
		q.Headers["x-debug"] = []string{pick(g, []string{"", "1"})}
	}
	return q
}

func (g *generator) path() string {
	base := pick(g, []string{"/v1/charges", "/v1/charges/42", "/v1/charges/secret/x", "/v1/chargesx", "/V1/charges", "/healthz",
		"/healthz/", "/files/a.b", "/files/A", "/files/a/b", "/search", "/search/x", "/flag", "/empty", "/host", "/host/x",
		"/hdr", "/hdr", "/hdrx", "/pay.v1.Charges/Create", "/pay.v1.Charges/Delete", "/pay.v1.Refunds/Any", "/pay.v1.Refunds/",
		"/pay.v1.Refunds/a/b", "/admin", "/admin/reports/x", "/administrator", "/v2/internal", "/v2/internal/x", "/v2/internals",
		"/orders", "/orders/7", "/"})
	for n := g.IntN(4) / 2; n > 0; n-- {
		base = g.disturb(base)
	}
	if base == "" {
		base = "/"
	}
	for sep, n := "?", g.IntN(6)/2; n > 0; n-- {
		base += sep + pick(g, []string{"q=a%20b", "q=a+b", "q=ab", "q=abc", "q=", "q", "%71=a%20b", "%71=abc", "lang=de", "lang=",
			"lang=fr", "on", "on=", "on=1", "o%6E=", "debug=1", "debug=%31", "debug=0", "x=%2f..%5c\\", "=", "", "x=y=z"})
		sep = "&"
	}
	return base
}

// disturb writes a path in another way, which may or may not mean the same.
func (g *generator) disturb(p string) string {
	at := g.IntN(len(p) + 1)
	switch g.IntN(6) {
	case 0:
		return p[:at] + pick(g, []string{"/", "//", "/./", "/../", "/x/../", "/%2e/", "/%2E%2e/", "/...", ";", ".", "\\", "%5c",
			"%2f", "%2F", "%00", "%", "%zz", "%25", "#", "%%36", "%%32f", "%3%35", "%%36%31", "%", "\"", "|", "^", "%c3%a9", "~", "%7e", "+", "%20", "%0a"}) + p[at:]
	case 1:
		return "/x/.." + p
	case 2:
		return "/" + p
	case 3: // escape one byte
		if at < len(p) && p[at] != '/' {
			return p[:at] + fmt.Sprintf("%%%02x", p[at]) + p[at+1:]
		}
	case 4:
		return p + pick(g, []string{"/", "/.", "/..", "/../", "//", "/x"})
	case 5:
		return strings.ToUpper(p[:at]) + p[at:]
	}
	return p
}
