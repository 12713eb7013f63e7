package analyze

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
)

func addrs(s ...string) (out []netip.Addr) {
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// nodesWorld has pods on two nodes of both families, on one of which no address is known, and on none yet. Workload a/web is
// on both nodes; a/agent has the network of each.
func nodesWorld() resolve.Input {
	pod := func(name, owner, node string, as ...string) inventory.Pod {
		return inventory.Pod{Namespace: "a", Name: name, Workload: inventory.Workload{Kind: "Deployment", Namespace: "a", Name: owner}, ServiceAccount: owner,
			Labels: map[string]string{"app": owner}, Node: node, Addrs: addrs(as...)}
	}
	agent := func(node string, as ...string) inventory.Pod {
		p := pod("agent-"+node, "agent", node, as...)
		p.HostNetwork = true
		return p
	}
	inv := &inventory.Inventory{Namespaces: []inventory.Namespace{{Name: "a"}},
		Nodes: []inventory.Node{{Name: "n1", Addrs: addrs("192.168.0.1", "fd50::1")}, {Name: "n2", Addrs: addrs("192.168.0.2", "fd50::2", "192.168.9.2")}, {Name: "n3"}},
		Pods: []inventory.Pod{pod("web-1", "web", "n1", "10.0.0.1", "fd42::1"), pod("web-2", "web", "n2", "10.0.0.2", "fd42::2"), pod("four", "four", "n2", "10.0.0.3"),
			pod("lost", "lost", "n3", "10.0.0.4"), pod("new", "new", ""), agent("n1", "192.168.0.1"), agent("n2", "192.168.0.2")}}
	inv.Pods[4].Declared, inv.Pods[4].Replicas = true, 1
	return resolve.Input{Inventory: inv, Now: now, Config: inventory.Config{Present: true, TrustDomain: "t",
		PodRanges: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("fd42::/48")}}}
}

// fromNodesPolicy isolates every pod's ingress and allows peers TCP, each its port: 1 the first, 2 the second.
func fromNodesPolicy(peers ...ir.Peer) ir.Policy {
	p := ir.Policy{Kind: "MeshPolicy", Namespace: "a", Name: "p", Layer: ir.Mesh, Tier: ir.Namespace, Subject: ir.Selector{Namespace: "a"},
		Isolate: [ir.NumDirections]bool{ir.Ingress: true}}
	for i, peer := range peers {
		p.Rules = append(p.Rules, ir.Rule{Direction: ir.Ingress, Index: i, Action: ir.Allow, Plaintext: true, Peers: []ir.Peer{peer},
			Ports: []ir.Port{{Space: ir.TCP, First: uint16(i + 1), Last: uint16(i + 1)}}})
	}
	return p
}

func (n *Names) askText(t *testing.T, from, to string, port uint16) string {
	t.Helper()
	q := Question{Port: Port{Space: ir.TCP, Number: port}}
	var err error
	if q.From, err = n.Resolve(from); err != nil {
		t.Fatal(err)
	}
	if q.To, err = n.Resolve(to); err != nil {
		t.Fatal(err)
	}
	r, err := n.Ask(q)
	if err != nil {
		return err.Error()
	}
	return word(&r)
}

