package envoy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestGRPC: HTTP/2 stays HTTP/2 up to the backend, a denied call is PermissionDenied, and leaving out gRPC's content
// type changes nothing of a verdict (S22).
func TestGRPC(t *testing.T) {
	Binary(t)
	_, ws, _ := Compile(t, "testdata/decide/input")
	dst := netip.MustParseAddrPort("127.1.0.10:18443")
	serve(t, dst, "payments", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Proto", r.Proto)
		_, _ = io.WriteString(w, r.URL.Path)
	})
	outer := freePort(t)
	b := ws[0].Bootstrap()
	AddOuter(b, outer)
	Start(t, b)
	for _, c := range []struct {
		peer, path, contentType string
		status                  int
		grpc                    string
	}{
		{"checkout", "/pay.v1.Charges/Create", "application/grpc", 200, ""},
		{"checkout", "/pay.v1.Refunds/Any", "application/grpc+proto", 200, ""},
		{"checkout", "/pay.v1.Charges/Delete", "application/grpc", 200, "7"},
		{"checkout", "/pay.v1.Charges/Delete", "text/plain", 403, ""},
		{"checkout", "/pay.v1.Charges/Create", "text/plain", 200, ""},
		{"web", "/pay.v1.Charges/Create", "application/grpc", 200, "7"},
	} {
		client := http2Client(t, newClient(outer), "spiffe://example.org/ns/shop/sa/"+c.peer, dst)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://payments"+c.path, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", c.contentType)
		r, err := client.Do(req)
		if err != nil {
			t.Errorf("%s %s: %v", c.peer, c.path, err)
			continue
		}
		body, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		status := r.Header.Get("Grpc-Status")
		if r.StatusCode != c.status || status != c.grpc {
			t.Errorf("%s %s as %s: %d, gRPC status %q; want %d, %q", c.peer, c.path, c.contentType, r.StatusCode, status, c.status, c.grpc)
		}
		if allowed := c.status == 200 && c.grpc == ""; allowed && (r.Header.Get("X-Proto") != "HTTP/2.0" || string(body) != c.path) {
			t.Errorf("%s %s arrives as %s %s", c.peer, c.path, r.Header.Get("X-Proto"), body)
		}
	}
}

// http2Client speaks HTTP/2 without TLS inside a tunnel.
func http2Client(t testing.TB, c *client, peer string, dst netip.AddrPort) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, DialContext: func(context.Context, string, string) (net.Conn, error) {
		tun := c.open(t, peer, dst)
		if tun == nil {
			return nil, fmt.Errorf("no tunnel to %s", dst)
		}
		// The deadline of the CONNECT request must not end the tunnel.
		return tun.conn, tun.conn.SetDeadline(time.Time{})
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}
