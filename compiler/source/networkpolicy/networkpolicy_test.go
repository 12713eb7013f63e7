package networkpolicy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/source/manifest"
)

// show prints a policy, one rule a line.
func show(p *ir.Policy) []string {
	out := []string{fmt.Sprintf("%s %s/%s %s isolate egress=%t ingress=%t", p.Object(), p.Layer, p.Tier, selector(&p.Subject), p.Isolate[ir.Egress], p.Isolate[ir.Ingress])}
	for _, r := range p.Rules {
		if r.Implied {
			continue // TestLocalNode's
		}
		s := fmt.Sprintf("%d:%d %s %s[%d]", r.Pos.Line, r.Pos.Col, r.Action, r.Direction, r.Index)
		if r.Peers == nil {
			s += " any"
		}
		for _, p := range r.Peers {
			if p.Pods != nil {
				s += " pods" + selector(p.Pods)
			} else {
				s += fmt.Sprintf(" %s-%v matchPods=%t", p.CIDR.Prefix, p.CIDR.Except, p.CIDR.MatchPods)
			}
		}
		if r.Ports == nil {
			s += " every-protocol"
		}
		for _, p := range r.Ports {
			if p.Name != "" {
				s += fmt.Sprintf(" %s/%s", p.Space, p.Name)
			} else {
				s += fmt.Sprintf(" %s/%d-%d", p.Space, p.First, p.Last)
			}
		}
		out = append(out, s)
	}
	return out
}

func selector(s *ir.Selector) string {
	out := "{" + s.Namespace
	for _, r := range s.Namespaces {
		out += fmt.Sprintf(" ns:%s %s %v", r.Key, r.Op, r.Values)
	}
	for _, r := range s.Pods {
		out += fmt.Sprintf(" %s %s %v", r.Key, r.Op, r.Values)
	}
	return out + "}"
}

func lower(t *testing.T, yaml string) (ir.Policy, []string) {
	t.Helper()
	objs, diags := manifest.Parse("np.yaml", []byte(yaml), manifest.Limits{})
	if len(objs) != 1 || len(diags) != 0 || !Is(objs[0]) {
		t.Fatalf("not a policy: %v %v", objs, diags)
	}
	p, found := Lower(objs[0], "default")
	var ds []string
	for i := range found {
		ds = append(ds, found[i].Error())
	}
	return p, ds
}

const head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: np, namespace: shop}\nspec:\n"

// TestLocalNode holds that a policy that isolates ingress still lets the pod's own node in, as the API says, and no other does.
func TestLocalNode(t *testing.T) {
	for spec, want := range map[string]bool{"  podSelector: {}": true, "  podSelector: {}\n  ingress: [{}]": true, "  podSelector: {}\n  egress: [{}]": true,
		"  podSelector: {}\n  policyTypes: [Egress]": false} {
		p, _ := lower(t, head+spec)
		var implied []ir.Rule
		for _, r := range p.Rules {
			if r.Implied {
				implied = append(implied, r)
			}
		}
		if !want {
			if len(implied) > 0 {
				t.Errorf("%s: %+v", spec, implied)
			}
			continue
		}
		if len(implied) != 1 || implied[0].Direction != ir.Ingress || implied[0].Action != ir.Allow || implied[0].Ports != nil || implied[0].Pos.Line != 3 ||
			len(implied[0].Peers) != 1 || implied[0].Peers[0].Entity != ir.OwnNode {
			t.Errorf("%s: %+v", spec, implied)
		}
	}
}

