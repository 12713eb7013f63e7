package conformance

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
	"github.com/weir-mesh/weir/compiler/source/manifest"
	"github.com/weir-mesh/weir/compiler/source/networkpolicy"
)

// corpus is the folder of public data, which stays outside the repository. Without it these tests are no part of
// the suite.
func corpus(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("WEIR_CORPUS")
	if dir == "" {
		t.Skip("WEIR_CORPUS does not name the corpus: its tests are not part of this run")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("reading the corpus: %v", err)
	}
	return dir
}

// cyclonusCase is one of cyclonus' cases: https://github.com/mattfenwick/cyclonus.
type cyclonusCase struct {
	Index       int
	Description string
	Steps       []cyclonusStep
}

type cyclonusStep struct {
	Namespaces map[string]map[string]string
	Pods       []struct {
		Namespace, Name, IP string
		Labels              map[string]string
		Ports               []struct {
			Name  string
			Port  uint16
			Proto string
		}
	}
	Policies []json.RawMessage
	Cells    []struct {
		From, To, Proto           string
		Port                      uint16
		Ingress, Egress, Combined string
	}
}

// cells is how many verdicts the corpus holds.
const cells = 53295

// TestCyclonus compares every cell of cyclonus' truth table with the plan: ingress, egress and both together (S6:
// a pod reaches itself; S3: an ipBlock matches pods).
func TestCyclonus(t *testing.T) {
	f, err := os.Open(filepath.Join(corpus(t), "cyclonus", "cases.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	compared, wrong := 0, 0
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var c cyclonusCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		for i := range c.Steps {
			n, diffs := c.Steps[i].compare(t)
			compared += n
			for _, d := range diffs {
				if wrong++; wrong <= 20 {
					t.Errorf("case %d (%s) step %d: %s", c.Index, c.Description, i, d)
				}
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d cells compared, %d differ", compared, wrong)
	if compared != cells {
		t.Errorf("%d cells compared, the corpus has %d", compared, cells)
	}
}

func (s *cyclonusStep) compare(t *testing.T) (n int, diffs []string) {
	t.Helper()
	p, endpoints := s.plan(t)
	for _, c := range s.Cells {
		n++
		space := map[string]ir.Space{"TCP": ir.TCP, "UDP": ir.UDP, "SCTP": ir.SCTP}[c.Proto]
		src, dst := endpoints[c.From], endpoints[c.To]
		key := plan.Key(space, c.Port)
		// The truth table judges a pod's traffic to itself like any other, as the tables do; S6 stands above both.
		a := p.Decide(plan.Flow{Src: plan.NewEnd(src.Peer), Dst: plan.NewEnd(dst.Peer), Port: key})
		if self := p.Decide(plan.Flow{Src: src, Dst: dst, Port: key}); c.From == c.To && self.Verdict != plan.Allow {
			diffs = append(diffs, fmt.Sprintf("%s → itself %s %d: denied (S6)", c.From, c.Proto, c.Port))
		}
		got := [3]string{word(a.Ingress.Verdict), word(a.Egress.Verdict), word(a.Verdict)}
		want := [3]string{c.Ingress, c.Egress, c.Combined}
		if got != want {
			diffs = append(diffs, fmt.Sprintf("%s → %s %s %d: ingress, egress, both are %v, want %v", c.From, c.To, c.Proto, c.Port, got, want))
		}
	}
	return n, diffs
}

func word(v plan.Verdict) string {
	if v == plan.Allow {
		return "allowed"
	}
	return "blocked"
}

// plan compiles a step's objects, read as manifests.
func (s *cyclonusStep) plan(t *testing.T) (*plan.Plan, map[string]plan.End) {
	t.Helper()
	// Some of the policies leave out what they are, as the items of a typed list may.
	list, err := json.Marshal(map[string]any{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "items": s.Policies})
	if err != nil {
		t.Fatal(err)
	}
	objs, diags := manifest.Parse("policies.json", list, manifest.Limits{})
	if len(objs) != len(s.Policies) || len(diags) > 0 {
		t.Fatalf("reading %s: %v", list, diags)
	}
	var policies []ir.Policy
	for _, o := range objs {
		np, found := networkpolicy.Lower(o, "default")
		if found.HasErrors() {
			t.Fatalf("lowering %s: %v", o.JSON, found[0].Error())
		}
		policies = append(policies, np)
	}
	inv, _, found := inventory.Read(s.objects(t), inventory.Options{})
	if len(found) > 0 {
		t.Fatal(found[0].Error())
	}
	p, found := resolve.Compile(resolve.Input{Policies: policies, Inventory: inv, Now: time.Unix(1, 0), Config: inventory.Config{EnforceNetworkPolicy: true}})
	if found.HasErrors() {
		t.Fatal(found[0].Error())
	}
	ends := map[string]plan.End{}
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		ends[e.Namespace+"/"+e.Name] = plan.End{Peer: e.Peers[0], Endpoint: int32(i), Frontend: plan.None}
	}
	return p, ends
}

// objects writes the step's namespaces and pods as Kubernetes objects.
func (s *cyclonusStep) objects(t *testing.T) []*manifest.Object {
	t.Helper()
	items := []any{}
	for name, labels := range s.Namespaces {
		items = append(items, map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name, "labels": labels}})
	}
	taken := map[string]bool{}
	for _, p := range s.Pods {
		// Some steps give one address to two pods. The second goes without, which no rule of these steps can tell.
		status := map[string]any{"phase": "Running", "podIP": p.IP}
		if taken[p.IP] {
			status = map[string]any{"phase": "Running"}
			if strings.Contains(fmt.Sprintf("%s", s.Policies), "ipBlock") {
				t.Fatalf("the address %s of %s/%s is another pod's, and a rule looks at addresses", p.IP, p.Namespace, p.Name)
			}
		}
		taken[p.IP] = true
		var ports []any
		for _, port := range p.Ports {
			ports = append(ports, map[string]any{"name": port.Name, "containerPort": port.Port, "protocol": port.Proto})
		}
		items = append(items, map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": p.Name, "namespace": p.Namespace, "labels": p.Labels},
			"spec": map[string]any{"containers": []any{map[string]any{"name": "c", "ports": ports}}}, "status": status})
	}
	b, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		t.Fatal(err)
	}
	objs, diags := manifest.Parse("step.json", b, manifest.Limits{})
	if len(diags) > 0 {
		t.Fatal(diags[0].Error())
	}
	return objs
}
