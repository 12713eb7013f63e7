package oracle

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

func timeOf(unix int64) time.Time { return time.Unix(unix, 0).UTC() }

func (c *compiled) tellOutcome(o *plan.Outcome) string {
	return describe(o.Verdict, o.Reason, c.rule(o.Rule), c.policy(o.Policy), o.Auth)
}

func (c *compiled) tellWant(o *outcome) string {
	return describe(o.verdict, o.reason, o.rule, o.policy, o.auth)
}

func (c *compiled) tellPlan(a *plan.Answer) string {
	return "egress " + c.tellOutcome(&a.Egress.Outcome) + ", ingress " + c.tellOutcome(&a.Ingress.Outcome)
}

func (c *compiled) tell(egress, ingress outcome) string {
	return "egress " + c.tellWant(&egress) + ", ingress " + c.tellWant(&ingress)
}

func describe(v plan.Verdict, why plan.Reason, r *ir.Rule, p *ir.Policy, a plan.Auth) string {
	s := fmt.Sprintf("%s by %s", v, why)
	if r != nil {
		s += fmt.Sprintf(" at line %d", r.Pos.Line)
	}
	if p != nil {
		s += " of " + p.Object()
	}
	if v != plan.Deny {
		s += " auth " + a.String()
	}
	return s
}

// String prints a world so that a person can read a failure: only what is set.
func (w *world) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "config %s\n", compact(w.config))
	for _, n := range w.inv.Namespaces {
		fmt.Fprintf(&s, "namespace %s %v\n", n.Name, n.Labels)
	}
	for _, n := range w.inv.Nodes {
		fmt.Fprintf(&s, "node %s %v pods %v\n", n.Name, n.Addrs, n.PodCIDRs)
	}
	if len(w.inv.APIServers) > 0 {
		fmt.Fprintf(&s, "api servers %v\n", w.inv.APIServers)
	}
	for i := range w.inv.Pods {
		fmt.Fprintln(&s, w.tellPod(&w.inv.Pods[i]))
	}
	for _, v := range w.inv.Services {
		fmt.Fprintf(&s, "service %s/%s %v headless=%t\n", v.Namespace, v.Name, v.ClusterIPs, v.Headless)
		for _, p := range v.Ports {
			fmt.Fprintf(&s, "  %s %d -> %v\n", p.Space, p.Port, p.Backends)
		}
	}
	for i := range w.policies {
		w.tellPolicy(&s, &w.policies[i])
	}
	return s.String()
}

func (w *world) tellPod(p *inventory.Pod) string {
	s := fmt.Sprintf("pod %s/%s %v sa=%s node=%s %v", p.Namespace, p.Name, p.Addrs, p.ServiceAccount, p.Node, p.Labels)
	for _, n := range p.Ports {
		s += fmt.Sprintf(" %s=%s/%d", n.Name, n.Space, n.Number)
	}
	if p.HostNetwork {
		s += " hostNetwork"
	}
	if w.enrolled(p) {
		s += " enrolled"
	}
	return s
}

func (w *world) tellPolicy(s *strings.Builder, p *ir.Policy) {
	fmt.Fprintf(s, "policy %s: %s %s priority %d isolates egress=%t ingress=%t subject %s", p.Object(), p.Layer, p.Tier, p.Priority,
		p.Isolate[ir.Egress], p.Isolate[ir.Ingress], compact(p.Subject))
	if p.AuditIsolate[ir.Egress] || p.AuditIsolate[ir.Ingress] {
		fmt.Fprintf(s, " and in audit egress=%t ingress=%t", p.AuditIsolate[ir.Egress], p.AuditIsolate[ir.Ingress])
	}
	if p.Audit {
		s.WriteString(" AUDIT")
	}
	s.WriteByte('\n')
	for i := range p.Rules {
		r := &p.Rules[i]
		fmt.Fprintf(s, "  line %d: %s %s", r.Pos.Line, r.Direction, r.Action)
		if r.Audit {
			s.WriteString(" AUDIT")
		}
		if r.Plaintext {
			s.WriteString(" plaintext")
		}
		if !r.NotAfter.IsZero() {
			fmt.Fprintf(s, " ends %s", r.NotAfter.Sub(w.now))
		}
		for j := range r.Peers {
			fmt.Fprintf(s, " peer %s", tellPeer(&r.Peers[j]))
		}
		for _, q := range r.Ports {
			fmt.Fprintf(s, " port %s/%d-%d%s", q.Space, q.First, q.Last, q.Name)
		}
		for _, m := range r.HTTP {
			fmt.Fprintf(s, " http %s", compact(m))
		}
		s.WriteByte('\n')
	}
}

func tellPeer(p *ir.Peer) string {
	switch {
	case p.Pods != nil:
		return "pods " + compact(p.Pods)
	case p.CIDR != nil:
		return fmt.Sprintf("cidr %s except %v matchPods=%t", p.CIDR.Prefix, p.CIDR.Except, p.CIDR.MatchPods)
	case p.DNS != "":
		return "dns " + p.DNS
	}
	return p.Entity.String()
}

// compact is JSON without what is null, false, zero or empty.
func compact(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	var m any
	if err := json.Unmarshal(raw, &m); err != nil {
		return err.Error()
	}
	raw, err = json.Marshal(prune(m))
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

func prune(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		if l, ok := v.([]any); ok {
			for i := range l {
				l[i] = prune(l[i])
			}
		}
		return v
	}
	for k, x := range m {
		x = prune(x)
		m[k] = x
		switch y := x.(type) {
		case nil:
			delete(m, k)
		case bool:
			if !y {
				delete(m, k)
			}
		case string:
			if y == "" {
				delete(m, k)
			}
		case map[string]any:
			if len(y) == 0 {
				delete(m, k)
			}
		}
	}
	return m
}

func (w *world) tellFlow(f flow) string {
	s := fmt.Sprintf("%s -> %s %s %d", w.tellEnd(f.src), w.tellEnd(f.dst), f.space, f.number)
	if f.request != nil {
		s += fmt.Sprintf(" %s %s?%s host %q headers %v claims %v", f.request.method, f.request.path, f.request.query, f.request.host, f.request.headers, f.request.claims)
	}
	return s
}

func (w *world) tellEnd(e end) string {
	switch e.place {
	case inPod:
		return fmt.Sprintf("pod %s/%s at %s", w.inv.Pods[e.pod].Namespace, w.inv.Pods[e.pod].Name, e.addr)
	case onNode:
		return fmt.Sprintf("node %s at %s", w.inv.Nodes[e.node].Name, e.addr)
	case translated:
		return "translated by the destination's node at " + e.addr.String()
	default:
		return "address " + e.addr.String()
	}
}