func TestLower(t *testing.T) {
	for _, tt := range []struct {
		name, spec string
		want       []string
	}{
		{"an empty spec isolates ingress of the whole namespace", "  podSelector: {}", []string{"NetworkPolicy shop/np orchestrator/namespace {shop} isolate egress=false ingress=true"}},
		{"an egress section affects egress", "  podSelector: {}\n  egress: [{}]", []string{"NetworkPolicy shop/np orchestrator/namespace {shop} isolate egress=true ingress=true",
			"6:12 allow egress[0] any every-protocol"}},
		{"an empty egress list is no section", "  podSelector: {}\n  egress: []", []string{"NetworkPolicy shop/np orchestrator/namespace {shop} isolate egress=false ingress=true"}},
		{"policyTypes decide", "  podSelector: {}\n  policyTypes: [Egress]", []string{"NetworkPolicy shop/np orchestrator/namespace {shop} isolate egress=true ingress=false"}},
		{"empty lists are any (S14 keeps the source's meaning)", "  podSelector: {matchLabels: {b: '2', a: '1'}}\n  ingress: [{from: [], ports: []}]",
			[]string{"NetworkPolicy shop/np orchestrator/namespace {shop a in [1] b in [2]} isolate egress=false ingress=true", "6:13 allow ingress[0] any every-protocol"}},
		{"peers", `  podSelector: {matchExpressions: [{key: a, operator: NotIn, values: [z1, a1, z1]}, {key: b, operator: Exists}, {key: c, operator: DoesNotExist}]}
  ingress:
  - from:
    - podSelector: {}
    - namespaceSelector: {}
    - namespaceSelector: {matchLabels: {team: a}}
      podSelector: {matchLabels: {app: web}}
    - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.2.0.1/32]}
    - ipBlock: {cidr: "2001:db8::/32"}
`, []string{"NetworkPolicy shop/np orchestrator/namespace {shop a notin [a1 z1] b exists [] c ! []} isolate egress=false ingress=true",
			"7:5 allow ingress[0] pods{shop} pods{} pods{ ns:team in [a] app in [web]} 10.0.0.0/8-[10.1.0.0/16 10.2.0.1/32] matchPods=true 2001:db8::/32-[] matchPods=true every-protocol"}},
		{"ports (S13)", `  podSelector: {}
  egress:
  - ports: [{}, {protocol: UDP}, {port: 80}, {protocol: SCTP, port: http}, {port: 8000, endPort: 9000}]
`, []string{"NetworkPolicy shop/np orchestrator/namespace {shop} isolate egress=true ingress=true",
			"7:5 allow egress[0] any TCP/0-65535 UDP/0-65535 TCP/80-80 SCTP/http TCP/8000-9000"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, diags := lower(t, head+tt.spec)
			if d := cmp.Diff(tt.want, show(&p)); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
			if len(diags) != 0 {
				t.Errorf("findings: %v", diags)
			}
		})
	}
}

// What the API server refuses is refused, at its place, and such an object opens nothing.
func TestLowerRefuses(t *testing.T) {
	for spec, want := range map[string]string{
		"  podSelector: {}\n  policyTypes: [Ingress, Egress, Egress]":                                    `np.yaml:6:16: error WEIR1037: 3 policy types, and there may be two`,
		"  podSelector: {}\n  policyTypes: [ingress]":                                                    `np.yaml:6:17: error WEIR1037: "ingress" is no policy type`,
		"  podSelector: {}\n  policyTypes: [ingress]\n  ingress: [{}]":                                   `np.yaml:6:17: error WEIR1037: "ingress" is no policy type`, // and not that the rule does nothing
		"  podSelector: {}\n  ingress: [{from: [{}]}]":                                                   `np.yaml:6:21: error WEIR1037: a peer is empty`,
		"  podSelector: {}\n  ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]":       `np.yaml:6:21: error WEIR1037: a peer with ipBlock has nothing else`,
		"  podSelector: {}\n  ingress: [{from: [{ipBlock: {cidr: 10.0.0.0}}]}]":                          `np.yaml:6:38: error WEIR1037: "10.0.0.0" is no address block`,
		"  podSelector: {}\n  ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}]": `np.yaml:6:59: error WEIR1037: 11.0.0.0/16 does not lie inside 10.0.0.0/8`,
		"  podSelector: {}\n  ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]":  `np.yaml:6:59: error WEIR1037: 10.0.0.0/8 does not lie inside 10.0.0.0/8`,
		"  podSelector: {}\n  ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [\"::/64\"]}}]}]":    `np.yaml:6:58: error WEIR1037: ::/64 does not lie inside 0.0.0.0/0`,
		"  podSelector: {}\n  ingress: [{ports: [{port: 0}]}]":                                           `np.yaml:6:29: error WEIR1007: a port is 1 to 65535`,
		"  podSelector: {}\n  ingress: [{ports: [{port: 80, endPort: 70000}]}]":                          `np.yaml:6:42: error WEIR1007: a port is 1 to 65535`,
		"  podSelector: {}\n  ingress: [{ports: [{port: 80, endPort: 79}]}]":                             `np.yaml:6:42: error WEIR1037: endPort 79 is below port 80`,
		"  podSelector: {}\n  ingress: [{ports: [{endPort: 79}]}]":                                       `np.yaml:6:32: error WEIR1037: endPort needs port`,
		"  podSelector: {}\n  ingress: [{ports: [{port: http, endPort: 79}]}]":                           `np.yaml:6:44: error WEIR1037: a named port has no endPort`,
		"  podSelector: {}\n  ingress: [{ports: [{port: \"80\"}]}]":                                      `np.yaml:6:29: error WEIR1037: "80" is no port name`,
		"  podSelector: {}\n  ingress: [{ports: [{protocol: ICMP}]}]":                                    `np.yaml:6:33: error WEIR1037: "ICMP" is no protocol`,
		"  podSelector: {matchExpressions: [{key: a, operator: in, values: [x]}]}":                       `np.yaml:5:55: error WEIR1038: "in" is no operator`,
		"  podSelector: {matchExpressions: [{key: a, operator: In, values: []}]}":                        `np.yaml:5:67: error WEIR1038: In needs values`,
		"  podSelector: {matchExpressions: [{key: a, operator: Exists, values: [x]}]}":                   `np.yaml:5:71: error WEIR1038: Exists takes no values`,
		"  podSelector: {matchLabels: {a/b/c: x}}":                                                       `np.yaml:5:38: error WEIR1038: "a/b/c" is no label key`,
		"  podSelector: {matchLabels: {a: -x}}":                                                          `np.yaml:5:34: error WEIR1038: "-x" is no label value`,
		"  podSelector: {}\n  ingres: []":                                                                `np.yaml:6:3: error WEIR1004: unknown field "ingres"`,
		"  podSelector: {matchLabels: {a: 1}}":                                                           `np.yaml:5:34: error WEIR1034: spec.podSelector.matchLabels.a must be a string, not the number 1`,
	} {
		p, diags := lower(t, head+spec)
		if d := cmp.Diff([]string{want}, diags); d != "" {
			t.Errorf("%s\n-want +got\n%s", spec, d)
		}
		if len(p.Rules) != 0 || !p.Isolate[ir.Egress] || !p.Isolate[ir.Ingress] {
			t.Errorf("%s: an object in error opens something: %v", spec, show(&p))
		}
	}
}

