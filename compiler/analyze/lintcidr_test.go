package analyze

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// cidrOf reads "10.0.0.0/8-10.1.0.0/16-10.2.0.0/16", with "+pods" for matchPods.
func cidrOf(s string) *ir.CIDR {
	s, matchPods := strings.CutSuffix(s, "+pods")
	parts := strings.Split(s, "-")
	c := &ir.CIDR{Prefix: netip.MustParsePrefix(parts[0]), MatchPods: matchPods}
	for _, e := range parts[1:] {
		c.Except = append(c.Except, netip.MustParsePrefix(e))
	}
	return c
}

// TestCIDRInCluster holds what is said of blocks at the edges of the cluster's addresses, and that it is said of a block
// exactly when no address has an identity that the block matches (S3).
func TestCIDRInCluster(t *testing.T) {
	prefixes := func(s ...string) (out []netip.Prefix) {
		for _, p := range s {
			out = append(out, netip.MustParsePrefix(p))
		}
		return out
	}
	inv := &inventory.Inventory{Namespaces: []inventory.Namespace{{Name: "a"}},
		Nodes: []inventory.Node{{Name: "n1", Addrs: []netip.Addr{netip.MustParseAddr("172.16.0.1")}, PodCIDRs: prefixes("10.1.3.0/24")}},
		Pods: []inventory.Pod{{Namespace: "a", Name: "web", Node: "n1", ServiceAccount: "web", Workload: inventory.Workload{Kind: "Pod", Namespace: "a", Name: "web"},
			Addrs: []netip.Addr{netip.MustParseAddr("10.1.3.7"), netip.MustParseAddr("fd42::7")}}}}
	cfg := inventory.Config{Present: true, PodRanges: prefixes("10.1.0.0/16", "fd42::/48"), NodeRanges: prefixes("10.2.0.0/16"), ServiceRanges: prefixes("10.3.0.0/16")}
	for in, want := range map[string]string{
		"10.1.0.0/16":                 "10.1.0.0/16 matches nothing: it lies in the pod range 10.1.0.0/16; this deny fails open",
		"10.1.3.7/32":                 "10.1.3.7/32 matches nothing: it lies in the pod range 10.1.0.0/16; this deny fails open",
		"10.1.255.255/32":             "10.1.255.255/32 matches nothing: it lies in the pod range 10.1.0.0/16; this deny fails open",
		"10.0.0.0/14-10.0.0.0/16":     "10.0.0.0/14 matches nothing: its excepts leave only the pod range 10.1.0.0/16, the node range 10.2.0.0/16 and the service range 10.3.0.0/16; this deny fails open",
		"10.0.0.0/14":                 "10.0.0.0/14 does not match the pod range 10.1.0.0/16 and the node range 10.2.0.0/16, a part of it; this deny fails open",
		"10.2.0.0/15":                 "10.2.0.0/15 matches nothing: it lies in the node range 10.2.0.0/16 and the service range 10.3.0.0/16; this deny fails open",
		"10.3.0.0/15":                 "10.2.0.0/15 matches nothing: it lies in the node range 10.2.0.0/16 and the service range 10.3.0.0/16; this deny fails open",
		"10.0.0.0/16":                 "",
		"10.4.0.0/16":                 "",
		"172.16.0.1/32":               "172.16.0.1/32 matches nothing: it holds only the node address 172.16.0.1; this deny fails open",
		"172.16.0.0/31":               "172.16.0.0/31 does not match the node address 172.16.0.1, a part of it; this deny fails open",
		"172.16.0.0/31-172.16.0.0/32": "172.16.0.0/31 matches nothing: its excepts leave only the node address 172.16.0.1; this deny fails open",
		"172.16.0.0/31-172.16.0.1/32": "",
		"198.51.100.0/24-198.51.100.0/26-198.51.100.64/26-198.51.100.128/25": "198.51.100.0/24 matches nothing: its excepts take all of it away; this deny fails open",
		"198.51.100.0/24-198.51.100.0/26-198.51.100.65/32-198.51.100.128/25": "",
		"0.0.0.0/0-0.0.0.0/1-128.0.0.0/1":                                    "0.0.0.0/0 matches nothing: its excepts take all of it away; this deny fails open",
		"::/0-fd42::/48":                                                     "",
		"fd42::/47":                                                          "fd42::/47 does not match the pod range fd42::/48, a part of it; this deny fails open",
		"10.1.3.0/24+pods":                                                   "",
		"10.1.3.0/24-10.1.3.7/32+pods":                                       "10.1.3.0/24 matches nothing: no pod or node that was read has an address in it, and it lies in the pod range 10.1.0.0/16; this deny fails open",
		"10.1.4.0/24+pods":                                                   "10.1.4.0/24 matches nothing: no pod or node that was read has an address in it, and it lies in the pod range 10.1.0.0/16; this deny fails open",
		"172.16.0.0/24+pods":                                                 "",
		"172.16.0.1/32+pods":                                                 "",
		"10.3.9.0/24+pods":                                                   "10.3.9.0/24 matches nothing: it lies in the service range 10.3.0.0/16; this deny fails open",
		"192.0.2.0/31-192.0.2.0/32-192.0.2.1/32+pods":                        "192.0.2.0/31 matches nothing: its excepts take all of it away; this deny fails open",
	} {
		c := cidrOf(in)
		policy := ir.Policy{Kind: "MeshPolicy", Namespace: "a", Name: "p", Layer: ir.Mesh, Tier: ir.Namespace, Subject: ir.Selector{Namespace: "a"},
			Rules: []ir.Rule{{Direction: ir.Egress, Action: ir.Deny, Peers: []ir.Peer{{CIDR: c}}}}}
		n := namesOf(t, resolve.Input{Inventory: inv, Config: cfg, Now: now, Policies: []ir.Policy{policy}})
		var got []string
		for _, d := range Lint(n) {
			if d.Code == CodeCIDR || d.Code == CodeNoPeer {
				got = append(got, d.Message)
			}
		}
		if text := strings.Join(got, "\n"); text != want {
			t.Errorf("%s: %q, want %q", in, text, want)
		}
		if matches := matchesAny(n, c.Prefix.Masked()); matches == strings.Contains(want, "matches nothing") {
			t.Errorf("%s: some address is denied: %t, and the finding is %q", in, matches, want)
		}
	}
}

