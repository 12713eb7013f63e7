package resolve_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// findings are what a compile of the world finds, each as "line severity code: message".
func (w *world) findings(t *testing.T) (out []string) {
	t.Helper()
	_, found := w.compile(t)
	for _, d := range found {
		out = append(out, fmt.Sprintf("%d %s %s: %s", d.Pos.Line, d.Severity, d.Code, d.Message))
		if d.Hint == "" {
			t.Errorf("%s: no way out is named", d.Code)
		}
	}
	return out
}

// TestEnrolmentOfNobody: a selector of the MeshConfig that selects no pod is said, where it stands; what it does not select is
// open by default (S16).
func TestEnrolmentOfNobody(t *testing.T) {
	const nobody = "3 warning WEIR2028: no pod is enrolled: no namespace that was read has the label weir.dev/mesh=enabled"
	const enrols, serves = "warning WEIR2028: this enrols no pod: nothing that was read is that",
		"warning WEIR2028: this gives no enrolled pod a waypoint: nothing that was read is that"
	unlabelled := func(w *world) { w.inv.Namespaces[0].Labels = nil }
	written := func(cfg *inventory.Config, lines ...int) {
		for _, l := range lines {
			cfg.EnrolledPos = append(cfg.EnrolledPos, diag.Position{Line: l})
		}
	}
	deny := mesh("a", in(ir.Deny, from(app("jobs", "batch")), nil))
	np := deny
	np.Layer = ir.Orchestrator
	for _, c := range []struct {
		what     string
		policies []ir.Policy
		change   func(*world)
		want     []string
	}{
		{"somebody is enrolled", []ir.Policy{deny}, func(*world) {}, nil},
		{"nobody is, by default", []ir.Policy{deny}, unlabelled, []string{nobody}},
		{"nobody is, and there is one pod", []ir.Policy{deny}, func(w *world) { unlabelled(w); w.inv.Pods = w.inv.Pods[:1] }, []string{nobody}},
		{"there is nobody", []ir.Policy{deny}, func(w *world) { unlabelled(w); w.inv.Pods = nil }, nil},
		{"nobody is, and no policy is of our kinds", []ir.Policy{np}, unlabelled, nil},
		{"one policy is of our kinds", []ir.Policy{np, deny}, unlabelled, []string{nobody}},
		{"there is no policy", nil, unlabelled, nil},
		{"no MeshConfig was read", []ir.Policy{deny}, func(w *world) { unlabelled(w); w.cfg.Present = false }, nil},
		{"what is written enrols somebody", nil, func(w *world) { written(&w.cfg, 5) }, nil},
		{"what is written enrols nobody", nil, func(w *world) { unlabelled(w); written(&w.cfg, 5) }, []string{"5 " + enrols}},
		{"what is written enrols nobody, and a policy is ours", []ir.Policy{deny}, func(w *world) { unlabelled(w); written(&w.cfg, 5) }, []string{"5 " + enrols}},
		{"one of two enrols nobody", nil, func(w *world) {
			w.cfg.Enrolled = append(w.cfg.Enrolled, ir.Selector{Namespace: "shops"})
			written(&w.cfg, 5, 6)
		}, []string{"6 " + enrols}},
		{"waypoints for an enrolled pod", nil, func(w *world) {
			w.cfg.Waypoints, w.cfg.WaypointsPos = []ir.Selector{app("shop", "web")}, []diag.Position{{Line: 7}}
		}, nil},
		{"waypoints for a pod that is not enrolled", nil, func(w *world) {
			w.cfg.Waypoints, w.cfg.WaypointsPos = []ir.Selector{app("jobs", "batch")}, []diag.Position{{Line: 7}}
		}, []string{"7 " + serves}},
	} {
		w := newWorld(c.policies...)
		w.cfg.Pos.Line = 3
		c.change(w)
		if got := w.findings(t); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.what, got, c.want)
		}
	}
}