func TestLowerIdleRules(t *testing.T) {
	p, diags := lower(t, head+"  podSelector: {}\n  policyTypes: [Ingress]\n  egress: [{}]")
	if d := cmp.Diff([]string{"np.yaml:7:12: warning WEIR2103: this rule does nothing: policyTypes leaves egress out"}, diags); d != "" {
		t.Error(d)
	}
	if got := show(&p); len(got) != 1 {
		t.Error(got)
	}
}

func TestLowerPlaces(t *testing.T) {
	p, diags := lower(t, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: np}\nspec: {podSelector: {}, ingress: [{}]}\nstatus: {}\n")
	if len(diags) != 0 || p.Namespace != "default" || p.Subject.Namespace != "default" {
		t.Errorf("%v %v", show(&p), diags)
	}
	if pos := p.Rules[0].Pos; pos.Object != "NetworkPolicy default/np" || pos.Path != "spec.ingress[0]" {
		t.Errorf("%+v", pos)
	}
	_, diags = lower(t, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: np, namespace: Shop}\nspec: {podSelector: {}}\n")
	if d := cmp.Diff([]string{`np.yaml:3:33: error WEIR1041: metadata.namespace "Shop" is no name`}, diags); d != "" {
		t.Error(d)
	}
	// Nothing but texts holds a policy's own name, so that its meaning is known.
	p, diags = lower(t, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: n_p}\nspec: {podSelector: {}, ingress: [{}]}\n")
	if d := cmp.Diff([]string{`np.yaml:3:18: warning WEIR1041: metadata.name "n_p" is no name`}, diags); d != "" || len(p.Rules) == 0 {
		t.Errorf("%v %s", show(&p), d)
	}
	// The name's finding hides no other.
	p, diags = lower(t, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: n_p, namespace: Shop}\nspec: {podSelector: {}, ingress: [{}]}\n")
	if d := cmp.Diff([]string{`np.yaml:3:18: warning WEIR1041: metadata.name "n_p" is no name`, `np.yaml:3:34: error WEIR1041: metadata.namespace "Shop" is no name`}, diags); d != "" || len(p.Rules) != 0 {
		t.Errorf("%v %s", show(&p), d)
	}
	_, diags = lower(t, strings.Replace(head, "io/v1", "io/v1beta1", 1)+"  podSelector: {}")
	if d := cmp.Diff([]string{"np.yaml:1:13: error WEIR1037: networking.k8s.io/v1beta1 is not a version of NetworkPolicy"}, diags); d != "" {
		t.Error(d)
	}
}
