package oracle

import (
	"fmt"
	"slices"
	"strings"

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
	if err := c.checkTables(); err != nil {
		return err
	}
	if err := c.checkFound(); err != nil {
		return err
	}
	if err := c.checkWaypoints(); err != nil {
		return err
	}
	return c.checkServices()
}

// checkTables insists that a table has a row for each key that some identity has, and no other, and that an end changes
// what is decided.
func (c *compiled) checkTables() error {
	for i := range c.plan.Subjects {
		for d, t := range c.plan.Subjects[i].Tables {
			keys := map[string]bool{}
			for peer := 1; peer < len(c.plan.Peers); peer++ {
				keys[string(c.plan.RowKey(nil, t, plan.PeerIndex(peer)))] = true
			}
			if t.Rows.Len() != len(keys) {
				return fmt.Errorf("subject %d, %s: %d rows, identities have %d keys", i, ir.Direction(d), t.Rows.Len(), len(keys))
			}
			for key := range keys {
				if _, ok := t.Rows.Find([]byte(key)); !ok {
					return fmt.Errorf("subject %d, %s: no row for %x", i, ir.Direction(d), key)
				}
			}
		}
	}
	seen := map[plan.Decision]bool{}
	lists, sets := map[plan.ID]bool{}, map[plan.ID]bool{}
	for i := range c.plan.PeerSets {
		if id := c.plan.PeerSets[i].ID; sets[id] {
			return fmt.Errorf("peer set %d is there twice", i)
		}
		sets[c.plan.PeerSets[i].ID] = true
	}
	for i := range c.plan.Lists {
		if id := c.plan.Lists[i].ID; lists[id] {
			return fmt.Errorf("list %d is there twice", i)
		}
		lists[c.plan.Lists[i].ID] = true
	}
	for i := range c.plan.Decisions {
		d := &c.plan.Decisions[i]
		if seen[*d] {
			return fmt.Errorf("decision %d is there twice", i)
		}
		seen[*d] = true
		if d.NotAfter == 0 {
			if d.Then != 0 {
				return fmt.Errorf("decision %d never ends, and says what comes then", i)
			}
			continue
		}
		if next := &c.plan.Decisions[d.Then]; d.Outcome == next.Outcome && d.Audit == next.Audit && d.Log == next.Log {
			return fmt.Errorf("decision %d ends and stays the same", i)
		}
	}
	return nil
}

