package envoy

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/weir-mesh/weir/compiler/route"
)

// signingKey is the private half of the key in testdata/sources.
const signingKey = "GXbXepLi5OJpAL5ykp07xuAah6iQW5-iva4B5wmnxNo"

// TestSources: clients that share an id (S21), that have none (S18), tokens, and audit beside enforcement (S30).
func TestSources(t *testing.T) {
	Binary(t)
	_, ws, diags := Compile(t, "testdata/sources/input")
	if len(ws) != 1 || !ws[0].Plain {
		t.Fatalf("waypoints %+v, want one that takes plain connections", ws)
	}
	if len(diags) == 0 || diags[0].Code != route.CodeSharedSPIFFE {
		t.Errorf("findings %v, want the shared id", diags)
	}
	api := netip.MustParseAddrPort("127.1.2.10:18090")
	serve(t, api, "api", nil)
	outer := freePort(t)
	b := ws[0].Bootstrap()
	AddOuter(b, outer)
	plain := filepath.Join(t.TempDir(), "plain.sock")
	for _, l := range b.StaticResources.Listeners {
		if p := l.GetAddress().GetPipe(); p != nil {
			l.Address = &core.Address{Address: &core.Address_Pipe{Pipe: &core.Pipe{Path: plain}}}
		}
	}
	admin := Start(t, b)
	c := newClient(outer)
	get := func(peer, target string, lines ...string) int {
		if peer != "" {
			peer = "spiffe://example.org/ns/shop/sa/" + peer
		}
		return c.do(t, peer, api, "GET", target, append([]string{"Host: api"}, lines...), "").Status
	}

	t.Run("a shared id needs every pod's allow", func(t *testing.T) {
		for target, want := range map[string]int{"/one": 403, "/two": 403, "/both": 200, "/public": 403} {
			if got := get("shared", target); got != want {
				t.Errorf("%s: %d, want %d", target, got, want)
			}
		}
	})
	t.Run("no identity in the tunnel", func(t *testing.T) {
		for _, peer := range []string{"", "nobody"} {
			for _, spoof := range []string{"X-Forwarded-For: 127.64.0.1", "Forwarded: for=127.64.0.1"} {
				if got := get(peer, "/public", spoof); got != 403 {
					t.Errorf("peer %q, %s: %d, want 403", peer, spoof, got)
				}
			}
		}
	})
	t.Run("plain clients are known by their address", func(t *testing.T) {
		for _, p := range []struct {
			source, target, line string
			want                 int
		}{
			{"127.64.0.1", "/public/x", "", 200}, {"127.127.255.255", "/public", "", 200}, {"127.64.0.1", "/one", "", 403},
			{"127.65.0.1", "/public", "", 403}, {"127.128.0.1", "/public", "", 403}, {"127.1.2.1", "/public", "", 403},
			{"127.128.0.1", "/public", "X-Forwarded-For: 127.64.0.1", 403},
			{"127.64.0.1", "/public", "X-Forwarded-For: 127.128.0.1", 200},
		} {
			if got := throughPlain(t, plain, netip.MustParseAddr(p.source), api, p.target, p.line); got != p.want {
				t.Errorf("%s %s %s: %d, want %d", p.source, p.target, p.line, got, p.want)
			}
		}
	})
	t.Run("claims", func(t *testing.T) {
		end := time.Now().Add(time.Hour).Unix()
		base := map[string]any{"iss": "https://corp.example", "aud": "shop", "exp": end, "sub": "u"}
		with := func(more map[string]any) string {
			claims := map[string]any{}
			for _, m := range []map[string]any{base, more} {
				for k, v := range m {
					if claims[k] = v; v == nil {
						delete(claims, k)
					}
				}
			}
			return "Authorization: Bearer " + sign(t, claims)
		}
		for _, p := range []struct {
			what, target, line string
			want               int
		}{
			{"no token, none needed", "/open", "X: y", 200},
			{"no token", "/team", "X: y", 403},
			{"the claim", "/team", with(map[string]any{"team": "red"}), 200},
			{"another value", "/team", with(map[string]any{"team": "blue"}), 403},
			{"one of a list", "/team", with(map[string]any{"team": []string{"blue", "red"}}), 200},
			{"a number", "/team", with(map[string]any{"team": 1}), 403},
			{"a claim inside a claim", "/deep", with(map[string]any{"realm": map[string]any{"roles": []string{"admin"}}}), 200},
			{"not there", "/deep", with(nil), 403},
			{"present", "/any", with(nil), 200},
			{"not present", "/any", with(map[string]any{"sub": nil}), 403},
			{"ended", "/team", with(map[string]any{"team": "red", "exp": time.Now().Add(-time.Hour).Unix()}), 401},
			{"without an end", "/team", with(map[string]any{"team": "red", "exp": nil}), 401},
			{"for another audience", "/team", with(map[string]any{"team": "red", "aud": "x"}), 403},
			{"of another issuer", "/team", with(map[string]any{"team": "red", "iss": "x"}), 401},
			{"badly signed", "/team", spoilt(with(map[string]any{"team": "red"})), 401},
			{"badly signed, none needed", "/open", spoilt(with(nil)), 401},
			{"not signed", "/team", "Authorization: Bearer " + unsigned(t, map[string]any{"iss": "https://corp.example", "aud": "shop",
				"exp": end, "team": "red"}), 401},
		} {
			if got := get("user", p.target, p.line); got != p.want {
				t.Errorf("%s: %d, want %d", p.what, got, p.want)
			}
		}
	})
	t.Run("audit is beside enforcement", func(t *testing.T) {
		denied := func() int {
			n := 0
			for line := range strings.Lines(admin.Get(t, "/stats?filter=audit.shadow_denied")) {
				var v int
				if _, err := fmt.Sscanf(line[strings.LastIndexByte(line, ' ')+1:], "%d", &v); err == nil {
					n += v
				}
			}
			return n
		}
		before := denied()
		if got := get("user", "/open/secret"); got != 200 {
			t.Errorf("a deny in audit: %d, want 200", got)
		}
		if after := denied(); after != before+1 {
			t.Errorf("audit counted %d denials, want 1", after-before)
		}
	})
}

// throughPlain sends a request as the node agent hands over plain connections: with a PROXY header, version 2.
func throughPlain(t testing.TB, socket string, from netip.Addr, to netip.AddrPort, target, line string) int {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	header := []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c")
	header = append(append(header, from.AsSlice()...), to.Addr().AsSlice()...)
	header = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(header, 40000), to.Port())
	if line != "" {
		line += "\r\n"
	}
	_, _ = fmt.Fprintf(conn, "%sGET %s HTTP/1.1\r\nHost: api\r\n%s\r\n", header, target, line)
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	defer func() { _ = r.Body.Close() }()
	return r.StatusCode
}

// spoilt ends a token with another signature.
func spoilt(token string) string { return token[:len(token)-8] + "AAAAAAAA" }

// unsigned makes a token that says it needs no signature.
func unsigned(t testing.TB, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"none"}`)) + "." + enc(payload) + "."
}

// sign makes a token of claims (RFC 7519, ES256).
func sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	d, err := base64.RawURLEncoding.DecodeString(signingKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	enc := base64.RawURLEncoding.EncodeToString
	text := enc([]byte(`{"alg":"ES256","kid":"k"}`)) + "." + enc(payload)
	sum := sha256.Sum256([]byte(text))
	var r, s *big.Int
	if r, s, err = ecdsa.Sign(rand.Reader, key, sum[:]); err != nil {
		t.Fatal(err)
	}
	return text + "." + enc(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}
