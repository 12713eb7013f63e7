package resolve

import (
	"encoding/binary"
	"slices"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// subjectSet groups pods that the same policies select and that their rules treat alike.
type subjectSet struct {
	byKey map[string]int32
	list  []subject
}

// subject is a class of pods while it is being compiled.
type subject struct {
	policies []int32
	enrolled bool
	waypoint bool
	// ports are the subject's own numbers of named ports that its ingress rules name.
	ports []plan.NamedPort
	key   string
}

// buildSubjects finds for every pod identity the policies that select it, and its subject.
func (c *compiler) buildSubjects() {
	c.selecting = make([][]int32, len(c.plan.Peers))
	for i, p := range c.policies {
		c.names, c.http = append(c.names, ingressNames(p)), append(c.http, looksAtRequests(p))
		c.index.selector(&p.Subject).each(func(peer int) { c.selecting[peer] = append(c.selecting[peer], int32(i)) })
	}
	c.subjects = &subjectSet{byKey: map[string]int32{}}
	for i := range c.plan.Peers {
		if s, ok := c.subjectOf(i); ok {
			c.plan.Peers[i].Subject = c.subjects.intern(&s)
		}
	}
	c.plan.Subjects = make([]plan.Subject, len(c.subjects.list))
	for i := range c.subjects.list {
		c.plan.Subjects[i] = c.planSubject(&c.subjects.list[i])
	}
	for i := range c.plan.Endpoints {
		c.attach(&c.plan.Endpoints[i])
	}
}

// attach says whether the datapath is attached to an endpoint (S17).
func (c *compiler) attach(e *plan.Endpoint) {
	e.Attached = false
	for _, p := range e.Peers {
		if s := c.plan.SubjectOf(p); s != nil && s.Attached {
			e.Attached = true
		}
	}
}

// subjectOf returns the subject that an identity belongs to, false when it is no pod, or nothing selects it and it
// is not enrolled.
func (c *compiler) subjectOf(i int) (subject, bool) {
	p, policies := &c.plan.Peers[i], c.selecting[i]
	if p.Kind != plan.PodPeer || !p.Enrolled && len(policies) == 0 {
		return subject{}, false
	}
	s := subject{policies: policies, enrolled: p.Enrolled}
	for _, k := range policies {
		s.waypoint = s.waypoint || p.Waypoint >= 0 && c.http[k]
	}
	for _, n := range p.NamedPorts {
		if anyNames(policies, c.names, portName{n.Name, n.Space}) {
			s.ports = append(s.ports, n)
		}
	}
	return s, true
}

// ingressNames are the named ports of a policy's ingress rules.
func ingressNames(p *ir.Policy) map[portName]bool {
	var out map[portName]bool
	for _, r := range p.Rules {
		for _, port := range r.Ports {
			if r.Direction == ir.Ingress && port.Name != "" {
				if out == nil {
					out = map[portName]bool{}
				}
				out[portName{port.Name, port.Space}] = true
			}
		}
	}
	return out
}

func looksAtRequests(p *ir.Policy) bool {
	return slices.ContainsFunc(p.Rules, func(r ir.Rule) bool { return r.HTTP != nil })
}

func anyNames(policies []int32, names []map[portName]bool, n portName) bool {
	for _, i := range policies {
		if names[i][n] {
			return true
		}
	}
	return false
}

func (s *subjectSet) intern(x *subject) int32 {
	var key []byte
	for _, p := range x.policies {
		key = binary.LittleEndian.AppendUint32(key, uint32(p))
	}
	key = append(key, flag(x.enrolled), flag(x.waypoint))
	for _, n := range x.ports {
		key = append(key, n.Name...)
		key = binary.LittleEndian.AppendUint32(append(key, 0), uint32(plan.Key(n.Space, n.Number)))
	}
	if i, ok := s.byKey[string(key)]; ok {
		return i
	}
	i := int32(len(s.list))
	x.key = string(key)
	s.byKey[x.key] = i
	s.list = append(s.list, *x)
	return i
}

// planSubject records a subject. The datapath is attached to the enrolled, to what our kinds select, and to the
// rest only on demand (S17).
func (c *compiler) planSubject(s *subject) plan.Subject {
	out := plan.Subject{Enrolled: s.enrolled, Attached: s.enrolled || c.in.Config.EnforceNetworkPolicy}
	id := []byte{flag(s.enrolled), flag(s.waypoint)}
	for _, k := range s.policies {
		id = append(id, c.plan.Policies[k].ID[:]...)
		out.Policies = append(out.Policies, plan.PolicyIndex(k))
		out.Attached = out.Attached || c.policies[k].Layer == ir.Mesh
	}
	id = binary.LittleEndian.AppendUint32(id, uint32(len(s.policies)))
	for _, n := range s.ports {
		id = binary.LittleEndian.AppendUint32(append(append(id, n.Name...), 0), uint32(plan.Key(n.Space, n.Number)))
	}
	out.ID = hashBytes("subject", id)
	return out
}
