package resolve

import (
	"encoding/binary"
	"encoding/json"

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
}

// buildSubjects finds for every pod identity the policies that select it, and its subject.
func (c *compiler) buildSubjects() {
	by := make([][]int32, len(c.plan.Peers))
	for i, p := range c.policies {
		c.index.selector(&p.Subject).each(func(peer int) { by[peer] = append(by[peer], int32(i)) })
	}
	names := c.ingressNames()
	http := c.policiesWithHTTP()
	c.subjects = &subjectSet{byKey: map[string]int32{}}
	for i := range c.plan.Peers {
		p := &c.plan.Peers[i]
		if p.Kind != plan.PodPeer || !p.Enrolled && len(by[i]) == 0 {
			continue
		}
		s := subject{policies: by[i], enrolled: p.Enrolled}
		for _, k := range by[i] {
			s.waypoint = s.waypoint || p.Waypoint >= 0 && http[k]
		}
		for _, n := range p.NamedPorts {
			if anyNames(by[i], names, portName{n.Name, n.Space}) {
				s.ports = append(s.ports, n)
			}
		}
		p.Subject = c.subjects.intern(&s)
	}
	c.plan.Subjects = make([]plan.Subject, len(c.subjects.list))
	for i := range c.subjects.list {
		c.plan.Subjects[i] = c.planSubject(&c.subjects.list[i])
	}
	for i := range c.plan.Endpoints {
		e := &c.plan.Endpoints[i]
		for _, p := range e.Peers {
			if s := c.plan.SubjectOf(p); s != nil && s.Attached {
				e.Attached = true
			}
		}
	}
}

// ingressNames are, by policy, the named ports of its ingress rules.
func (c *compiler) ingressNames() []map[portName]bool {
	out := make([]map[portName]bool, len(c.policies))
	for i, p := range c.policies {
		for _, r := range p.Rules {
			for _, port := range r.Ports {
				if r.Direction == ir.Ingress && port.Name != "" {
					if out[i] == nil {
						out[i] = map[portName]bool{}
					}
					out[i][portName{port.Name, port.Space}] = true
				}
			}
		}
	}
	return out
}

func anyNames(policies []int32, names []map[portName]bool, n portName) bool {
	for _, i := range policies {
		if names[i][n] {
			return true
		}
	}
	return false
}

func (c *compiler) policiesWithHTTP() []bool {
	out := make([]bool, len(c.policies))
	for i, p := range c.policies {
		for j := range p.Rules {
			out[i] = out[i] || p.Rules[j].HTTP != nil
		}
	}
	return out
}

func (s *subjectSet) intern(x *subject) int32 {
	var key []byte
	for _, p := range x.policies {
		key = binary.LittleEndian.AppendUint32(key, uint32(p))
	}
	var flags byte
	if x.enrolled {
		flags |= 1
	}
	if x.waypoint {
		flags |= 2
	}
	key = append(key, flags)
	for _, n := range x.ports {
		key = append(key, n.Name...)
		key = binary.LittleEndian.AppendUint32(append(key, 0), uint32(plan.Key(n.Space, n.Number)))
	}
	if i, ok := s.byKey[string(key)]; ok {
		return i
	}
	i := int32(len(s.list))
	s.byKey[string(key)] = i
	s.list = append(s.list, *x)
	return i
}

// planSubject records a subject. The datapath is attached to the enrolled, to what our kinds select, and to the
// rest only on demand (S17).
func (c *compiler) planSubject(s *subject) plan.Subject {
	out := plan.Subject{Enrolled: s.enrolled, Attached: s.enrolled || c.in.Config.EnforceNetworkPolicy}
	ids := make([]plan.ID, len(s.policies))
	for i, k := range s.policies {
		ids[i] = c.plan.Policies[k].ID
		out.Policies = append(out.Policies, plan.PolicyIndex(k))
		out.Attached = out.Attached || c.policies[k].Layer == ir.Mesh
	}
	b, err := json.Marshal(ids)
	if err != nil {
		panic(err) // hashes only
	}
	out.ID = hashOf("subject", struct {
		Policies           string
		Enrolled, Waypoint bool
		Ports              []plan.NamedPort
	}{string(b), s.enrolled, s.waypoint, s.ports})
	return out
}