// checkServices insists that a service's address is nobody's (S27), and that each port of a service has the endpoints
// behind it, also before it has an address.
func (c *compiled) checkServices() error {
	for i := range c.inv.Services {
		s := &c.inv.Services[i]
		if s.Headless != slices.ContainsFunc(c.plan.NoAddress, func(x plan.Addressless) bool { return x.Namespace == s.Namespace && x.Service == s.Name }) {
			return fmt.Errorf("service %s/%s: without an address %t, and the plan says otherwise", s.Namespace, s.Name, s.Headless)
		}
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

// checkFindings insists that what the compiler denied for want of an answer is found, where it is (S12, S25).
func (c *compiled) checkFindings(v verdict) error {
	for d, o := range map[ir.Direction]outcome{ir.Egress: v.egress.enforced, ir.Ingress: v.ingress.enforced} {
		if o.reason == plan.ByConflict && !slices.ContainsFunc(c.found, func(x diag.Diagnostic) bool {
			return x.Code == conflictCode && (x.Pos == o.rule.Pos || x.Related[0].Pos == o.rule.Pos)
		}) {
			return fmt.Errorf("%s: denied by a conflict that no finding tells of (S12)", d)
		}
		if o.reason == plan.ByNoWaypoint && !slices.ContainsFunc(c.found, func(x diag.Diagnostic) bool {
			return x.Code == noWaypointCode && c.lines[x.Pos.Line].Direction == d
		}) {
			return fmt.Errorf("%s: denied for want of a waypoint, and no error says so (S25)", d)
		}
	}
	return nil
}

const conflictCode, noWaypointCode = "WEIR2012", "WEIR2025"

// inAudit ends what a finding says that holds only with what is in audit enforced.
const inAudit = "with what is in audit enforced"

// checkFound insists that what is found is so: two rules in conflict are of one priority and answer differently, and
// what lacks a waypoint says which side does.
func (c *compiled) checkFound() error {
	for i, f := range c.found {
		if i > 0 && f.Code == c.found[i-1].Code && f.Pos == c.found[i-1].Pos && f.Message == c.found[i-1].Message {
			return fmt.Errorf("found twice: %s", f.Message)
		}
		r := c.lines[f.Pos.Line]
		if r == nil {
			continue
		}
		switch f.Code {
		case conflictCode:
			o := c.lines[f.Related[0].Pos.Line]
			p, q := c.policyOf(r), c.policyOf(o)
			want := diag.Error
			if r.HTTP != nil || o.HTTP != nil || strings.Contains(f.Message, inAudit) {
				want = diag.Warning // the requests may differ; nothing is denied yet (S30)
			}
			if (r.Audit || o.Audit) && !strings.Contains(f.Message, inAudit) {
				return fmt.Errorf("what is in audit denies nothing: %s (S30)", f.Message)
			}
			if p == q || p.Layer != q.Layer || p.Tier != q.Tier || p.Priority != q.Priority || r.Action == o.Action || r.Direction != o.Direction || f.Severity != want {
				return fmt.Errorf("no such conflict: %s: %s (S12)", f.Severity, f.Message)
			}
		case noWaypointCode:
			want := diag.Error
			if strings.Contains(f.Message, inAudit) {
				want = diag.Warning
			}
			if f.Severity != want || strings.Contains(f.Message, "some peers") != (r.Direction == ir.Egress) {
				return fmt.Errorf("%s: %s: %s (S25)", f.Severity, f.Message, r.Direction)
			}
		}
	}
	return nil
}

// checkWaypoints insists that the plan has the waypoints that some connection is handed to, now or when an allow ends,
// and no other (S25).
func (c *compiled) checkWaypoints() error {
	needed := map[string]bool{}
	each := func(f func(name string, s *plan.Subject, peer plan.PeerIndex) error) error {
		for i := range c.inv.Pods {
			p := &c.inv.Pods[i]
			_, e := c.endpoint(p.Namespace, p.Name)
			name := ""
			if c.served(&party{kind: pod, pod: p}) {
				name = p.Namespace
				if c.config.Waypoint == inventory.WaypointPerServiceAccount {
					name += "/" + p.ServiceAccount
				}
			}
			for _, peer := range e.Peers {
				if err := f(name, c.plan.SubjectOf(peer), peer); err != nil {
					return fmt.Errorf("%s/%s: %w", p.Namespace, p.Name, err)
				}
			}
		}
		return nil
	}
	if err := each(func(name string, s *plan.Subject, peer plan.PeerIndex) error {
		if name != "" && !needed[name] && (s != nil && c.handsOver(s.Tables[ir.Ingress], nil) || slices.ContainsFunc(c.plan.Subjects, func(x plan.Subject) bool {
			return c.handsOver(x.Tables[ir.Egress], &peer)
		})) {
			needed[name] = true
		}
		return nil
	}); err != nil {
		return err
	}
	if len(c.plan.Waypoints) != len(needed) {
		return fmt.Errorf("%d waypoints, %d are needed", len(c.plan.Waypoints), len(needed))
	}
	return each(func(name string, _ *plan.Subject, peer plan.PeerIndex) error {
		got := ""
		if w := c.plan.Peers[peer].Waypoint; w >= 0 {
			got = c.plan.Waypoints[w].Name()
		}
		if !needed[name] {
			name = ""
		}
		if got != name {
			return fmt.Errorf("its waypoint is %q, want %q", got, name)
		}
		return nil
	})
}

// handsOver says whether a table has a redirect, of connections with one peer or with any.
func (c *compiled) handsOver(t *plan.Table, peer *plan.PeerIndex) bool {
	first, last := 0, len(t.Cells)/t.NumClasses-1
	if peer != nil {
		first = c.plan.Row(t, *peer)
		last = first
	}
	for row := first; row <= last; row++ {
		for class := range t.NumClasses {
			for d := &c.plan.Decisions[t.Decision(row, class)]; ; d = &c.plan.Decisions[d.Then] {
				if d.Verdict == plan.Redirect || d.Audit.Verdict == plan.Redirect {
					return true
				}
				if d.NotAfter == 0 {
					break
				}
			}
		}
	}
	return false
}
