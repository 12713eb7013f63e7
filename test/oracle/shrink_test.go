package oracle

import (
	"net/netip"
	"slices"
	"time"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
)

// failure is a world and a flow on which plan and semantics disagree.
type failure struct {
	w   *world
	f   flow
	err error
}

// shrink drops what the failure does not need, part by part, until nothing can go.
func shrink(w *world, f flow, err error, check func(*world, flow) error) failure {
	best := failure{w.clone(), f, err}
	for again := true; again; {
		again = false
		for _, try := range smaller(best.w, best.f) {
			if err := check(try.w, try.f); err != nil {
				best, again = failure{try.w, try.f, err}, true
				break
			}
		}
	}
	return best
}

// decides compiles a world and compares one flow.
func decides(w *world, f flow) error {
	c, err := compile(w)
	if err != nil {
		return err
	}
	_, err = c.checkAll(f)
	return err
}

// smaller lists worlds that lack one part each.
func smaller(w *world, f flow) []failure {
	var out []failure
	with := func(change func(*world, *flow)) {
		c, g := w.clone(), f
		change(c, &g)
		out = append(out, failure{w: c, f: g})
	}
	for i := range w.policies {
		with(func(c *world, _ *flow) { c.policies = slices.Delete(c.policies, i, i+1) })
	}
	for i := range w.inv.Services {
		with(func(c *world, _ *flow) { c.inv.Services = slices.Delete(c.inv.Services, i, i+1) })
	}
	for i := range w.inv.Pods {
		if f.src.place == inPod && f.src.pod == i || f.dst.place == inPod && f.dst.pod == i {
			continue
		}
		with(func(c *world, g *flow) {
			c.inv.Pods = slices.Delete(c.inv.Pods, i, i+1)
			for _, e := range []*end{&g.src, &g.dst} {
				if e.place == inPod && e.pod > i {
					e.pod--
				}
			}
		})
	}
	with(func(_ *world, g *flow) { g.request = nil })
	out = append(out, smallerConfig(w, f)...)
	for i := range w.policies {
		out = append(out, smallerPolicy(w, f, i)...)
	}
	return slices.DeleteFunc(out, func(x failure) bool { return x.w.String() == w.String() && (x.f.request == nil) == (f.request == nil) })
}

func smallerConfig(w *world, f flow) []failure {
	var out []failure
	for _, change := range []func(*world){
		func(c *world) { c.inv.APIServers = nil },
		func(c *world) { c.config.PodRanges = nil },
		func(c *world) { c.config.NodeRanges = nil },
		func(c *world) { c.config.ServiceRanges = nil },
		func(c *world) { c.config.Waypoints = nil },
		func(c *world) { c.config.Enrolled = nil },
		func(c *world) { c.config = inventory.Config{} },
	} {
		c := w.clone()
		change(c)
		out = append(out, failure{w: c, f: f})
	}
	for i := range w.inv.Nodes {
		c := w.clone()
		c.inv.Nodes[i].PodCIDRs = nil
		out = append(out, failure{w: c, f: f})
	}
	for i := range w.inv.Pods {
		for j := range w.inv.Pods[i].Ports {
			c := w.clone()
			c.inv.Pods[i].Ports = slices.Delete(c.inv.Pods[i].Ports, j, j+1)
			out = append(out, failure{w: c, f: f})
		}
	}
	for i := range w.inv.Services {
		for j := range w.inv.Services[i].Ports {
			for k := range w.inv.Services[i].Ports[j].Backends {
				c := w.clone()
				p := &c.inv.Services[i].Ports[j]
				p.Backends = slices.Delete(p.Backends, k, k+1)
				out = append(out, failure{w: c, f: f})
			}
		}
	}
	return out
}

func smallerPolicy(w *world, f flow, i int) []failure {
	var out []failure
	with := func(change func(*ir.Policy)) {
		c := w.clone()
		change(&c.policies[i])
		out = append(out, failure{w: c, f: f})
	}
	with(func(p *ir.Policy) { p.Subject = ir.Selector{} })
	with(func(p *ir.Policy) { p.Isolate = [ir.NumDirections]bool{} })
	with(func(p *ir.Policy) { p.AuditIsolate = [ir.NumDirections]bool{} })
	with(func(p *ir.Policy) { p.Audit = false })
	for j := range w.policies[i].Rules {
		with(func(p *ir.Policy) { p.Rules = slices.Delete(p.Rules, j, j+1) })
		with(func(p *ir.Policy) { p.Rules[j].Peers = nil })
		with(func(p *ir.Policy) { p.Rules[j].Ports = nil })
		with(func(p *ir.Policy) { p.Rules[j].HTTP = nil })
		with(func(p *ir.Policy) { p.Rules[j].Audit = false })
		with(func(p *ir.Policy) { p.Rules[j].NotAfter = time.Time{} })
		with(func(p *ir.Policy) { p.Rules[j].Log = nil })
		for k := range w.policies[i].Rules[j].Peers {
			if len(w.policies[i].Rules[j].Peers) > 1 {
				with(func(p *ir.Policy) { p.Rules[j].Peers = slices.Delete(p.Rules[j].Peers, k, k+1) })
			}
			if c := w.policies[i].Rules[j].Peers[k].CIDR; c != nil && len(c.Except) > 0 {
				with(func(p *ir.Policy) {
					p.Rules[j].Peers[k].CIDR = &ir.CIDR{Prefix: c.Prefix, MatchPods: c.MatchPods}
				})
			}
		}
		for k := range w.policies[i].Rules[j].Ports {
			if len(w.policies[i].Rules[j].Ports) > 1 {
				with(func(p *ir.Policy) { p.Rules[j].Ports = slices.Delete(p.Rules[j].Ports, k, k+1) })
			}
		}
	}
	return out
}

// clone copies what shrinking changes.
func (w *world) clone() *world {
	c := *w
	c.answers = nil
	c.policies = slices.Clone(w.policies)
	for i := range c.policies {
		c.policies[i].Rules = slices.Clone(c.policies[i].Rules)
		for j := range c.policies[i].Rules {
			r := &c.policies[i].Rules[j]
			r.Peers, r.Ports, r.HTTP = slices.Clone(r.Peers), slices.Clone(r.Ports), slices.Clone(r.HTTP)
		}
	}
	c.inv.Pods, c.inv.Nodes, c.inv.Services = slices.Clone(w.inv.Pods), slices.Clone(w.inv.Nodes), slices.Clone(w.inv.Services)
	for i := range c.inv.Pods {
		c.inv.Pods[i].Ports = slices.Clone(c.inv.Pods[i].Ports)
	}
	for i := range c.inv.Services {
		c.inv.Services[i].Ports = slices.Clone(c.inv.Services[i].Ports)
		for j := range c.inv.Services[i].Ports {
			c.inv.Services[i].Ports[j].Backends = slices.Clone(c.inv.Services[i].Ports[j].Backends)
		}
	}
	c.inv.APIServers = append([]netip.Addr(nil), w.inv.APIServers...)
	return &c
}
