package envoy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// client sends requests byte for byte through the outer listener, one tunnel for each identity and destination.
type client struct {
	outer   netip.AddrPort
	tunnels map[string]*tunnel
}

type tunnel struct {
	conn net.Conn
	in   *bufio.Reader
}

// reply is what came back: Status 0 for a closed connection.
type reply struct {
	Status  int
	Header  http.Header
	Body    string
	Details string
}

// do sends a request of the client peer to dst. Lines are header lines after the request line.
func (c *client) do(t testing.TB, peer string, dst netip.AddrPort, method, target string, lines []string, body string) reply {
	t.Helper()
	key := peer + " " + dst.String()
	for try := range 2 {
		tun := c.tunnels[key]
		if tun == nil {
			if tun = c.open(t, peer, dst); tun == nil {
				return reply{}
			}
			c.tunnels[key] = tun
		}
		_, _ = fmt.Fprintf(tun.conn, "%s %s HTTP/1.1\r\n%s\r\n\r\n%s", method, target, strings.Join(lines, "\r\n"), body)
		_ = tun.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		resp, err := http.ReadResponse(tun.in, &http.Request{Method: method})
		if err != nil {
			// Envoy closes a connection after what it can't parse: the next request finds it closed.
			_ = tun.conn.Close()
			delete(c.tunnels, key)
			if try == 0 && errors.Is(err, io.ErrUnexpectedEOF) {
				continue
			}
			return reply{}
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.Close || resp.StatusCode == http.StatusBadRequest {
			_ = tun.conn.Close()
			delete(c.tunnels, key)
		}
		return reply{Status: resp.StatusCode, Header: resp.Header, Body: string(text)}
	}
	return reply{}
}

func (c *client) open(t testing.TB, peer string, dst netip.AddrPort) *tunnel {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", c.outer.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	tun := &tunnel{conn: conn, in: bufio.NewReader(conn)}
	identity := ""
	if peer != "" {
		identity = PeerHeader + ": " + peer + "\r\n"
	}
	_, _ = fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", dst, dst, identity)
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	resp, err := http.ReadResponse(tun.in, &http.Request{Method: http.MethodConnect})
	if err != nil {
		_ = conn.Close()
		return nil
	}
	if resp.StatusCode != http.StatusOK {
		_ = conn.Close()
		tun = nil
	}
	_ = resp.Body.Close() // reads nothing of the tunnel: what follows CONNECT's answer is no body
	return tun
}

// newClient starts Envoy's outer port.
func newClient(outer netip.AddrPort) *client {
	return &client{outer: outer, tunnels: map[string]*tunnel{}}
}

// freePort is a loopback port that nothing listens on.
func freePort(t testing.TB) netip.AddrPort {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// serve answers at an address: its name, and in headers what it got.
func serve(t testing.TB, at netip.AddrPort, name string, handler http.HandlerFunc) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	if handler == nil {
		handler = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Got", r.RequestURI)
			_, _ = io.WriteString(w, name)
		}
	}
	s := &http.Server{Handler: handler, Protocols: protocols, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		_ = s.Serve(l)
		close(done)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
}

// echo answers every request with 200 and, in X-Got, the request target as it came: net/http would look at it.
func echo(t testing.TB, at netip.AddrPort) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go echoConn(conn)
		}
	}()
}

// echoConn ends when Envoy, at the latest at the end of the test, closes the connection.
func echoConn(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for {
		first, err := in.ReadString('\n')
		if err != nil {
			return
		}
		for line := first; line != "\r\n"; {
			if line, err = in.ReadString('\n'); err != nil {
				return
			}
		}
		fields := strings.Fields(first)
		if _, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nX-Got: %s\r\nContent-Length: 0\r\n\r\n", fields[1]); err != nil {
			return
		}
	}
}
