package resolve

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"sync"

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
	ids := make([]plan.ID, len(c.plan.Policies))
	for i := range ids {
		ids[i] = c.plan.Policies[i].ID
	}
	cfg := c.in.Config
	cfg.Pos.File, cfg.Pos.Line, cfg.Pos.Col, cfg.Pos.EndCol = "", 0, 0, 0
	id := hashOf("config", cfg)
	return digestOf(append(ids, id))
}

// digestOf hashes a set of ids, whatever their order.
func digestOf(ids []plan.ID) string {
	slices.SortFunc(ids, func(a, b plan.ID) int { return bytes.Compare(a[:], b[:]) })
	h := sha256.New()
	for i := range ids {
		h.Write(ids[i][:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (c *compiler) decisionDigest() string {
	p := c.plan
	decisions := c.decisionIDs()
	var ids []plan.ID
	for i := range p.Peers {
		ids = append(ids, p.Peers[i].ID)
	}
	for i := range p.Waypoints {
		ids = append(ids, p.Waypoints[i].ID)
	}
	ids = append(ids, c.tableIDs(decisions)...)
	for i := range p.Frontends {
		ids = append(ids, frontendID(p, &p.Frontends[i]))
	}
	return digestOf(ids)
}

// decisionIDs gives each decision its hash; what follows an end is always an earlier decision of the plan.
func (c *compiler) decisionIDs() []plan.ID {
	p := c.plan
	out := make([]plan.ID, len(p.Decisions))
	for i := range p.Decisions {
		d := &p.Decisions[i]
		s := struct {
			Outcome, Audit stableOutcome
			Log            bool
			NotAfter       int64
			Then           plan.ID
		}{Outcome: stable(p, &d.Outcome), Audit: stable(p, &d.Audit), Log: d.Log, NotAfter: d.NotAfter}
		if d.NotAfter != 0 {
			s.Then = out[d.Then]
		}
		out[i] = hashOf("decision", s)
		d.ID = out[i]
	}
	return out
}

// tableIDs hashes each subject's tables and returns an id for each subject.
func (c *compiler) tableIDs(decisions []plan.ID) []plan.ID {
	p := c.plan
	out := make([]plan.ID, len(p.Subjects))
	var wg sync.WaitGroup
	workers := max(1, min(4, len(out)/64))
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(out); i += workers {
				s := &p.Subjects[i]
				id := s.ID[:]
				for _, t := range s.Tables {
					t.ID = tableID(p, t, decisions)
					id = append(slices.Clip(id), t.ID[:]...)
				}
				out[i] = hashBytes("subject tables", id)
			}
		})
	}
	wg.Wait()
	return out
}

func tableID(p *plan.Plan, t *plan.Table, decisions []plan.ID) (id plan.ID) {
	h := sha256.New()
	var buf []byte
	for _, s := range t.PeerSets {
		buf = append(buf, p.PeerSets[s].ID[:]...)
	}
	for _, k := range slices.Sorted(maps.Keys(t.Rows)) {
		buf = binary.LittleEndian.AppendUint32(append(append(buf, byte(len(k))), k...), uint32(t.Rows[k]))
	}
	for i := range t.Starts {
		buf = binary.LittleEndian.AppendUint32(buf, t.Starts[i])
		buf = binary.LittleEndian.AppendUint16(buf, t.Classes[i])
	}
	for _, d := range t.Decisions {
		buf = append(buf, decisions[d][:]...)
	}
	buf = binary.LittleEndian.AppendUint32(buf, uint32(t.NumClasses))
	h.Write(buf)
	buf = slices.Grow(buf[:0], 2*len(t.Cells))
	for _, c := range t.Cells {
		buf = binary.LittleEndian.AppendUint16(buf, c)
	}
	h.Write(buf)
	copy(id[:], h.Sum(nil))
	return id
}

// frontendID hashes a service's port and the identities behind it, not their addresses.
func frontendID(p *plan.Plan, f *plan.Frontend) plan.ID {
	type backend struct {
		Peer plan.ID
		Port plan.PortKey
	}
	seen := map[backend]bool{}
	for _, b := range f.Backends {
		for _, i := range b.Peers {
			seen[backend{p.Peers[i].ID, b.Port}] = true
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
	var ids []plan.ID
	for i := range p.Endpoints {
		e := p.Endpoints[i]
		peers := make([]plan.ID, len(e.Peers))
		for j, k := range e.Peers {
			peers[j] = p.Peers[k].ID
		}
		ids = append(ids, hashOf("endpoint", struct {
			Namespace, Name, Workload, Node string
			HostNetwork, Declared, Attached bool
			Addrs                           []netip.Addr
			Peers                           []plan.ID
		}{e.Namespace, e.Name, e.Workload, e.Node, e.HostNetwork, e.Declared, e.Attached, e.Addrs, peers}))
	}
	for a, i := range p.Addresses.Exact {
		ids = append(ids, hashBytes("address", append(p.Peers[i].ID[:], a.String()...)))
	}
	for i := range p.Frontends {
		ids = append(ids, hashOf("frontend addresses", struct {
			Namespace, Service string
			Port               plan.PortKey
			Addrs              []netip.Addr
		}{p.Frontends[i].Namespace, p.Frontends[i].Service, p.Frontends[i].Port, p.Frontends[i].Addrs}))
	}
	b, err := json.Marshal(p.Ranges)
	if err != nil {
		panic(err) // prefixes only
	}
	return digestOf(append(ids, hashBytes("ranges", b)))
}
