package analyze

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// TestReachEnds holds that reach ends with its context.
func TestReachEnds(t *testing.T) {
	n := namesOf(t, worldOf(rand.New(rand.NewPCG(1, 1))))
	ctx, cancel := context.WithCancel(context.Background())
	if rows, err := n.Reach(ctx); err != nil || len(rows) == 0 {
		t.Fatalf("%d rows, err %v", len(rows), err)
	}
	cancel()
	if rows, err := n.Reach(ctx); !errors.Is(err, context.Canceled) || rows != nil {
		t.Errorf("after the end of its context: %d rows, err %v", len(rows), err)
	}
}

// TestReachWritersEnd holds that no listing goes on when its context has ended, however many rows there are, and that a
// writer's own error ends it.
func TestReachWritersEnd(t *testing.T) {
	rows := make([]Row, 1<<16)
	for i := range rows {
		rows[i] = Row{From: fmt.Sprintf("a/w%d", i), To: "a/b", Ports: []string{"any"}, Via: "mTLS"}
	}
	for name, write := range map[string]func(context.Context, io.Writer) error{
		"table": func(ctx context.Context, w io.Writer) error { return ReachTable(ctx, w, rows, Style{}) },
		"json":  func(ctx context.Context, w io.Writer) error { return ReachJSON(ctx, w, rows) },
		"csv":   func(ctx context.Context, w io.Writer) error { return ReachCSV(ctx, w, rows) },
		"md":    func(ctx context.Context, w io.Writer) error { return ReachMarkdown(ctx, w, rows) },
		"dot":   func(ctx context.Context, w io.Writer) error { return ReachDot(ctx, w, rows) },
		"svg":   func(ctx context.Context, w io.Writer) error { return ReachSVG(ctx, w, rows) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		c := &cancelling{cancel: cancel}
		if err := write(ctx, c); !errors.Is(err, context.Canceled) || c.writes != 1 {
			t.Errorf("%s: %v after %d writes, want its context's end after 1", name, err, c.writes)
		}
		full := errors.New("full")
		if err := write(t.Context(), &cancelling{cancel: func() {}, err: full}); !errors.Is(err, full) {
			t.Errorf("%s: %v, want the writer's own error", name, err)
		}
	}
}

// cancelling is a writer that ends a context, or fails, at its first write.
type cancelling struct {
	cancel context.CancelFunc
	err    error
	writes int
}

func (c *cancelling) Write(b []byte) (int, error) {
	c.writes++
	c.cancel()
	return len(b), c.err
}

// TestReachAlike holds that many pods without an owner, which no rule tells apart, are one end, and few are not.
func TestReachAlike(t *testing.T) {
	for pods, want := range map[int]string{manyAlike: "", manyAlike + 1: "x/p1 and 8 more like it"} {
		n := namesOf(t, worldOfPods(pods))
		rows, err := n.Reach(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		between := 0
		for _, r := range rows {
			if strings.HasPrefix(r.From, "x/") && strings.HasPrefix(r.To, "x/") {
				between++
				if want != "" && (r.From != want || r.To != want || len(r.FromPods) != pods || len(r.ToPods) != pods) {
					t.Errorf("%+v", r)
				}
			}
		}
		if wantRows := map[bool]int{true: 1, false: pods * (pods - 1)}[want != ""]; between != wantRows {
			t.Errorf("%d pods: %d rows between them, want %d", pods, between, wantRows)
		}
		if lines := len(Lines(n.plan)); lines < pods*(pods-1) {
			t.Errorf("%d pods: %d lines, which list every pair", pods, lines)
		}
	}
}

// worldOfPods is a namespace of bare pods that no rule names.
func worldOfPods(n int) resolve.Input {
	inv := &inventory.Inventory{Namespaces: []inventory.Namespace{{Name: "x"}}}
	for i := range n {
		name := fmt.Sprintf("p%d", i+1)
		inv.Pods = append(inv.Pods, inventory.Pod{Namespace: "x", Name: name, ServiceAccount: "default",
			Workload: inventory.Workload{Kind: "Pod", Namespace: "x", Name: name}, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})}})
	}
	return resolve.Input{Inventory: inv, Now: time.Unix(1, 0)}
}

// TestMeet holds which pairs of nodes two sets of pods have.
func TestMeet(t *testing.T) {
	for _, c := range []struct {
		from, to        []string
		together, apart bool
	}{
		{nil, []string{"a"}, false, false},
		{[]string{"a"}, []string{"a"}, true, false},
		{[]string{"a"}, []string{"b"}, false, true},
		{[]string{"a", "c"}, []string{"b", "c"}, true, true},
		{[]string{"a", "c"}, []string{"b", "d"}, false, true},
		{[]string{""}, []string{"a"}, true, true},
		{[]string{""}, []string{""}, true, true},
	} {
		if together, apart := meet(c.from, c.to); together != c.together || apart != c.apart {
			t.Errorf("meet(%q, %q) = %v, %v", c.from, c.to, together, apart)
		}
	}
}

// TestReachCSVIsClean holds that no cell drives a terminal, and that none is a formula.
func TestReachCSVIsClean(t *testing.T) {
	var b strings.Builder
	rows := []Row{{From: "=cmd", To: "a/b", Ports: []string{"TCP 80"}, Requests: []string{"header x=\x1b[2J"}, Via: "exception x\x07", Except: []string{"\x00"}}}
	if err := ReachCSV(t.Context(), &b, rows); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsFunc(strings.ReplaceAll(b.String(), "\n", ""), unicode.IsControl) || !strings.Contains(b.String(), "\n'=cmd,") {
		t.Errorf("%q", b.String())
	}
}

// TestMessagesByType: whole types of ICMP are told as such, not by the numbers that they are compared by.
func TestMessagesByType(t *testing.T) {
	for want, p := range map[string][2]uint16{"ICMP type 8": {8 << 8, 8<<8 | 255}, "ICMP types 0-7": {0, 7<<8 | 255}, "any ICMP": {0, 65535}} {
		if got := spaceText(ir.ICMPv4, p[0], p[1]); got != want {
			t.Errorf("%d-%d: %q, want %q", p[0], p[1], got, want)
		}
	}
}