// TestAskNodes is S5: a pod's own node is one node, the host is any other, and where answers differ each node is named.
func TestAskNodes(t *testing.T) {
	const differ = "the ends differ: "
	in := nodesWorld()
	in.Inventory.APIServers = addrs("192.168.0.2")
	matchPods := func(s string) ir.Peer { return ir.Peer{CIDR: cidrOf(s + "+pods")} }
	in.Policies = []ir.Policy{fromNodesPolicy(ir.Peer{Entity: ir.OwnNode}, ir.Peer{Entity: ir.KubeAPIServer}, matchPods("192.168.0.1/32"), matchPods("fd50::2/128"))}
	n := namesOf(t, in)
	for _, c := range []struct {
		from, to string
		port     uint16
		want     string
	}{
		{"own-node", "a/web-1", 1, "allow in plaintext"},
		{"host", "a/web-1", 1, "deny"},
		{"192.168.0.1", "a/web-1", 1, "allow in plaintext"},
		{"192.168.0.2", "a/web-1", 1, "deny"},
		{"a/agent-n1", "a/web-1", 1, "allow in plaintext"},
		{"a/agent-n2", "a/web-1", 1, "deny"},
		{"a/agent", "a/web-1", 1, differ + "allow in plaintext for a/agent-n1 → a/web-1, deny for a/agent-n2 → a/web-1"},
		{"a/agent", "a/web", 1, differ + "allow in plaintext for a/agent-n1 → a/web-1, deny for a/agent-n1 → a/web-2"},
		{"own-node", "a/web", 1, "allow in plaintext"},
		{"own-node", "cluster", 1, "allow in plaintext"},
		{"own-node", "a/lost", 1, "allow in plaintext"},
		{"host", "a/lost", 1, "deny"},
		{"own-node", "a/new", 1, "allow in plaintext"},
		{"host", "a/new", 1, "deny"},
		{"own-node", "a/web-1", 2, "deny"},
		{"own-node", "a/four", 2, differ + "allow in plaintext for own-node (n2 192.168.0.2, the pod's own node) → a/four, deny for own-node (n2 192.168.9.2, the pod's own node) → a/four"},
		{"kube-apiserver", "a/web-1", 2, "allow in plaintext"},
		{"kube-apiserver", "a/four", 1, "allow in plaintext"}, // it is a socket of the pod's own node
		{"kube-apiserver", "a/web-1", 1, "deny"},
		{"kube-apiserver", "a/web", 1, differ + "allow in plaintext for kube-apiserver (n2 192.168.0.2, the pod's own node) → a/web-2, deny for kube-apiserver (n2 192.168.0.2) → a/web-1"},
		{"host", "a/web-1", 2, differ + "allow in plaintext for host (n2 192.168.0.2) → a/web-1, deny for host (n2 192.168.9.2) → a/web-1"},
		{"host", "a/four", 3, "allow in plaintext"}, // of IPv4, and of the other node
		{"own-node", "host", 1, "own-node is a pod's: ask about a pod"},
		{"own-node", "world", 1, "own-node is a pod's: ask about a pod"},
		{"own-node", "a/web", 3, differ + "allow in plaintext for own-node (n1 192.168.0.1, the pod's own node) → a/web-1, deny for own-node (n2 192.168.0.2, the pod's own node) → a/web-2"},
		{"own-node", "a/web-2", 4, differ + "deny for own-node (n2 192.168.0.2, the pod's own node) → a/web-2, allow in plaintext for own-node (n2 fd50::2, the pod's own node) → a/web-2"},
		{"a/web-1", "host", 1, "allow"},
		{"a/web-1", "own-node", 1, "own-node is only where a connection comes from (S5)"},
	} {
		if got := n.askText(t, c.from, c.to, c.port); got != c.want {
			t.Errorf("%s → %s %d:\n got %s\nwant %s", c.from, c.to, c.port, got, c.want)
		}
	}
	in.Inventory.Nodes, in.Inventory.Pods = in.Inventory.Nodes[:1], in.Inventory.Pods[:1]
	if got := namesOf(t, in).askText(t, "host", "a/web-1", 1); got != "no node but the pod's own is known: ask about own-node" {
		t.Errorf("one node: %s", got)
	}
	in.Inventory.Nodes = nil
	for from, want := range map[string]string{"host": "deny", "own-node": "allow in plaintext"} {
		if got := namesOf(t, in).askText(t, from, "a/web-1", 1); got != want {
			t.Errorf("no node known: from %s: %s, want %s", from, got, want)
		}
	}
}

// TestAskDifferAddress holds that one pod whose addresses differ is named with them.
func TestAskDifferAddress(t *testing.T) {
	in := nodesWorld()
	in.Policies = []ir.Policy{fromNodesPolicy(ir.Peer{CIDR: cidrOf("10.0.0.1/32+pods")})}
	n := namesOf(t, in)
	if got, want := n.askText(t, "a/web", "a/lost", 1), "the ends differ: allow in plaintext for a/web-1 at 10.0.0.1 → a/lost, deny for a/web-2 → a/lost"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if got, want := n.askText(t, "cluster", "a/lost", 1), "the ends differ: deny for cluster (a/four) → a/lost, allow in plaintext for cluster (a/new) → a/lost"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// TestReachNodesOfBothFamilies holds that a node is reached in each of its families, whatever the pods in its network have.
func TestReachNodesOfBothFamilies(t *testing.T) {
	in := nodesWorld()
	in.Inventory.Pods[0].Addrs = addrs("fd42::1")
	in.Inventory.Pods = slices.Delete(in.Inventory.Pods, 1, 2)
	rows, err := namesOf(t, in).Reach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(rows, func(r Row) bool { return r.From == "a/web" && r.To == "host" }) {
		t.Errorf("no line from a/web to host: %+v", rows)
	}
}

// TestLinesFromNodes holds that a line from pods with their nodes' network knows whose own node that is (S5).
func TestLinesFromNodes(t *testing.T) {
	for _, c := range []struct {
		keep []string
		want []string
	}{
		{[]string{"agent-n1", "web-1", "four"}, []string{"a/agent[Deployment] => a/web[Deployment] : TCP 1"}},
		{[]string{"agent-n2", "web-1", "four"}, []string{"a/agent[Deployment] => a/four[Deployment] : TCP 1-2", "a/agent[Deployment] => a/web[Deployment] : TCP 2"}},
	} {
		in := nodesWorld()
		in.Inventory.Pods = slices.DeleteFunc(in.Inventory.Pods, func(p inventory.Pod) bool { return !slices.Contains(c.keep, p.Name) })
		in.Policies = []ir.Policy{fromNodesPolicy(ir.Peer{Entity: ir.OwnNode}, ir.Peer{CIDR: cidrOf("192.168.0.2/32+pods")})}
		got := slices.DeleteFunc(Lines(namesOf(t, in).plan), func(s string) bool { return !strings.HasPrefix(s, "a/agent") || strings.Contains(s, "External") })
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: %q, want %q", c.keep, got, c.want)
		}
	}
}