// TestRanges: a range that leaves out an object of its kind, or overlaps another kind's, makes strangers of neighbours (S3).
func TestRanges(t *testing.T) {
	const stray, strays = "3 warning WEIR2024: %s has the address %s, which is in no %s range",
		"3 warning WEIR2024: %s and %d more have addresses, such as %s, that are in no %s range"
	service := func(w *world, ips ...string) {
		w.inv.Services = append(w.inv.Services, inventory.Service{Namespace: "shop", Name: "web", ClusterIPs: addrs(ips...)})
		w.cfg.ServiceRanges = prefixes("10.96.0.0/16")
	}
	for _, c := range []struct {
		what   string
		change func(*world)
		want   []string
	}{
		{"all are in their ranges", func(w *world) { w.cfg.NodeRanges = prefixes("192.168.0.0/24"); service(w, "10.96.0.9") }, nil},
		{"no range is given", func(w *world) { w.cfg.PodRanges = nil; service(w, "10.96.0.9"); w.cfg.ServiceRanges = nil }, nil},
		{"one pod is out", func(w *world) { w.pod("shop", "far", "10.1.0.1") }, []string{fmt.Sprintf(stray, "pod shop/far", "10.1.0.1", "pod")}},
		{"two pods are out", func(w *world) { w.pod("shop", "far", "10.1.0.1"); w.pod("shop", "further", "10.2.0.1") },
			[]string{fmt.Sprintf(strays, "pod shop/far", 1, "10.1.0.1", "pod")}},
		{"three pods are out", func(w *world) { w.cfg.PodRanges = prefixes("10.3.0.0/16") }, []string{fmt.Sprintf(strays, "pod jobs/batch", 2, "10.0.0.3", "pod")}},
		{"one pod is out, in the longer form", func(w *world) { w.pod("shop", "far", "::ffff:10.1.0.1") }, []string{fmt.Sprintf(stray, "pod shop/far", "10.1.0.1", "pod")}},
		{"a node's range holds it", func(w *world) { w.pod("shop", "far", "10.1.0.1"); w.inv.Nodes[0].PodCIDRs = prefixes("10.1.0.0/24") }, nil},
		{"it has its node's address", func(w *world) { w.pod("shop", "agent", "192.168.0.1"); w.inv.Pods[3].HostNetwork = true }, nil},
		{"no range of its family is given", func(w *world) { w.pod("shop", "six", "fd00::1") }, nil},
		{"the range of its family is another", func(w *world) {
			w.pod("shop", "six", "fd00::1")
			w.cfg.PodRanges = append(w.cfg.PodRanges, prefixes("fd01::/64")...)
		},
			[]string{fmt.Sprintf(stray, "pod shop/six", "fd00::1", "pod")}},
		{"a node is out", func(w *world) { w.cfg.NodeRanges = prefixes("192.168.1.0/24") }, []string{fmt.Sprintf(stray, "node n1", "192.168.0.1", "node")}},
		{"a node is out, in the longer form", func(w *world) {
			w.inv.Nodes[0].Addrs, w.cfg.NodeRanges = addrs("::ffff:192.168.0.1"), prefixes("192.168.1.0/24")
		}, []string{fmt.Sprintf(stray, "node n1", "192.168.0.1", "node")}},
		{"a service is out", func(w *world) { service(w, "10.97.0.9") }, []string{fmt.Sprintf(stray, "service shop/web", "10.97.0.9", "service")}},
		{"a service is out, in the longer form", func(w *world) { service(w, "::ffff:10.97.0.9") },
			[]string{fmt.Sprintf(stray, "service shop/web", "10.97.0.9", "service")}},
		{"nodes are among the pods", func(w *world) {
			w.cfg.PodRanges, w.cfg.NodeRanges = prefixes("10.0.0.0/8"), prefixes("10.9.0.0/16", "192.168.0.0/24")
		},
			[]string{"3 warning WEIR2024: the pod range 10.0.0.0/8 and the node range 10.9.0.0/16 overlap"}},
		{"services are among the nodes", func(w *world) {
			w.cfg.NodeRanges, w.cfg.ServiceRanges = prefixes("192.168.0.0/24"), prefixes("10.96.0.0/16", "192.168.0.0/16")
		}, []string{"3 warning WEIR2024: the node range 192.168.0.0/24 and the service range 192.168.0.0/16 overlap"}},
		{"no MeshConfig was read", func(w *world) { w.pod("shop", "far", "10.1.0.1"); w.cfg.Present = false }, nil},
	} {
		w := newWorld()
		w.cfg.Pos.Line = 3
		c.change(w)
		if got := w.findings(t); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.what, got, c.want)
		}
	}
}

// TestPlacesOfRanges: what is found about ranges stands at the range, and names the place of the other one.
func TestPlacesOfRanges(t *testing.T) {
	lines := func(list ...int) (out []diag.Position) {
		for _, l := range list {
			out = append(out, diag.Position{Line: l})
		}
		return out
	}
	for _, c := range []struct {
		what                 string
		pods, nodes, service []netip.Prefix
		want                 []string
	}{
		{"a pod is out", prefixes("10.0.0.2/31", "10.3.0.0/24"), nil, nil, []string{"11"}},
		{"all pods are", prefixes("10.4.0.0/24", "10.3.0.0/24"), nil, nil, []string{"11"}},
		{"a node is", nil, prefixes("192.168.3.0/24", "192.168.4.0/24"), nil, []string{"21"}},
		{"a service is", nil, nil, prefixes("10.97.0.0/24", "10.98.0.0/24"), []string{"31"}},
		{"pods and nodes overlap", prefixes("10.0.0.0/16", "10.3.0.0/24"), prefixes("192.168.0.0/24", "10.3.0.0/16"), nil, []string{"12 22"}},
		{"the same, the other way round", prefixes("10.3.0.0/24", "10.0.0.0/16"), prefixes("10.3.0.0/16", "192.168.0.0/24"), nil, []string{"11 21"}},
		{"pods and services overlap", prefixes("10.0.0.0/16"), nil, prefixes("10.96.0.0/24", "10.0.0.0/16"), []string{"11 32"}},
		{"nodes and services overlap", nil, prefixes("192.168.0.0/24", "10.96.0.0/16"), prefixes("10.95.0.0/16", "10.96.0.0/24"), []string{"22 32"}},
	} {
		w := newWorld()
		w.inv.Services = []inventory.Service{{Namespace: "shop", Name: "web", ClusterIPs: addrs("10.96.0.9")}}
		w.cfg.PodRanges, w.cfg.NodeRanges, w.cfg.ServiceRanges = c.pods, c.nodes, c.service
		w.cfg.PodRangesPos, w.cfg.NodeRangesPos, w.cfg.ServiceRangesPos = lines(11, 12), lines(21, 22), lines(31, 32)
		_, found := w.compile(t)
		var got []string
		for _, d := range found {
			at := fmt.Sprint(d.Pos.Line)
			for _, r := range d.Related {
				at += fmt.Sprint(" ", r.Pos.Line)
			}
			got = append(got, at)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: found at %q, want %q: %v", c.what, got, c.want, found)
		}
	}
}
