package encode

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/weir-mesh/weir/compiler/plan"
)

// check refuses a projection that contradicts itself or exceeds what a node can hold. The programs check every offset
// again; here it becomes an error that names the place, before anything is sent.
func check(p *plan.Projection) error {
	if p.Version != plan.ProjectionVersion {
		return fmt.Errorf("projection has form %d, this program reads %d", p.Version, plan.ProjectionVersion)
	}
	switch {
	case len(p.Peers) == 0 || p.Peers[0].Kind != plan.UnknownPeer:
		return fmt.Errorf("peer 0 is not the unknown peer")
	case len(p.Peers) > addrNumber:
		return fmt.Errorf("%d identities: a node holds at most %d", len(p.Peers), addrNumber)
	case len(p.Frontends) > addrNumber:
		return fmt.Errorf("%d service ports: a node holds at most %d", len(p.Frontends), addrNumber)
	case len(p.Decisions) > plan.MaxNodeDecisions:
		return fmt.Errorf("%d decisions: a node holds at most %d", len(p.Decisions), plan.MaxNodeDecisions)
	}
	for i := range p.Decisions {
		if err := checkDecision(p, &p.Decisions[i]); err != nil {
			return fmt.Errorf("decision %d: %w", i, err)
		}
	}
	for i := range p.Tables {
		if err := checkTable(p, &p.Tables[i]); err != nil {
			return fmt.Errorf("table %d: %w", i, err)
		}
	}
	owner := map[netip.Addr]string{}
	for i := range p.Endpoints {
		if err := checkEndpoint(p, &p.Endpoints[i], owner); err != nil {
			return fmt.Errorf("endpoint %s: %w", p.Endpoints[i].Name, err)
		}
	}
	return nil
}

func checkDecision(p *plan.Projection, d *plan.ProjectedDecision) error {
	switch {
	case d.Verdict > plan.Redirect || d.AuditVerdict > plan.Redirect || d.Auth > plan.AuthRequired:
		return fmt.Errorf("unknown verdict or demand")
	case d.Rule < -1 || int(d.Rule) >= len(p.Rules) || d.AuditRule < -1 || int(d.AuditRule) >= len(p.Rules):
		return fmt.Errorf("rule %d or %d of %d", d.Rule, d.AuditRule, len(p.Rules))
	case d.NotAfter != 0 && int(d.Then) >= len(p.Decisions):
		return fmt.Errorf("then %d of %d", d.Then, len(p.Decisions))
	}
	return nil
}

func checkTable(p *plan.Projection, t *plan.ProjectedTable) error {
	switch {
	case t.NumRows < 1 || t.NumClasses < 1 || t.NumRows > plan.MaxClasses || t.NumClasses > plan.MaxClasses:
		return fmt.Errorf("%d × %d classes", t.NumRows, t.NumClasses)
	case len(t.Starts) == 0 || len(t.Starts) != len(t.Classes) || t.Starts[0] != 0:
		return fmt.Errorf("port intervals do not start at 0, or lack a class")
	case len(t.RowOfPeer) != 2*len(p.Peers):
		return fmt.Errorf("%d rows for %d identities", len(t.RowOfPeer)/2, len(p.Peers))
	case len(t.Cells) != 2*t.NumRows*t.NumClasses:
		return fmt.Errorf("%d cells for %d × %d classes", len(t.Cells)/2, t.NumRows, t.NumClasses)
	case len(t.FrontendCells) != 0 && len(t.FrontendCells) != 2*len(p.Frontends):
		return fmt.Errorf("%d cells for %d service ports", len(t.FrontendCells)/2, len(p.Frontends))
	}
	for i := range t.Starts {
		if i > 0 && t.Starts[i] <= t.Starts[i-1] || int(t.Starts[i]) >= keys {
			return fmt.Errorf("port interval %d starts at %#x", i, t.Starts[i])
		}
		if int(t.Classes[i]) >= t.NumClasses {
			return fmt.Errorf("port interval %d has class %d of %d", i, t.Classes[i], t.NumClasses)
		}
	}
	for i := 0; i < len(t.RowOfPeer); i += 2 {
		if r := int(t.RowOfPeer[i]) | int(t.RowOfPeer[i+1])<<8; r >= t.NumRows {
			return fmt.Errorf("identity %d has row %d of %d", i/2, r, t.NumRows)
		}
	}
	for _, cells := range [][]byte{t.Cells, t.FrontendCells} {
		for i := 0; i < len(cells); i += 2 {
			if d := int(cells[i]) | int(cells[i+1])<<8; d >= len(p.Decisions) {
				return fmt.Errorf("cell %d holds decision %d of %d", i/2, d, len(p.Decisions))
			}
		}
	}
	return nil
}

func checkEndpoint(p *plan.Projection, e *plan.ProjectedEndpoint, owner map[netip.Addr]string) error {
	switch {
	case len(e.Addrs) == 0 || len(e.Addrs) > MaxAddrs:
		return fmt.Errorf("%d addresses: an endpoint has 1 to %d", len(e.Addrs), MaxAddrs)
	case e.Egress < 0 || e.Egress >= len(p.Tables) || e.Ingress < 0 || e.Ingress >= len(p.Tables):
		return fmt.Errorf("tables %d and %d of %d", e.Egress, e.Ingress, len(p.Tables))
	}
	for _, a := range e.Addrs {
		if !a.IsValid() || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
			return fmt.Errorf("%s is no address of a pod", a)
		}
		if o, taken := owner[a]; taken {
			return fmt.Errorf("%s is also an address of %s", a, o)
		}
		owner[a] = e.Name
	}
	for f, d := range e.SelfFrontends {
		if int(f) >= len(p.Frontends) || int(d) >= len(p.Decisions) {
			return fmt.Errorf("service port %d, decision %d", f, d)
		}
	}
	return nil
}

// expired follows Then while a decision has ended at now (Unix seconds).
func expired(p *plan.Projection, i uint32, now int64) uint32 {
	for range p.Decisions {
		d := &p.Decisions[i]
		if d.NotAfter == 0 || now < d.NotAfter {
			break
		}
		i = d.Then
	}
	return i
}

// NextExpiry is the first second after now at which a decision that holds ends; 0 when none does (S28).
func NextExpiry(p *plan.Projection, now int64) int64 {
	var next int64
	for i := range p.Decisions {
		d := &p.Decisions[expired(p, uint32(i), now)]
		if d.NotAfter > now && (next == 0 || d.NotAfter < next) {
			next = d.NotAfter
		}
	}
	return next
}

// sortedKeys are a map's keys in order: the same input gives the same bytes.
func sortedKeys(m map[uint32]uint16) []uint32 {
	ks := make([]uint32, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return ks
}
