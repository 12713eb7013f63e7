//go:build linux

package agent_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/datapath/internal/netlab"
)

func (a *agent) metric(line string) {
	a.t.Helper()
	if _, body := a.get("/metrics"); !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(line) + `$`).MatchString(body) {
		a.t.Errorf("no metric %s in\n%s", line, body)
	}
}

// TestBridgedPods enforces behind a bridge, pods that come later too, whose veths are found without any traffic.
func TestBridgedPods(t *testing.T) {
	n := newNodeOn(t, (*netlab.Lab).UseBridge)
	n.b.Disconnect()
	n.write(n.projection(1, 0, open))
	a := n.start()
	a.await(`level=WARN msg="a pod of the plan is not enforced" pod=shop/b reason="no veth's other end has its address 10\.1\.0\.2 or fd00:1::2, .*" wayOut="if it has not started, wait; .*"`)
	if status, body := a.get("/healthz"); status != http.StatusOK || !strings.HasPrefix(body, "generation 1\nnot here yet: shop/b: ") {
		t.Errorf("a pod that is still to come: %d %s", status, body)
	}
	n.b.Connect()
	a.await(`generation=1 .*attached=\[shop/b\] .*missing=\[\]`)
	if status, body := a.get("/healthz"); status != http.StatusOK || body != "generation 1\n" {
		t.Errorf("both pods are there: %d %s", status, body)
	}
	a.metric(`weir_endpoints_not_enforced{reason="nowhere"} 0`)
	n.lab.IP("neigh flush dev " + netlab.Bridge)
	n.want("behind a bridge", true, false)

	n.b.Disconnect()
	a.await(`level=INFO msg="a pod of the plan is gone" pod=shop/b`)
	if status, body := a.get("/healthz"); status != http.StatusOK || !strings.Contains(body, "\ngone: shop/b: ") {
		t.Errorf("a pod that ended: %d %s", status, body)
	}
	a.metric(`weir_endpoints_not_enforced{reason="gone"} 1`)
	a.metric(`weir_plan_enforced 1`)
}

// TestHealthFailsForAPodThatNeverCame: what is nowhere for too long may be where Weir can't see it.
func TestHealthFailsForAPodThatNeverCame(t *testing.T) {
	n := newNodeOn(t, (*netlab.Lab).UseBridge)
	n.b.Disconnect()
	n.write(n.projection(1, 0, open))
	a := n.start("--grace", "1s")
	a.await(`level=WARN msg="a pod of the plan is not enforced" pod=shop/b`)
	if status, body := a.awaitHealth("not enforced: shop/b: no veth's other end has"); status != http.StatusServiceUnavailable || !strings.HasPrefix(body, "1 of the plan's pods are not enforced\ngeneration 1\n") {
		t.Errorf("health %d %s", status, body)
	}
	a.metric(`weir_endpoints_not_enforced{reason="nowhere"} 1`)
	a.metric(`weir_plan_enforced 0`)
}

// TestHealthFailsForADoubt: two pods with one address are there at once, and health says so at once.
func TestHealthFailsForADoubt(t *testing.T) {
	n := newNodeOn(t, (*netlab.Lab).UseBridge)
	other := n.lab.Pod("10.1.0.9", "fd00:1::9")
	other.IP("addr add 10.1.0.2/24 dev eth0")
	n.write(n.projection(1, 0, open))
	a := n.start()
	a.await(`level=WARN msg="a pod of the plan is not enforced" pod=shop/b reason="its addresses lead to more than one interface: weir2, weir3" wayOut=`)
	if status, body := a.get("/healthz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "\nnot enforced: shop/b: its addresses lead to more than one") {
		t.Errorf("health %d %s", status, body)
	}
	a.metric(`weir_endpoints_not_enforced{reason="ambiguous"} 1`)
	other.IP("addr del 10.1.0.2/24 dev eth0")
	a.await(`generation=1 .*attached=\[shop/b\] .*missing=\[\]`)
	n.want("without the doubt", true, false)
}
