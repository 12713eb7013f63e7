//go:build linux

package agent_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/datapath/internal/kerneltest"
	"github.com/weir-mesh/weir/datapath/internal/netlab"
	"github.com/weir-mesh/weir/datapath/internal/world"
)

var buildOnce sync.Once

// binary builds the agent as it ships, once for all tests. Where no compiler is, WEIR_AGENT names one that is built.
func binary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("WEIR_AGENT"); path != "" {
		return path
	}
	path := filepath.Join(os.TempDir(), fmt.Sprintf("weir-agent-test-%d", os.Getpid()))
	buildOnce.Do(func() {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "github.com/weir-mesh/weir/cmd/weir-agent")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building the agent: %v: %s", err, out)
		}
	})
	return path
}

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.Remove(filepath.Join(os.TempDir(), fmt.Sprintf("weir-agent-test-%d", os.Getpid())))
	os.Exit(code)
}

const open, closed = uint16(8080), uint16(9090)

// node is a machine with two pods, a and b, a file of its projection, and agents.
type node struct {
	t    *testing.T
	lab  *netlab.Lab
	a, b *netlab.Pod
	file string
	root string
}

func newNode(t *testing.T) *node {
	return newNodeOn(t, func(*netlab.Lab) {})
}

// newNodeOn makes the node on a lab that is made ready first.
func newNodeOn(t *testing.T, ready func(*netlab.Lab)) *node {
	kerneltest.Need(t)
	n := &node{t: t, lab: netlab.New(t), file: filepath.Join(t.TempDir(), "plan.json"), root: fmt.Sprintf("/sys/fs/bpf/weir-agent-test-%d-%d", os.Getpid(), time.Now().UnixNano())}
	ready(n.lab)
	n.a, n.b = n.lab.Pod("10.1.0.1", "fd00:1::1"), n.lab.Pod("10.1.0.2", "fd00:1::2")
	for _, port := range []uint16{open, closed} {
		netlab.Listen(t, n.b.NS(), fmt.Sprintf("10.1.0.2:%d", port))
	}
	t.Cleanup(func() {
		if _, err := datapath.Uninstall(n.options()); err != nil {
			t.Error(err)
		}
	})
	return n
}

func (n *node) options() datapath.Options { return datapath.Options{Root: n.root, NetNS: n.lab.Node()} }

// projection lets a open connections to b on the ports given; until, when not zero, is the end of that.
func (n *node) projection(generation uint64, until int64, ports ...uint16) *plan.Projection {
	w := world.New(generation)
	w.P.DecisionDigest = fmt.Sprint(ports, until)
	rule := w.Rule("b.cue:3")
	deny, allow := w.Simple(plan.Deny, -1), w.Simple(plan.Allow, rule)
	if until != 0 {
		allow = w.Decision(plan.ProjectedDecision{Verdict: plan.Allow, Rule: rule, AuditVerdict: plan.Allow, AuditRule: rule, NotAfter: until, Then: uint32(deny)})
	}
	egress, ingress, none := w.Table(w.Simple(plan.Allow, -1)), w.Table(deny), w.Table(deny)
	_, a := w.Pod("shop/a", egress, none, n.a.Addr4, n.a.Addr6)
	w.Pod("shop/b", none, ingress, n.b.Addr4, n.b.Addr6)
	for _, p := range ports {
		ingress.Port(a, ir.TCP, p, allow)
	}
	p := w.Build()
	for i := range p.Endpoints {
		p.Endpoints[i].Interface = "" // found by address and route
	}
	return p
}

// write replaces the file as a careful writer does, by a rename.
func (n *node) write(p *plan.Projection) {
	n.t.Helper()
	b, err := json.Marshal(p)
	if err != nil {
		n.t.Fatal(err)
	}
	n.writeBytes(b)
}

func (n *node) writeBytes(b []byte) {
	n.t.Helper()
	if err := os.WriteFile(n.file+".new", b, 0o600); err != nil {
		n.t.Fatal(err)
	}
	if err := os.Rename(n.file+".new", n.file); err != nil {
		n.t.Fatal(err)
	}
}

// agent is a running weir-agent.
type agent struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *logBuffer
	addr string
}

