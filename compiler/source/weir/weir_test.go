package weir

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/source/manifest"
)

var now = time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC)

// lower reads YAML; a document needs no apiVersion.
func lower(t *testing.T, yaml string) (Output, []string) {
	t.Helper()
	docs := strings.Split(strings.TrimPrefix(yaml, "\n"), "---\n")
	for i := range docs {
		docs[i] = strings.TrimSuffix(docs[i], "\n") + "\napiVersion: policy.weir.dev/v1alpha1\n"
	}
	objs, diags := manifest.Parse("p.yaml", []byte(strings.Join(docs, "---\n")), manifest.Limits{})
	if len(diags) > 0 {
		t.Fatal(diags[0].Error())
	}
	in := Input{Namespace: "default", Now: now}
	for _, o := range objs {
		in.Objects = append(in.Objects, FromManifest(o))
	}
	out, found := Lower(in)
	return out, show(found)
}

func show(ds diag.List) []string {
	var out []string
	for i := range ds {
		out = append(out, ds[i].Error())
	}
	return out
}

// showPolicy prints a policy, one rule a line.
func showPolicy(p *ir.Policy) []string {
	head := fmt.Sprintf("%s: %s/%s %d {%s}", p.Object(), p.Layer, p.Tier, p.Priority, showSelector(&p.Subject))
	for _, d := range []ir.Direction{ir.Egress, ir.Ingress} {
		if p.Isolate[d] {
			head += " isolates-" + d.String()
		}
		if p.AuditIsolate[d] {
			head += " audit-isolates-" + d.String()
		}
	}
	if p.Audit {
		head += " audit"
	}
	out := []string{head}
	for i := range p.Rules {
		out = append(out, showRule(&p.Rules[i]))
	}
	return out
}

func showRule(r *ir.Rule) string {
	s := fmt.Sprintf("%s[%d] %s", r.Direction, r.Index, r.Action)
	if r.Name != "" {
		s += fmt.Sprintf(" %q", r.Name)
	}
	if r.Audit {
		s += " audit"
	}
	for _, p := range r.Peers {
		switch {
		case p.Pods != nil:
			s += " {" + showSelector(p.Pods) + "}"
		case p.CIDR != nil:
			s += fmt.Sprintf(" %s-%v matchPods=%t", p.CIDR.Prefix, p.CIDR.Except, p.CIDR.MatchPods)
		case p.DNS != "":
			s += " dns:" + p.DNS
		default:
			s += " " + p.Entity.String()
		}
	}
	for _, p := range r.Ports {
		if p.Name != "" {
			s += fmt.Sprintf(" %s/%s", p.Space, p.Name)
		} else {
			s += fmt.Sprintf(" %s/%d-%d", p.Space, p.First, p.Last)
		}
	}
	if r.HTTP != nil {
		s += fmt.Sprintf(" http%d", len(r.HTTP))
	}
	if r.Plaintext {
		s += " plaintext:" + r.Exception
	}
	if !r.NotAfter.IsZero() {
		s += " until " + r.NotAfter.Format(time.RFC3339)
	}
	if r.Log != nil {
		s += fmt.Sprintf(" log=%t", *r.Log)
	}
	return s
}

func showSelector(s *ir.Selector) string {
	out := s.Namespace
	for _, r := range s.Namespaces {
		out += fmt.Sprintf(" ns:%s %s %v", r.Key, r.Op, r.Values)
	}
	for _, r := range s.Pods {
		out += fmt.Sprintf(" %s %s %v", r.Key, r.Op, r.Values)
	}
	for _, a := range s.ServiceAccounts {
		out += " sa:" + a.String()
	}
	for _, id := range s.SPIFFE {
		out += " " + id
	}
	return out
}

