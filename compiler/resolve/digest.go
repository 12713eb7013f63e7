package resolve

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"slices"

	"github.com/weir-mesh/weir/compiler/plan"
)

// stableOutcome is an outcome in terms of content, for hashes.
type stableOutcome struct {
	Verdict      plan.Verdict
	Reason       plan.Reason
	Rule, Policy plan.ID
	Auth         plan.Auth
	List         plan.ID
}

func stable(p *plan.Plan, o *plan.Outcome) stableOutcome {
	s := stableOutcome{Verdict: o.Verdict, Reason: o.Reason, Auth: o.Auth}
	if o.Rule != plan.None {
		s.Rule = p.Rules[o.Rule].ID
	}
	if o.Policy != plan.None {
		s.Policy = p.Policies[o.Policy].ID
	}
	if o.List != plan.None {
		s.List = p.Lists[o.List].ID
	}
	return s
}

// digest computes the plan's three digests. Same content, same digest: no file name, position, order of input or
// dense number enters any of them.
func (c *compiler) digest() {
	c.plan.PolicyDigest = c.policyDigest()
	c.plan.DecisionDigest = c.decisionDigest()
	c.plan.NodeDigest = c.nodeDigest()
}

func (c *compiler) policyDigest() string {
	for i := range c.plan.Policies {
		c.written.add(c.plan.Policies[i].ID)
	}
	cfg := c.in.Config
	cfg.Pos.File, cfg.Pos.Line, cfg.Pos.Col, cfg.Pos.EndCol = "", 0, 0, 0
	c.written.add(hashOf("config", cfg))
	return c.written.root()
}

// decisionDigest hashes identities, waypoints, subjects with their tables, and services.
func (c *compiler) decisionDigest() string {
	p := c.plan
	c.decisionIDsFrom(&c.hashed)
	c.subjectIDs = c.tableIDs()
	for i := range p.Peers {
		c.decided.add(p.Peers[i].ID)
	}
	for i := range p.Waypoints {
		c.decided.add(p.Waypoints[i].ID)
	}
	for _, id := range c.subjectIDs {
		c.decided.add(id)
	}
	for i := range p.Frontends {
		c.decided.add(frontendID(p, &p.Frontends[i]))
	}
	return c.decided.root()
}

// decisionIDsFrom gives the decisions from a place on their hashes, and moves the place to the end. What follows an
// end is always an earlier decision of the plan.
func (c *compiler) decisionIDsFrom(from *int) {
	p := c.plan
	var buf []byte
	for ; *from < len(p.Decisions); *from++ {
		d := &p.Decisions[*from]
		b := appendOutcome(buf[:0], stable(p, &d.Outcome))
		b = appendOutcome(b, stable(p, &d.Audit))
		b = binary.BigEndian.AppendUint64(append(b, flag(d.Log)), uint64(d.NotAfter))
		if d.NotAfter != 0 {
			b = append(b, p.Decisions[d.Then].ID[:]...)
		}
		d.ID, buf = hashBytes("decision", b), b
	}
}

func appendOutcome(b []byte, s stableOutcome) []byte {
	b = append(b, byte(s.Verdict), byte(s.Reason), byte(s.Auth))
	b = append(append(b, s.Rule[:]...), s.Policy[:]...)
	return append(b, s.List[:]...)
}

