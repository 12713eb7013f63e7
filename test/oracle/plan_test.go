package oracle

import (
	"fmt"
	"slices"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// checkPlan checks what belongs to no single flow: endpoints, identities, where the datapath is attached.
func (c *compiled) checkPlan() error {
	for i := range c.inv.Pods {
		p := &c.inv.Pods[i]
		_, e := c.endpoint(p.Namespace, p.Name)
		if e == nil {
			return fmt.Errorf("the plan has no endpoint %s/%s", p.Namespace, p.Name)
		}
		if e.Attached != c.attached(p) {
			return fmt.Errorf("%s/%s: attached: plan %t, semantics %t (S17)", p.Namespace, p.Name, e.Attached, c.attached(p))
		}
		for j, a := range e.Addrs {
			if got := c.plan.Addresses.Lookup(a); got != e.Peers[j] {
				return fmt.Errorf("%s/%s: address %s is identity %d, the endpoint's is %d", p.Namespace, p.Name, a, got, e.Peers[j])
			}
			if kind := c.plan.Peers[e.Peers[j]].Kind; p.HostNetwork && kind != plan.HostPeer {
				return fmt.Errorf("%s/%s: a hostNetwork pod is a %s, not a node (S1)", p.Namespace, p.Name, kind)
			}
		}
		if err := c.checkSubject(p, e); err != nil {
			return fmt.Errorf("%s/%s: %w", p.Namespace, p.Name, err)
		}
		for j := range i {
			if err := c.checkShared(p, &c.inv.Pods[j]); err != nil {
				return err
			}
		}
		if peers := slices.Sorted(slices.Values(e.Peers)); len(p.Addrs) == 0 && len(slices.Compact(peers)) != len(e.Peers) {
			return fmt.Errorf("%s/%s: an identity twice", p.Namespace, p.Name)
		}
	}
	return c.checkServices()
}

// checkServices insists that a service's address is nobody's (S27), and that each port of a service has the endpoints
// behind it, also before it has an address.
func (c *compiled) checkServices() error {
	for i := range c.inv.Services {
		s := &c.inv.Services[i]
		for _, a := range s.ClusterIPs {
			if got := c.plan.Addresses.Lookup(a); got != 0 {
				return fmt.Errorf("service %s/%s: its address %s is identity %d", s.Namespace, s.Name, a, got)
			}
		}
		for _, p := range s.Ports {
			want := max(len(s.ClusterIPs), 1)
			if s.Headless {
				want = 0
			}
			for j := range c.plan.Frontends {
				f := &c.plan.Frontends[j]
				if f.Namespace != s.Namespace || f.Service != s.Name || f.Port != plan.Key(p.Space, p.Port) {
					continue
				}
				want--
				if f.PortName != p.Name || f.NodePort != p.NodePort || len(f.Addrs) == 0 && len(f.Backends) != len(p.Backends) {
					return fmt.Errorf("service %s/%s: port %s is %+v", s.Namespace, s.Name, p.Name, *f)
				}
			}
			if want != 0 {
				return fmt.Errorf("service %s/%s: port %s lacks %d frontends", s.Namespace, s.Name, p.Name, want)
			}
		}
	}
	return nil
}

// checkSubject compares what governs a pod.
func (c *compiled) checkSubject(p *inventory.Pod, e *plan.Endpoint) error {
	for _, peer := range e.Peers {
		s := c.plan.SubjectOf(peer)
		if (s != nil) != (!p.HostNetwork && c.policed(p)) {
			return fmt.Errorf("governed: plan %t, semantics %t (S8, S9)", s != nil, c.policed(p))
		}
		if s == nil {
			continue
		}
		if s.Enrolled != c.enrolled(p) || c.plan.Peers[peer].SPIFFE != c.spiffe(p) {
			return fmt.Errorf("enrolled: plan %t as %q, semantics %t as %q (S16)", s.Enrolled, c.plan.Peers[peer].SPIFFE, c.enrolled(p), c.spiffe(p))
		}
		var names []string
		for _, k := range s.Policies {
			names = append(names, c.plan.Policies[k].Object)
		}
		for i := range c.policies {
			object := c.policies[i].Object()
			if got, want := slices.Contains(names, object), c.selects(&c.policies[i].Subject, p); got != want {
				return fmt.Errorf("selected by %s: plan %t, semantics %t", object, got, want)
			}
		}
	}
	return nil
}

// checkShared insists that pods which no rule can tell apart have one identity (S2).
func (c *compiled) checkShared(p, q *inventory.Pod) error {
	if p.HostNetwork || q.HostNetwork || p.Namespace != q.Namespace || p.ServiceAccount != q.ServiceAccount || len(p.Addrs) != len(q.Addrs) {
		return nil
	}
	for k := range c.mentionedLabels() {
		v, ok := p.Labels[k]
		if w, also := q.Labels[k]; v != w || ok != also {
			return nil
		}
	}
	if len(c.podBlocks()) > 0 || !slices.Equal(namedOnly(p), namedOnly(q)) {
		return nil
	}
	_, e := c.endpoint(p.Namespace, p.Name)
	_, f := c.endpoint(q.Namespace, q.Name)
	if e.Peers[0] != f.Peers[0] {
		return fmt.Errorf("%s/%s and %s are told apart, by no rule (S2)", p.Namespace, p.Name, q.Name)
	}
	return nil
}

func namedOnly(p *inventory.Pod) []inventory.NamedPort {
	return slices.DeleteFunc(slices.Clone(p.Ports), func(n inventory.NamedPort) bool { return n.Name == "" })
}

// mentionedLabels are the keys of pod labels that some selector mentions (S2).
func (w *world) mentionedLabels() map[string]bool {
	out := map[string]bool{}
	add := func(s *ir.Selector) {
		for _, r := range s.Pods {
			out[r.Key] = true
		}
	}
	for i := range w.config.Enrolled {
		add(&w.config.Enrolled[i])
	}
	for i := range w.config.Waypoints {
		add(&w.config.Waypoints[i])
	}
	for i := range w.policies {
		add(&w.policies[i].Subject)
		for _, r := range w.policies[i].Rules {
			for _, p := range r.Peers {
				if p.Pods != nil {
					add(p.Pods)
				}
			}
		}
	}
	return out
}

// checkFindings insists that what the compiler denied for want of an answer is an error or, with requests, at least a
// warning (S12, S25).
func (c *compiled) checkFindings(v verdict) error {
	for _, o := range []outcome{v.egress.enforced, v.ingress.enforced} {
		if o.reason == plan.ByConflict && c.found.Count(diag.Error)+c.found.Count(diag.Warning) == 0 {
			return fmt.Errorf("denied by a conflict that no finding tells of (S12)")
		}
		if o.reason == plan.ByNoWaypoint && !c.found.HasErrors() {
			return fmt.Errorf("denied for want of a waypoint, and no error says so (S25)")
		}
	}
	return nil
}