const register = `---
kind: MeshException
metadata: {name: public}
spec: {owner: web, approver: sec, reason: r, risk: T-1, expires: "2027-07-01", covers: [{namespace: shop, policy: p}, {kind: ClusterMeshPolicy}]}
---
kind: MeshException
metadata: {name: dns}
spec: {owner: net, approver: sec, reason: r, risk: T-2, platform: true, covers: [{namespace: shop}]}
---
kind: MeshException
metadata: {name: old}
spec: {owner: net, approver: sec, reason: r, risk: T-2, expires: "2027-05-01T10:00:00Z", covers: [{namespace: shop}]}
`

const policy = "kind: MeshPolicy\nmetadata: {name: p, namespace: shop}\nspec:\n  subject: {matchLabels: {app: web}}\n"

func TestPolicies(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []string
		findings []string
	}{
		{"an allow isolates its direction, a deny does not (S11)", policy + `  ingress: [{action: allow, name: from here, from: [{pods: {matchLabels: {app: b}}}], ports: [{port: 80, endPort: 90, protocol: TCP}, {name: m, protocol: UDP}]}]
  egress: [{action: deny, log: true}]
`, []string{"MeshPolicy shop/p: mesh/namespace 0 {shop app in [web]} isolates-ingress", `ingress[0] allow "from here" {shop app in [b]} TCP/80-90 UDP/m`, "egress[0] deny log=true"}, nil},
		{"isolate says so without an allow (S11)", policy + "  isolate: [egress]\n",
			[]string{"MeshPolicy shop/p: mesh/namespace 0 {shop app in [web]} isolates-egress"}, nil},
		{"peers (S15)", policy + `  ingress:
  - action: deny
    from:
    - pods: {}
    - namespaces: {}
    - {namespaces: {matchLabels: {t: a}}, pods: {matchExpressions: [{key: k, operator: NotIn, values: [z1, a1]}]}, serviceAccounts: [own, other/sa], spiffe: ["spiffe://td/ns/x/*"]}
    - serviceAccounts: [own]
    - cidr: {cidr: 10.1.2.3/8, except: [10.1.0.0/16], matchPods: true}
    - entity: own-node
    - entity: kube-apiserver
  egress:
  - {action: deny, to: [{entity: world}, {entity: cluster}, {entity: host}]}
  - {action: allow, authentication: none, exception: dns, to: [{dns: "*.example.org"}]}
` + register, []string{"MeshPolicy shop/p: mesh/namespace 0 {shop app in [web]} isolates-egress",
			"ingress[0] deny {shop} {} { ns:t in [a] k notin [a1 z1] sa:shop/own sa:other/sa spiffe://td/ns/x/*} { sa:shop/own} 10.0.0.0/8-[10.1.0.0/16] matchPods=true own-node kube-apiserver",
			"egress[0] deny world cluster host", "egress[1] allow dns:*.example.org plaintext:dns"},
			[]string{"p.yaml:12:20: warning WEIR2038: 10.1.2.3/8 is the whole block 10.0.0.0/8",
				"p.yaml:17:64: warning WEIR2032: *.example.org is denied until something learns its addresses"}},
		{"what is written by an address inside it is said (S3)", policy + "  egress: [{action: deny, to: [{cidr: {cidr: 10.0.0.0/8, except: [10.1.2.3/16, 10.2.0.1/32]}}]}]\n---\n" +
			"kind: MeshConfig\nmetadata: {name: default}\nspec: {ranges: {pods: [10.9.0.1/16], nodes: [\"fd00::1/64\"]}}\n",
			[]string{"MeshPolicy shop/p: mesh/namespace 0 {shop app in [web]}", "egress[0] deny 10.0.0.0/8-[10.1.0.0/16 10.2.0.1/32] matchPods=false"},
			[]string{"p.yaml:10:24: warning WEIR2038: 10.9.0.1/16 is the whole block 10.9.0.0/16", "p.yaml:10:46: warning WEIR2038: fd00::1/64 is the whole block fd00::/64",
				"p.yaml:5:67: warning WEIR2038: 10.1.2.3/16 is the whole block 10.1.0.0/16"}},
		{"ports (S13)", policy + `  ingress:
  - {action: deny, ports: [{protocol: SCTP}, {protocol: ICMP}, {protocol: ICMP, icmp: {type: 8}}, {protocol: ICMPv6, icmp: {type: 1, code: 4}}, {protocolNumber: 47}]}
  - {action: deny, ports: [{port: 80}], http: [{methods: [GET]}]}
  - {action: deny, http: [{path: {prefix: /}}, {hosts: [a.example]}]}
`, []string{"MeshPolicy shop/p: mesh/namespace 0 {shop app in [web]}", "ingress[0] deny SCTP/0-65535 ICMP/0-65535 ICMP/2048-2303 ICMPv6/260-260 IP/47-47",
			"ingress[1] deny TCP/80-80 http1", "ingress[2] deny TCP/0-65535 http2"}, nil},
		{"the cluster's kind isolates nothing (S10, S12)", `
kind: ClusterMeshPolicy
metadata: {name: c}
spec:
  tier: baseline
  priority: 7
  subject: {namespaces: {matchLabels: {a: b}}, pods: {}, serviceAccounts: [x/y]}
  ingress: [{action: allow, from: [{pods: {matchLabels: {app: b}}}, {serviceAccounts: [x/y]}]}]
---
kind: ClusterMeshPolicy
metadata: {name: d}
spec: {tier: admin, priority: 0, subject: {}, egress: [{action: pass}]}
`, []string{"ClusterMeshPolicy c: mesh/baseline 7 { ns:a in [b] sa:x/y}", "ingress[0] allow { app in [b]} { sa:x/y}", "ClusterMeshPolicy d: mesh/admin 0 {}", "egress[0] pass"}, nil},
		{"audit: an object is absent as a whole, a rule takes its isolation along (S30)", policy + `  mode: audit
  ingress: [{action: allow}]
---
kind: MeshPolicy
metadata: {name: q, namespace: shop}
spec: {subject: {}, ingress: [{action: allow, mode: audit}], egress: [{action: allow, mode: audit}, {action: allow}]}
`, []string{"MeshPolicy shop/p: mesh/namespace 0 {shop app in [web]} isolates-ingress audit", "ingress[0] allow audit",
			"MeshPolicy shop/q: mesh/namespace 0 {shop} isolates-egress audit-isolates-ingress", "ingress[0] allow audit", "egress[0] allow audit", "egress[1] allow"}, nil},
		{"ends: the earliest of rule, object and exception; a date is the end of its day (S28)", policy + `  expires: "2027-06-30T12:00:00Z"
  ingress:
  - {action: allow, expires: "2027-06-20"}
  - {action: allow}
  - {action: allow, authentication: none, exception: public, from: [{entity: world}]}
  - {action: allow, expires: "2027-12-31", authentication: none, exception: dns, from: [{entity: world}]}
` + register, []string{"MeshPolicy shop/p: mesh/namespace 0 {shop app in [web]} isolates-ingress", "ingress[0] allow until 2027-06-21T00:00:00Z", "ingress[1] allow until 2027-06-30T12:00:00Z",
			"ingress[2] allow world plaintext:public until 2027-06-30T12:00:00Z", "ingress[3] allow world plaintext:dns until 2027-06-30T12:00:00Z"},
			[]string{"p.yaml:10:30: warning WEIR2037: this end never counts: the whole MeshPolicy ends before, on 2027-06-30T12:00:00Z"}},
		{"an object's end that each allow is before", policy + `  expires: "2027-06-30"
  ingress: [{action: allow, expires: "2027-06-20"}, {action: deny}]
`, []string{"MeshPolicy shop/p: mesh/namespace 0 {shop app in [web]} isolates-ingress", "ingress[0] allow until 2027-06-21T00:00:00Z", "ingress[1] deny"},
			[]string{"p.yaml:5:12: warning WEIR2037: this end never counts: each allow of the object ends before"}},
		{"an object's end that is also a rule's", policy + `  expires: "2027-06-30"
  ingress: [{action: allow, expires: "2027-06-30"}]
`, []string{"MeshPolicy shop/p: mesh/namespace 0 {shop app in [web]} isolates-ingress", "ingress[0] allow until 2027-07-01T00:00:00Z"}, nil},
		{"the end of an object that denies ends nothing (S28)", `
kind: ClusterMeshPolicy
metadata: {name: c}
spec: {subject: {}, tier: admin, priority: 1, expires: "2027-06-30", ingress: [{action: deny}]}
`, []string{"ClusterMeshPolicy c: mesh/admin 1 {}", "ingress[0] deny"},
			[]string{"p.yaml:3:56: warning WEIR2037: this end ends nothing: only allows end, and the object has none"}},
		{"a platform exception has no end, another ends its rule, and what has ended still isolates (S18, S28)", policy + `  ingress:
  - {action: allow, authentication: none, exception: dns, from: [{entity: own-node}]}
  - {action: allow, authentication: none, exception: public, from: [{entity: world}]}
  - {action: allow, authentication: none, exception: old, from: [{entity: world}]}
` + register, []string{"MeshPolicy shop/p: mesh/namespace 0 {shop app in [web]} isolates-ingress", "ingress[0] allow own-node plaintext:dns",
			"ingress[1] allow world plaintext:public until 2027-07-02T00:00:00Z", "ingress[2] allow world plaintext:old until 2027-05-01T10:00:00Z"},
			[]string{"p.yaml:8:5: warning WEIR2033: this allow ended on 2027-05-01T10:00:00Z"}},
		{"an allow without a valid exception opens nothing, and isolates (S18)", `
kind: MeshPolicy
metadata: {name: q, namespace: shop}
spec:
  subject: {}
  ingress:
  - {action: allow, authentication: none, exception: public}
  - {action: allow, authentication: none, exception: nobody}
` + register, []string{"MeshPolicy shop/q: mesh/namespace 0 {shop} isolates-ingress"},
			[]string{`p.yaml:6:54: error WEIR2035: the exception "public" does not cover this rule`, `p.yaml:7:54: error WEIR2035: the register has no exception "nobody"`}},
		{"what can prove nothing never matches (S18)", policy + `  ingress:
  - {action: allow, from: [{entity: world}, {pods: {}}, {cidr: {cidr: 10.0.0.0/8}}, {cidr: {cidr: 10.0.0.0/8, matchPods: true}}, {entity: cluster}]}
  - {action: allow, ports: [{port: 53, protocol: UDP}]}
  - {action: allow, ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]}
  egress: [{action: allow, to: [{dns: a.example.org}, {dns: api.m.svc}, {dns: "*.m.svc.cluster.local"}]}]
`, []string{"MeshPolicy shop/p: mesh/namespace 0 {shop app in [web]} isolates-egress isolates-ingress",
			"ingress[0] allow world {shop} 10.0.0.0/8-[] matchPods=false 10.0.0.0/8-[] matchPods=true cluster", "ingress[1] allow UDP/53-53", "ingress[2] allow UDP/53-53 TCP/53-53",
			"egress[0] allow dns:a.example.org dns:api.m.svc dns:*.m.svc.cluster.local"},
			[]string{"p.yaml:6:28: warning WEIR2031: this peer can never match: it has no identity to prove", "p.yaml:6:57: warning WEIR2031: this peer can never match: it has no identity to prove",
				"p.yaml:7:5: warning WEIR2031: this rule can never match: only TCP between enrolled pods can be authenticated",
				"p.yaml:9:33: warning WEIR2032: a.example.org is denied until something learns its addresses",
				"p.yaml:9:55: warning WEIR2041: this peer can never match: api.m.svc is a name in the cluster, and a DNS name stands for what is outside",
				"p.yaml:9:73: warning WEIR2041: this peer can never match: *.m.svc.cluster.local is a name in the cluster, and a DNS name stands for what is outside"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, findings := lower(t, tt.in)
			var got []string
			for i := range out.Policies {
				got = append(got, showPolicy(&out.Policies[i])...)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
			// The register is the same for all; TestUnusedExceptions is about what of it a case has no use for.
			findings = slices.DeleteFunc(findings, func(f string) bool { return strings.Contains(f, string(CodeUnused)) })
			if d := cmp.Diff(tt.findings, findings, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("findings: -want +got\n%s", d)
			}
		})
	}
}

