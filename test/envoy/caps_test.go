package envoy

import (
	"io"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// TestConnectionCaps holds a route's caps against more clients at once than they admit, through the real Envoy.
func TestConnectionCaps(t *testing.T) {
	Binary(t)
	_, ws, diags := Compile(t, "testdata/caps/input")
	if len(diags) > 0 || len(ws) != 1 {
		t.Fatalf("%d waypoints, want 1; findings: %v", len(ws), diags)
	}
	outer := freePort(t)
	b := ws[0].Bootstrap()
	AddOuter(b, outer)
	Start(t, b)
	const clients = 8
	for _, c := range []struct {
		name, backend, service string
		// atOnce is what the backend sees at one time, served all that gets an answer in the end.
		atOnce, served int
	}{
		{"two connections and one request that waits", "127.3.1.11:18081", "127.3.129.1:18081", 2, 3},
		{"three requests under way", "127.3.1.12:18081", "127.3.129.2:18081", 3, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &gate{open: make(chan struct{})}
			serve(t, netip.MustParseAddrPort(c.backend), "backend", g.handler)
			got := make(chan int, clients)
			for i := range clients {
				go func() {
					got <- newClient(outer).do(t, "spiffe://example.org/ns/shop/sa/web", netip.MustParseAddrPort(c.service), "GET", "/",
						[]string{"Host: backend"}, "").Status
				}()
				// While its connection is being opened a request waits too: those who get one come one by one.
				for end := time.Now().Add(5 * time.Second); i < c.atOnce && g.enter(0) <= i && time.Now().Before(end); {
					time.Sleep(time.Millisecond)
				}
			}
			count := map[int]int{}
			for range clients - c.served { // those refused: the others wait at the gate, or for a connection
				select {
				case status := <-got:
					count[status]++
				case <-time.After(5 * time.Second):
					t.Fatalf("only %v were refused, want %d", count, clients-c.served)
				}
			}
			close(g.open)
			for range c.served {
				count[<-got]++
			}
			if count[503] != clients-c.served || count[200] != c.served || g.most != c.atOnce {
				t.Errorf("answers %v, at most %d at once; want %d times 200, the rest 503, at most %d at once", count, g.most, c.served, c.atOnce)
			}
		})
	}
}

// gate is a backend that holds requests until it is opened, and counts those that it has at one time.
type gate struct {
	mu        sync.Mutex
	now, most int
	open      chan struct{}
}

// enter adds n requests and returns how many there are.
func (g *gate) enter(n int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += n
	g.most = max(g.most, g.now)
	return g.now
}

func (g *gate) handler(w http.ResponseWriter, _ *http.Request) {
	g.enter(1)
	defer g.enter(-1)
	<-g.open
	_, _ = io.WriteString(w, "in")
}