// logBuffer is written by the child's copier and read by the test.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (n *node) start(more ...string) *agent {
	n.t.Helper()
	a := &agent{t: n.t, log: &logBuffer{}}
	a.cmd = exec.CommandContext(n.t.Context(), binary(n.t), append([]string{"--plan", n.file, "--root", n.root, "--netns", n.lab.Node(), "--listen", "127.0.0.1:0", "--poll", "20ms"}, more...)...)
	a.cmd.Stderr = a.log
	if err := a.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { a.end(syscall.SIGKILL) })
	a.addr = a.await(`serving metrics and health" address=([0-9.:]+)`)[1]
	return a
}

func (a *agent) end(s syscall.Signal) {
	if a.cmd.ProcessState == nil {
		_ = a.cmd.Process.Signal(s)
		_ = a.cmd.Wait()
	}
}

// patience is how long what has to happen may take: an emulated machine is tens of times slower.
const patience = 5 * time.Minute

// await waits until the log holds a pattern.
func (a *agent) await(pattern string) []string {
	a.t.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if m := re.FindStringSubmatch(a.log.String()); m != nil {
			return m
		}
	}
	a.t.Fatalf("the log never said %s:\n%s", pattern, a.log.String())
	return nil
}

// awaitMore does something and waits until the log says a text once more than before.
func (a *agent) awaitMore(text string, do func()) {
	a.t.Helper()
	before := strings.Count(a.log.String(), text)
	do()
	for end := time.Now().Add(patience); strings.Count(a.log.String(), text) == before; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			a.t.Fatalf("the log said %s no more:\n%s", text, a.log.String())
		}
	}
}

func (a *agent) get(path string) (int, string) {
	a.t.Helper()
	q, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, "http://"+a.addr+path, http.NoBody)
	if err != nil {
		a.t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// awaitHealth waits until health says something.
func (a *agent) awaitHealth(text string) (status int, body string) {
	a.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if status, body = a.get("/healthz"); strings.Contains(body, text) {
			return status, body
		}
	}
	a.t.Fatalf("health never said %s: %d %s", text, status, body)
	return 0, ""
}

// passes says whether a can open a connection to b, and how long it waits for one.
func (n *node) passes(port uint16, wait time.Duration) bool {
	c, err := netlab.Dial(n.t.Context(), n.a.NS(), fmt.Sprintf("10.1.0.2:%d", port), wait)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	return netlab.Echo(c, wait) == nil
}

// What passes is waited for, and what does not is not waited for long.
const (
	waitAllowed = 10 * time.Second
	waitDenied  = 300 * time.Millisecond
)

func (n *node) want(what string, openPasses, closedPasses bool) {
	n.t.Helper()
	for port, want := range map[uint16]bool{open: openPasses, closed: closedPasses} {
		wait := waitDenied
		if want {
			wait = waitAllowed
		}
		if got := n.passes(port, wait); got != want {
			n.t.Errorf("%s: port %d passes: %v", what, port, got)
		}
	}
}

// TestFollowsTheFile swaps when the file changes, and keeps what it has when the file cannot be used.
func TestFollowsTheFile(t *testing.T) {
	n := newNode(t)
	n.write(n.projection(5, 0, open))
	a := n.start()
	a.await(`"applied a plan" generation=5`)
	n.want("generation 5", true, false)

	n.write(n.projection(6, 0, open, closed))
	a.await(`"applied a plan" generation=6`)
	n.want("generation 6", true, true)

	whole, err := json.Marshal(n.projection(7, 0, open))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ bytes, reason string }{
		{string(whole[:len(whole)/2]), "cut short"},
		{string(whole) + "{}", "something follows"},
		{strings.Replace(string(whole), `"version":1`, `"version":99`, 1), "version 99"},
		{strings.Replace(string(whole), `"version":1`, `"version":1,"novelty":true`, 1), "novelty"},
		{"version: 1", "invalid character"},
	} {
		n.writeBytes([]byte(c.bytes))
		a.await(regexp.QuoteMeta(c.reason))
		if status, body := a.get("/healthz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "enforces generation 6") {
			t.Errorf("%s: health %d %s", c.reason, status, body)
		}
	}
	n.want("after broken files", true, true)

	n.write(n.projection(5, 0, open))
	a.await(`older generation: the kernel holds 6, this is 5`)
	n.want("after an older generation", true, true)

	n.writeBytes(whole)
	a.await(`"applied a plan" generation=7`)
	n.want("generation 7", true, false)
	if status, body := a.get("/healthz"); status != http.StatusOK || body != "generation 7\n" {
		t.Errorf("health %d %q", status, body)
	}
}