// Objects that the schema refuses close what they are about, and say where.
func TestRefused(t *testing.T) {
	closedPolicy := []string{"MeshPolicy shop/p: mesh/namespace 0 {shop} isolates-egress isolates-ingress"}
	for _, tt := range []struct {
		in       string
		want     []string
		findings []string
	}{
		{policy + "  ingres: []\n  isolate: [ingress]\n", closedPolicy, []string{`p.yaml:5:3: error WEIR1004: unknown field "ingres"`}},
		{policy + "  ingress: []\n", closedPolicy, []string{`p.yaml:5:12: error WEIR1008: ingress is empty: leave the field out, or write isolate: ["ingress"] to close the subject`}},
		{policy + "  ingress: [{action: allow, ports: [{port: 70000, protocol: TCP}]}]\n", closedPolicy, []string{"p.yaml:5:44: error WEIR1007: a port is 1 to 65535"}},
		{policy + "  ingress: [{action: allow, from: [{cidr: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}]\n", []string{"MeshPolicy shop/p: mesh/namespace 0 {shop app in [web]} isolates-ingress"},
			[]string{"p.yaml:5:71: error WEIR1008: 11.0.0.0/16 does not lie inside 10.0.0.0/8"}},
		{policy + "  ingress: [{action: allow, http: [{path: {regex: '(?=a)'}}]}]\n", []string{"MeshPolicy shop/p: mesh/namespace 0 {shop app in [web]} isolates-ingress"},
			[]string{"p.yaml:5:51: error WEIR1007: not a regular expression: invalid or unsupported Perl syntax: `(?=`"}},
		{policy + "  ingress: [{action: allow, name: on}]\n", closedPolicy, []string{"p.yaml:5:35: error WEIR1006: name: a string is needed here, not true or false"}},
		{policy + "  ingress: [{action: allow, http: [{claims: [{provider: x, name: team, present: true}]}]}]\n", []string{"MeshPolicy shop/p: mesh/namespace 0 {shop app in [web]} isolates-ingress"},
			[]string{`p.yaml:5:57: error WEIR2034: MeshConfig has no JWT provider "x"`}},
		{policy + "  egress: [{action: deny, to: [{dns: a.example.org}, {cidr: {cidr: 10.0.0.0/8}}]}, {action: allow}]\n", []string{"MeshPolicy shop/p: mesh/namespace 0 {shop app in [web]} isolates-egress",
			"egress[0] deny world 10.0.0.0/8-[] matchPods=false", "egress[1] allow"},
			[]string{"p.yaml:5:32: error WEIR2036: deny by a name does nothing yet: the addresses of a.example.org are not known"}},
		{policy + "  egress: [{action: deny, to: [{dns: api.m.svc}]}, {action: allow}]\n", []string{"MeshPolicy shop/p: mesh/namespace 0 {shop app in [web]} isolates-egress",
			"egress[0] deny world", "egress[1] allow"},
			[]string{"p.yaml:5:32: error WEIR2036: deny by api.m.svc does nothing: it is a name in the cluster, and a DNS name stands for what is outside"}},
		{"kind: ClusterMeshPolicy\nmetadata: {name: c}\nspec: {tier: admin, priority: 1, subject: {}, egress: [{action: pass, to: [{dns: '*.example.org'}]}]}\n",
			[]string{"ClusterMeshPolicy c: mesh/admin 1 {}", "egress[0] deny world"}, []string{"p.yaml:3:76: error WEIR2036: pass by a name does nothing yet: the addresses of *.example.org are not known"}},
		{"kind: ClusterMeshPolicy\nmetadata: {name: c}\nspec: {tier: admin, priority: 1, subject: {}, egress: [{action: dent}]}\n",
			[]string{"ClusterMeshPolicy c: mesh/admin 0 {}", "ingress[0] deny", "egress[0] deny"}, []string{"p.yaml:3:65: error WEIR1007: action is allow, deny or pass"}},
		{"kind: MeshPolicies\nmetadata: {name: c}\nspec: {}\n", nil, []string{"p.yaml:1:1: error WEIR1039: policy.weir.dev has no kind MeshPolicies"}},
		{"kind: MeshConfig\nmetadata: {name: other}\nspec: {}\n", nil, []string{"p.yaml:1:1: error WEIR1008: a mesh has one MeshConfig, and its name is default"}},
	} {
		out, findings := lower(t, tt.in)
		var got []string
		for i := range out.Policies {
			got = append(got, showPolicy(&out.Policies[i])...)
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s\n-want +got\n%s", tt.in, d)
		}
		if d := cmp.Diff(tt.findings, findings); d != "" {
			t.Errorf("%s\nfindings: -want +got\n%s", tt.in, d)
		}
	}
}