// TestCIDRMulticast is S6: no rule lets multicast pass, so that an allow of it is pointed out, and a deny is not.
func TestCIDRMulticast(t *testing.T) {
	for in, want := range map[string]string{
		"224.0.0.0/4":        "warning 224.0.0.0/4 matches nothing: multicast is denied, whatever a rule says",
		"ff02::fb/128+pods":  "warning ff02::fb/128 matches nothing: multicast is denied, whatever a rule says",
		"255.255.255.255/32": "warning 255.255.255.255/32 matches nothing: multicast is denied, whatever a rule says",
		"192.0.0.0/2":        "",
		"224.0.0.0/3":        "", // 240.0.0.0/4 is none
	} {
		for action, want := range map[ir.Action]string{ir.Allow: want, ir.Deny: ""} {
			world := namesWorld()
			world.Policies = []ir.Policy{{Kind: "MeshPolicy", Namespace: "a", Name: "p", Layer: ir.Mesh, Tier: ir.Namespace, Subject: ir.Selector{Namespace: "a"},
				Rules: []ir.Rule{{Direction: ir.Egress, Action: action, Plaintext: action == ir.Allow, Peers: []ir.Peer{{CIDR: cidrOf(in)}}}}}}
			got := ""
			for _, d := range Lint(namesOf(t, world)) {
				if d.Code == CodeCIDR {
					got += d.Severity.String() + " " + d.Message
				}
			}
			if got != want {
				t.Errorf("%s %s: %q, want %q", action, in, got, want)
			}
		}
	}
}

// matchesAny asks the plan about addresses of a block: its ends and those around the inventory's blocks.
func matchesAny(n *Names, block netip.Prefix) bool {
	asked := []netip.Addr{block.Addr(), lastOf(block)}
	for p := range n.plan.Addresses.Prefixes {
		asked = append(asked, p.Addr(), p.Addr().Prev(), lastOf(p), lastOf(p).Next())
	}
	for a := range n.plan.Addresses.Exact {
		asked = append(asked, a, a.Prev(), a.Next())
	}
	set := &n.plan.PeerSets[n.plan.Rules[0].PeerSet]
	for _, a := range asked {
		if a.IsValid() && block.Contains(a) && set.Has(n.plan.Addresses.Lookup(a)) {
			return true
		}
	}
	return false
}

// TestOverlapping compares the search with a look at each.
func TestOverlapping(t *testing.T) {
	l := &linter{}
	for _, s := range []string{"10.0.0.0/24", "10.0.1.0/32", "10.0.2.0/23", "10.1.0.0/16", "fd00::/64", "fd00:0:0:1::/64"} {
		l.inside = append(l.inside, inside{Prefix: netip.MustParsePrefix(s)})
	}
	asked := 0
	for _, s := range []string{"0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/22", "10.0.0.255/32", "10.0.1.0/24", "10.0.1.0/32", "10.0.1.1/32", "10.0.3.0/24", "9.0.0.0/8", "10.2.0.0/16", "::/0", "fd00::/63", "fd00::1/128", "fc00::/16"} {
		var want []inside
		b := netip.MustParsePrefix(s)
		for _, x := range l.inside {
			if x.Overlaps(b) {
				want = append(want, x)
				asked++
			}
		}
		if got := l.overlapping(b); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", s, got, want)
		}
	}
	if asked == 0 {
		t.Fatal("nothing overlaps: the test is broken")
	}
}

// TestEmptyPeersSeverity holds that what a whole cluster's rules miss is a note, and what can match in no cluster is not.
func TestEmptyPeersSeverity(t *testing.T) {
	in := namesWorld()
	in.Policies = []ir.Policy{{Kind: "ClusterMeshPolicy", Name: "c", Layer: ir.Mesh, Tier: ir.Admin, Rules: []ir.Rule{
		{Direction: ir.Ingress, Index: 0, Action: ir.Deny, Peers: []ir.Peer{{Pods: &ir.Selector{Pods: eq("app", "nobody")}}}},
		{Direction: ir.Ingress, Index: 1, Action: ir.Pass, Peers: []ir.Peer{{CIDR: cidrOf("10.0.0.0/24")}}},
		{Direction: ir.Ingress, Index: 2, Action: ir.Allow, Plaintext: true, Peers: []ir.Peer{{Entity: ir.KubeAPIServer}}},
	}}}
	want := []string{"warning 10.0.0.0/24 matches nothing: it lies in the pod range 10.0.0.0/24; this pass passes nothing on, and the rules after it decide",
		"warning kube-apiserver matches nothing: nothing that was read says where the API server is",
		"note no pod is app=nobody; this deny fails open"} // sorted: none has a place
	var got []string
	for _, d := range Lint(namesOf(t, in)) {
		if d.Code == CodeCIDR || d.Code == CodeNoPeer || d.Code == CodeNowhere {
			got = append(got, d.Severity.String()+" "+d.Message)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