// TestNothingEnforcedYet starts with files that cannot be used on a kernel that holds nothing: it says so, and does not
// speak of what the kernel keeps.
func TestNothingEnforcedYet(t *testing.T) {
	n := newNode(t)
	a := n.start()
	a.await(`the plan is not enforced; nothing is enforced yet.*no such file`)
	const notPart = `is not a node's part of a plan (nodes/NAME.json of weir compile --out)`
	for _, c := range []struct{ bytes, reason string }{
		{"", "cut short"},
		{`{"version":1,"policies":[{"object":"MeshPolicy shop/b"}],"peers":7}`, notPart},
		{`[]`, notPart},
		{`{"version":1}`, notPart},
	} {
		n.writeBytes([]byte(c.bytes))
		if status, body := a.awaitHealth(c.reason); status != http.StatusServiceUnavailable || !strings.HasSuffix(body, "\nnothing is enforced yet\n") {
			t.Errorf("%q: health %d %s", c.bytes, status, body)
		}
		n.writeBytes([]byte("no JSON")) // so that the next reason is a new one
		a.awaitHealth("invalid character")
	}
	n.want("before any plan", true, true)
	a.end(syscall.SIGTERM)
	a.await(`letting go; nothing is enforced`)
	if log := a.log.String(); strings.Contains(log, "keeps what it holds") || strings.Contains(log, "goes on enforcing") {
		t.Errorf("the kernel holds nothing, and the log says\n%s", log)
	}
}

// TestPartialWrites writes the file bit by bit in place: what is not whole is never enforced, and the end is.
func TestPartialWrites(t *testing.T) {
	n := newNode(t)
	n.write(n.projection(1, 0, open))
	a := n.start()
	a.await(`"applied a plan" generation=1`)
	b, err := json.Marshal(n.projection(2, 0, open, closed))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(n.file)
	if err != nil {
		t.Fatal(err)
	}
	for len(b) > 0 {
		chunk := min(len(b), 1+len(b)/4)
		if _, err := f.Write(b[:chunk]); err != nil {
			t.Fatal(err)
		}
		b = b[chunk:]
		time.Sleep(10 * time.Millisecond)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	a.await(`"applied a plan" generation=2`)
	n.want("the whole file", true, true)
}

// TestExpiry ends an allow by the agent's own clock (S28).
func TestExpiry(t *testing.T) {
	n := newNode(t)
	binary(t) // not a part of what is timed
	begin := time.Now()
	n.write(n.projection(1, 0, open))
	a := n.start()
	a.await(`"applied a plan" generation=1`)
	n.want("without an end", true, false)
	// Far enough for a machine as slow as it has just shown to be.
	end := time.Now().Add(2*time.Since(begin) + 2*time.Second)
	n.write(n.projection(2, end.Unix(), open))
	a.await(`"applied a plan" generation=2`)
	n.want("before the end", true, false)
	a.await(`"ended what has expired" generation=2`)
	n.want("after the end", false, false)
}

// TestNewPod attaches to a pod whose interface comes after the plan, and learns its namespace when the pod's end moves there
// later.
func TestNewPod(t *testing.T) {
	n := newNode(t)
	n.b.Disconnect()
	n.write(n.projection(1, 0, open))
	a := n.start()
	a.await(`"applied a plan" .*missing=\[shop/b\]`)
	n.b.Plug()
	a.await(`generation=1 .*attached=\[shop/b\] .*missing=\[\]`)
	time.Sleep(500 * time.Millisecond) // until what comes is about the move
	a.awaitMore(`msg="interfaces changed"`, n.b.Move)
	n.want("a pod that came late", true, false)
}

// TestMetrics reads what the kernel counted.
func TestMetrics(t *testing.T) {
	n := newNode(t)
	n.write(n.projection(3, 0, open))
	a := n.start()
	a.await(`"applied a plan" generation=3`)
	n.want("generation 3", true, false)
	_, body := a.get("/metrics")
	for _, want := range []string{`weir_generation 3`, `weir_endpoints{attached="yes"} 2`, `weir_plan_enforced 1`, `weir_rule_packets_total{id="[0-9a-f]{32}",rule="b.cue:3"} [1-9]`,
		`weir_dropped_packets_total{reason="policy"} [1-9]`, `weir_events_lost_total 0`, `weir_map_bytes [1-9]`} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(body) {
			t.Errorf("no metric like %s in\n%s", want, body)
		}
	}
	a.await(`msg=flow kind=denied .*verdict=deny`)
}