// What the API server adds to an object is no misspelling.
func TestServerFields(t *testing.T) {
	out, findings := lower(t, "kind: MeshPolicy\nmetadata: {name: p, namespace: shop, uid: u, resourceVersion: \"1\", generation: 2, managedFields: [{}], creationTimestamp: null}\nspec: {subject: {}, isolate: [ingress]}\nstatus: {whatever: 1}\n")
	if len(findings) != 0 || len(out.Policies) != 1 {
		t.Errorf("%v %v", out.Policies, findings)
	}
}

func TestConfig(t *testing.T) {
	out, findings := lower(t, "kind: MeshConfig\nmetadata: {name: default}\nspec: {}\n")
	want := inventory.Config{Present: true, TrustDomain: "cluster.local", LogDenied: true,
		Enrolled: []ir.Selector{{Namespaces: ir.LabelSelector{{Key: "weir.dev/mesh", Op: ir.In, Values: []string{"enabled"}}}}}}
	out.Config.Pos = diag.Position{}
	if d := cmp.Diff(want, out.Config); d != "" || len(findings) != 0 {
		t.Errorf("the default (S16): %v\n-want +got\n%s", findings, d)
	}
	out, findings = lower(t, `
kind: MeshConfig
metadata: {name: default}
spec:
  trustDomain: example.org
  ranges: {pods: [10.0.0.0/8, "fd00::/48"], nodes: [192.168.0.0/16], services: [10.96.0.0/12]}
  enrolment: [{namespaces: {}, pods: {matchLabels: {m: "1"}}}]
  enforceNetworkPolicy: true
  waypoints: {scope: none, selectors: [{namespaces: {}}]}
  defaults: {log: all}
  capacity: {maxDecisions: 1, maxClasses: 2, maxMapMiB: 3}
  jwtProviders: [{name: corp, issuer: i, audiences: [a], jwks: '`+publicKey+`'}]
  kubeAPIServer: {addresses: [192.168.0.1]}
`)
	c := out.Config
	got := fmt.Sprint(c.TrustDomain, c.PodRanges, c.NodeRanges, c.ServiceRanges, len(c.Enrolled), c.EnforceNetworkPolicy, c.Waypoint, len(c.Waypoints), c.LogDenied, c.LogAllowed,
		c.MaxDecisions, c.MaxClasses, c.MaxMapBytes, out.APIServers, len(out.Providers), findings)
	if want := "example.org[10.0.0.0/8 fd00::/48] [192.168.0.0/16] [10.96.0.0/12] 1 true 2 1 true true 1 2 3145728 [192.168.0.1] 1 []"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if out, _ := lower(t, policy+"  isolate: [ingress]\n"); out.Config.Present || out.Config.Enrolled != nil {
		t.Errorf("without a MeshConfig nothing is enrolled (S16): %+v", out.Config)
	}
}