// hostSource is an address of a node as one pod sees it: what S5 says, written out.
type hostSource struct {
	api, own bool
	peer     plan.PeerIndex
}

// hostSources lists, for each pod of a workload, the addresses of nodes that can be the source of a connection to it.
func hostSources(p *plan.Plan, workload string) map[plan.PeerIndex][]hostSource {
	out := map[plan.PeerIndex][]hostSource{}
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		if e.Workload != "Deployment/"+workload {
			continue
		}
		for j, pod := range e.Peers {
			for k := range p.Nodes {
				n := &p.Nodes[k]
				for m, a := range n.Addrs {
					if j < len(e.Addrs) && e.Addrs[j].Is4() != a.Is4() {
						continue
					}
					api := p.Peers[n.Host[m]].APIServer
					if n.Name == e.Node || e.Node == "" {
						out[pod] = append(out[pod], hostSource{api, true, n.Own[m]})
					}
					if n.Name != e.Node {
						out[pod] = append(out[pod], hostSource{api, false, n.Host[m]})
					}
				}
			}
		}
	}
	return out
}

// TestReachAndExplainAgree compares, in random worlds of nodes, pods and rules about them, what explain answers and what reach
// lists with each other and with the answers for every address of a node and every pod (S5).
func TestReachAndExplainAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	asked := map[string]int{}
	for range 300 {
		in := nodesWorld()
		in.Inventory.Nodes = in.Inventory.Nodes[:2]
		in.Inventory.Pods = slices.DeleteFunc(in.Inventory.Pods, func(p inventory.Pod) bool { return p.Node == "n3" || p.HostNetwork })
		in.Inventory.APIServers = addrs(pick(r, "192.168.0.1", "fd50::2", "192.168.9.2"))
		peer := func() ir.Peer {
			if r.IntN(3) == 0 {
				return ir.Peer{CIDR: cidrOf(pick(r, "192.168.0.0/24", "192.168.0.2/32", "fd50::/64", "192.168.0.0/16", "fd50::1/128") + "+pods")}
			}
			return ir.Peer{Entity: pick(r, ir.Host, ir.OwnNode, ir.KubeAPIServer, ir.Cluster)}
		}
		policy := fromNodesPolicy(peer(), peer(), peer())
		policy.Rules[1].Action, policy.Rules[1].Plaintext = ir.Deny, false
		policy.Rules[1].Ports = []ir.Port{{Space: ir.TCP, First: 3, Last: 3}}
		in.Policies = []ir.Policy{policy}
		n := namesOf(t, in)
		rows, err := n.Reach(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range []string{"web", "four", "new"} {
			for port := uint16(1); port <= 3; port++ {
				for _, from := range []string{"own-node", "host", "kube-apiserver"} {
					compareNodes(t, n, rows, from, to, port, asked)
				}
			}
		}
	}
	for _, want := range []string{"own-node allow", "own-node deny", "own-node differ", "host allow", "host deny", "host differ", "kube-apiserver allow", "kube-apiserver deny", "kube-apiserver differ"} {
		if asked[want] < 20 {
			t.Errorf("%s: only %d times, of %v", want, asked[want], asked)
		}
	}
}