// flood tries connections to the closed port all the time, from threads that stay in a's namespace, and counts those that
// pass.
func (n *node) flood(t *testing.T) (stop func() (passed, tried int64)) {
	var done atomic.Bool
	var passed, tried atomic.Int64
	var wg sync.WaitGroup
	dialer := net.Dialer{Timeout: 10 * time.Millisecond}
	for range 2 {
		wg.Go(func() {
			err := netlab.In(n.a.NS(), func() error {
				for !done.Load() && t.Context().Err() == nil {
					c, err := dialer.DialContext(t.Context(), "tcp", fmt.Sprintf("10.1.0.2:%d", closed))
					tried.Add(1)
					if err == nil {
						passed.Add(1)
						_ = c.Close()
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	return func() (int64, int64) {
		done.Store(true)
		wg.Wait()
		return passed.Load(), tried.Load()
	}
}

// TestKilledUnderFlood kills the agent with SIGKILL at many moments of its life while denied connections are tried all
// the time: none passes, what is allowed goes on, and the next agent takes over.
func TestKilledUnderFlood(t *testing.T) {
	n := newNode(t)
	n.write(n.projection(1, 0, open))
	a := n.start()
	a.await(`"applied a plan" generation=1`)
	stop := n.flood(t)
	for i := range uint64(8) {
		a.end(syscall.SIGKILL)
		if !n.passes(open, waitAllowed) {
			t.Errorf("after kill %d what is allowed no longer passes", i)
		}
		n.write(n.projection(i+2, 0, open))
		cmd := exec.CommandContext(t.Context(), binary(t), "--plan", n.file, "--root", n.root, "--netns", n.lab.Node(), "--listen", "")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 15 * time.Millisecond) // in the middle of its start
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		a = n.start()
		a.await(fmt.Sprintf(`"applied a plan" generation=%d`, i+2))
	}
	if passed, tried := stop(); passed > 0 || tried < 50 {
		t.Errorf("%d of %d denied connections passed", passed, tried)
	}
	n.want("at the end", true, false)
}

// TestEnd ends the agent with SIGTERM, which leaves the kernel enforcing, and uninstalls, which says what is open then.
func TestEnd(t *testing.T) {
	n := newNode(t)
	n.write(n.projection(1, 0, open))
	a := n.start()
	a.await(`"applied a plan" generation=1`)
	a.end(syscall.SIGTERM)
	a.await(`the kernel goes on enforcing`)
	if log := a.log.String(); strings.Contains(log, "level=WARN") || strings.Contains(log, "level=ERROR") {
		t.Errorf("a normal end warns:\n%s", log)
	}
	n.want("after SIGTERM", true, false)

	out, err := exec.CommandContext(t.Context(), binary(t), "uninstall", "--root", n.root, "--netns", n.lab.Node()).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "open now, Weir enforces nothing there: the pods behind "+n.a.Interface+", "+n.b.Interface) {
		t.Errorf("uninstall: %v %s", err, out)
	}
	n.want("after uninstall", true, true)
	out, err = exec.CommandContext(t.Context(), binary(t), "uninstall", "--root", n.root, "--netns", n.lab.Node()).CombinedOutput()
	if err != nil || string(out) != "nothing was installed\n" {
		t.Errorf("uninstall again: %v %s", err, out)
	}
}

// TestAddressTaken refuses to begin beside what listens at its address, before it has made or taken over anything.
func TestAddressTaken(t *testing.T) {
	n := newNode(t)
	n.write(n.projection(1, 0, open))
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	out, err := exec.CommandContext(t.Context(), binary(t), "--plan", n.file, "--root", n.root, "--netns", n.lab.Node(), "--listen", l.Addr().String()).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "address already in use") {
		t.Errorf("the address is taken: %v %s", err, out)
	}
	if _, err := os.Stat(n.root); !os.IsNotExist(err) {
		t.Errorf("it pinned maps before it looked: %v", err)
	}
}

// TestOtherLayout refuses what another version pinned, and says why.
func TestOtherLayout(t *testing.T) {
	n := newNode(t)
	n.write(n.projection(1, 0, open))
	other := filepath.Join(n.root, "v0")
	if err := os.MkdirAll(other, 0o700); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.Remove(other); err != nil {
			t.Error(err)
		}
	}()
	out, err := exec.CommandContext(t.Context(), binary(t), "--plan", n.file, "--root", n.root, "--netns", n.lab.Node(), "--listen", "").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "v0") {
		t.Errorf("another layout: %v %s", err, out)
	}
}