// publicKey is a key set with the key of RFC 7515, appendix A.3.
const publicKey = `{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`

// A key set that verifies nothing would leave rules that ask for claims without effect.
func TestKeySet(t *testing.T) {
	for in, want := range map[string]string{
		publicKey:                           "",
		"nope":                              "it is no JSON object with a list of keys",
		"[]":                                "it is no JSON object with a list of keys",
		"{}":                                "it has no keys",
		`{"keys":[]}`:                       "it has no keys",
		`{"keys":[{"kty":"EC"}]}`:           "keys[0]: unsupported key type, format, curve, or RSA modulus size",
		`{"keys":[{"kty":"oct","k":"AA"}]}`: "keys[0] is no public key",
	} {
		if got := checkKeySet(in); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
	_, findings := lower(t, "kind: MeshConfig\nmetadata: {name: default}\nspec:\n  jwtProviders: [{name: corp, issuer: i, audiences: [a], jwks: '{}'}]\n")
	if d := cmp.Diff([]string{"p.yaml:4:64: error WEIR1007: jwks is no set of public keys: it has no keys"}, findings); d != "" {
		t.Error(d)
	}
}

func TestRegister(t *testing.T) {
	out, _ := lower(t, policy+"  ingress: [{action: allow, authentication: none, exception: dns, from: [{entity: host}]}]\n"+register)
	var got []string
	for _, e := range out.Exceptions {
		got = append(got, fmt.Sprintf("%s platform=%t until %s used by %v", e.Name, e.Platform, e.Expires.Format(time.DateOnly), e.UsedBy))
	}
	if d := cmp.Diff([]string{"public platform=false until 2027-07-02 used by []", "dns platform=true until 0001-01-01 used by [MeshPolicy shop/p spec.ingress[0]]",
		"old platform=false until 2027-05-01 used by []"}, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

// An exception that nothing leans on, and an entry that is about nothing, are said; not where something is in error.
func TestUnusedExceptions(t *testing.T) {
	exception := func(covers string) string {
		return "---\nkind: MeshException\nmetadata: {name: e}\nspec: {owner: web, approver: sec, reason: r, risk: T-1, expires: \"2027-07-01\", covers: [" + covers + "]}\n"
	}
	const uses = "  ingress: [{name: x, action: allow, authentication: none, exception: e, from: [{entity: host}]}]\n"
	const entry = `p.yaml:10:%d: warning WEIR2039: this entry of the exception "e" covers nothing: `
	for _, c := range []struct {
		what, in string
		want     []string
	}{
		{"all is used", policy + uses + exception("{namespace: shop}, {policy: p, rule: x}, {kind: MeshPolicy}"), nil},
		{"no rule leans on it", policy + "  isolate: [ingress]\n" + exception("{namespace: shop}"), []string{`p.yaml:9:18: warning WEIR2039: no rule leans on the exception "e"`}},
		{"entries about nothing", policy + uses + exception("{namespace: shop}, {policy: q}, {policy: p, rule: z}, {kind: ClusterMeshPolicy}"), []string{
			fmt.Sprintf(entry, 108) + "no policy that was read is the one that it names", fmt.Sprintf(entry, 121) + "the policy that it names has no rule of that name",
			fmt.Sprintf(entry, 143) + "no policy that was read is the one that it names"}},
		{"an error beside it", policy + "  isolat: [ingress]\n" + exception("{namespace: shop}"), []string{`p.yaml:5:3: error WEIR1004: unknown field "isolat"`}},
	} {
		if _, got := lower(t, c.in); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.what, got, c.want)
		}
	}
}

func TestTwice(t *testing.T) {
	// The reader reports repeats in manifests; here the second comes by another way, without a namespace.
	objs, _ := manifest.Parse("p.yaml", []byte("apiVersion: policy.weir.dev/v1alpha1\nkind: MeshPolicy\nmetadata: {name: p}\nspec: {subject: {}, isolate: [ingress]}\n"), manifest.Limits{})
	o := FromManifest(objs[0])
	p := o
	p.Namespace = "default"
	out, found := Lower(Input{Objects: []NamedObject{o, p}, Namespace: "default", Now: now})
	if d := cmp.Diff([]string{"p.yaml:3:18: error WEIR1033: MeshPolicy default/p is given twice"}, show(found)); d != "" || len(out.Policies) != 1 {
		t.Error(d)
	}
}