func compareNodes(t *testing.T, n *Names, rows []Row, from, to string, port uint16, asked map[string]int) {
	t.Helper()
	verdicts, listed := map[plan.Verdict]bool{}, false
	for pod, each := range hostSources(n.plan, to) {
		for _, s := range each {
			if from == "own-node" && !s.own || from == "host" && s.own || from == "kube-apiserver" && !s.api {
				continue
			}
			v := n.plan.Decide(plan.Flow{Src: plan.NewEnd(s.peer), Dst: plan.NewEnd(pod), Port: plan.Key(ir.TCP, port)}).Verdict
			verdicts[v] = true
			if v != plan.Deny && (from != "host" || !s.api) { // the API server's node has a line of its own
				listed = true
			}
		}
	}
	if len(verdicts) == 0 {
		return // an API server of another family
	}
	var got, want string
	switch {
	case len(verdicts) > 1:
		want = "differ"
	case verdicts[plan.Allow]:
		want = "allow"
	default:
		want = "deny"
	}
	asked[from+" "+want]++
	q := Question{Port: Port{Space: ir.TCP, Number: port}}
	q.From, _ = n.Resolve(from)
	q.To, _ = n.Resolve("a/" + to)
	reply, err := n.Ask(q)
	var differ *DifferError
	switch {
	case errors.As(err, &differ):
		got = "differ"
		if a, b, ok := strings.Cut(strings.TrimPrefix(differ.Text, "the ends differ: "), ", deny for "); ok && strings.HasSuffix(a, " for "+b) {
			t.Errorf("%s → %s %d: the two ends are called the same: %s", from, to, port, differ.Text)
		}
	case err != nil:
		got = err.Error()
	default:
		got = reply.Verdict.String()
	}
	if got != want {
		t.Fatalf("%s → %s TCP %d: explain says %s, want %s (%v)\n%+v", from, to, port, got, want, err, n.plan.Policies[0].Source.Rules)
	}
	if shown := n.shows(rows, from, "a/"+to, port); shown != listed {
		t.Fatalf("%s → %s TCP %d: reach lists it: %t, want %t\n%+v\n%+v", from, to, port, shown, listed, rows, n.plan.Policies[0].Source.Rules)
	}
}

// shows reports whether rows say that a port is open, as a reader would: a line of the nodes is the API server's, too, but
// where it says not.
func (n *Names) shows(rows []Row, from, to string, port uint16) bool {
	has := func(r *Row) bool {
		for _, p := range r.Ports {
			var first, last uint16
			if n, _ := fmt.Sscanf(p, "TCP %d-%d", &first, &last); n == 1 {
				last = first
			}
			if p == "any" || first <= port && port <= last {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(rows, func(r Row) bool {
		server := slices.ContainsFunc(n.hosts.addrs, func(a nodeAddr) bool {
			return n.plan.Peers[a.host].APIServer && (r.Family == "" || r.Family == addrFamily(a.addr).String())
		})
		return r.To == to && has(&r) && (r.From == from || from == "kube-apiserver" && server && r.From == "host" && !slices.Contains(r.Except, from))
	})
}

// TestAskDependsWithinAWorkload holds that what the replicas of a pod that has no address yet answer each other hangs on it
// too (S4): they do not differ in anything else.
func TestAskDependsWithinAWorkload(t *testing.T) {
	in := nodesWorld()
	in.Inventory.Pods[4].Replicas = 2
	for d := range ir.NumDirections {
		p := fromNodesPolicy(ir.Peer{CIDR: cidrOf("10.0.0.0/24+pods")})
		p.Rules[0].Direction = d
		p.Isolate = [ir.NumDirections]bool{}
		p.Isolate[d] = true
		in.Policies = []ir.Policy{p}
		got := namesOf(t, in).askText(t, "a/new", "a/new", 1)
		if want := "depends on the pod's address: "; !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s…", d, got, want)
		}
	}
}

// TestReachServerInBlock holds that a block's line does not speak for the API server in it, which is told apart.
func TestReachServerInBlock(t *testing.T) {
	in := nodesWorld()
	in.Inventory.APIServers = addrs("192.0.2.10")
	admin := fromNodesPolicy(ir.Peer{Entity: ir.KubeAPIServer})
	admin.Name, admin.Tier, admin.Isolate = "admin", ir.Admin, [ir.NumDirections]bool{}
	admin.Rules[0].Action, admin.Rules[0].Plaintext = ir.Deny, false
	in.Policies = []ir.Policy{fromNodesPolicy(ir.Peer{CIDR: cidrOf("192.0.2.0/24")}), admin}
	rows, err := namesOf(t, in).Reach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(rows, func(r Row) bool { return r.From == "192.0.2.0/24" && r.To == "a/web" })
	if at < 0 || !slices.Equal(rows[at].Except, []string{apiServer}) {
		t.Errorf("%+v", rows)
	}
}