func flag(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// tableIDs hashes each subject's tables and returns an id for each subject.
func (c *compiler) tableIDs() []plan.ID {
	out := make([]plan.ID, len(c.plan.Subjects))
	c.share(len(out), subjectsEach, func() func(int) {
		var buf []byte
		return func(i int) { out[i], buf = subjectID(c.plan, &c.plan.Subjects[i], buf) }
	})
	return out
}

// subjectID hashes a subject together with its tables, whose ids it sets; buf is used for what is hashed.
func subjectID(p *plan.Plan, s *plan.Subject, buf []byte) (id plan.ID, used []byte) {
	for _, t := range s.Tables {
		t.ID, buf = tableID(p, t, buf)
	}
	buf = append(buf[:0], s.ID[:]...)
	for _, t := range s.Tables {
		buf = append(buf, t.ID[:]...)
	}
	return hashBytes("subject tables", buf), buf
}

// tableID hashes a table; buf is used for what is hashed.
func tableID(p *plan.Plan, t *plan.Table, buf []byte) (id plan.ID, used []byte) {
	buf = buf[:0]
	for _, s := range t.PeerSets {
		buf = append(buf, p.PeerSets[s].ID[:]...)
	}
	buf = append(buf, 0, 0, 0, 0, 0) // the unknown peer's row: no key, row 0
	for i, row := range t.Rows.Of {
		buf = binary.LittleEndian.AppendUint32(append(append(buf, byte(t.Rows.Width)), t.Rows.Key(i)...), row)
	}
	for i := range t.Starts {
		buf = binary.LittleEndian.AppendUint32(buf, t.Starts[i])
		buf = binary.LittleEndian.AppendUint16(buf, t.Classes[i])
	}
	for _, d := range t.Decisions {
		buf = append(buf, p.Decisions[d].ID[:]...)
	}
	buf = binary.LittleEndian.AppendUint32(buf, uint32(t.NumClasses))
	for _, c := range t.Cells {
		buf = binary.LittleEndian.AppendUint16(buf, c)
	}
	sum := sha256.Sum256(buf)
	copy(id[:], sum[:])
	return id, buf
}

// frontendID hashes a service's port and the identities behind it, not their addresses.
func frontendID(p *plan.Plan, f *plan.Frontend) plan.ID {
	type backend struct {
		Peer plan.ID
		Port plan.PortKey
	}
	seen := map[backend]struct{}{}
	for _, b := range f.Backends {
		for _, i := range b.Peers {
			seen[backend{p.Peers[i].ID, b.Port}] = struct{}{}
		}
	}
	var backends [][]byte
	for b := range seen {
		backends = append(backends, binary.LittleEndian.AppendUint32(b.Peer[:], uint32(b.Port)))
	}
	slices.SortFunc(backends, bytes.Compare)
	return hashOf("frontend", struct {
		Namespace, Service, PortName string
		Port                         plan.PortKey
		Backends                     [][]byte
	}{f.Namespace, f.Service, f.PortName, f.Port, backends})
}

// nodeDigest hashes which address is which identity, and where.
func (c *compiler) nodeDigest() string {
	p := c.plan
	for i := range p.Endpoints {
		c.placed.add(endpointID(p, &p.Endpoints[i]))
	}
	for a, i := range p.Addresses.Exact {
		c.placed.add(addressID(p, a, i))
	}
	for i := range p.Frontends {
		c.placed.add(hashOf("frontend addresses", struct {
			Namespace, Service string
			Port               plan.PortKey
			Addrs              []netip.Addr
		}{p.Frontends[i].Namespace, p.Frontends[i].Service, p.Frontends[i].Port, p.Frontends[i].Addrs}))
	}
	b, err := json.Marshal(p.Ranges)
	if err != nil {
		panic(err) // prefixes only
	}
	c.placed.add(hashBytes("ranges", b))
	return c.placed.root()
}

func addressID(p *plan.Plan, a netip.Addr, i plan.PeerIndex) plan.ID {
	return hashBytes("address", append(p.Peers[i].ID[:], a.String()...))
}

func endpointID(p *plan.Plan, e *plan.Endpoint) plan.ID {
	peers := make([]plan.ID, len(e.Peers))
	for j, k := range e.Peers {
		peers[j] = p.Peers[k].ID
	}
	return hashOf("endpoint", struct {
		Namespace, Name, Workload, Node string
		HostNetwork, Declared, Attached bool
		Addrs                           []netip.Addr
		Peers                           []plan.ID
	}{e.Namespace, e.Name, e.Workload, e.Node, e.HostNetwork, e.Declared, e.Attached, e.Addrs, peers})
}
