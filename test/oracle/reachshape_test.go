package oracle

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/analyze"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// disjoint says whether one row holds a flow; what is not known chooses among several, and the API server's rows are always there.
func disjoint(found []*analyze.Row) error {
	server := func(x *analyze.Row) bool { return x.From == "kube-apiserver" || x.To == "kube-apiserver" }
	for i, x := range found {
		for _, y := range found[:i] {
			if server(x) == server(y) && (x.DependsOn == "" || y.DependsOn == "") {
				return fmt.Errorf("is in two rows: %s", tellRows([]*analyze.Row{y, x}))
			}
		}
	}
	return nil
}

// coarse says whether each block that has rows is let through otherwise than the smallest wider one.
func (r *reader) coarse() error {
	for at, rows := range r.rows {
		for side, name := range at {
			block, err := netip.ParsePrefix(name)
			if err != nil {
				continue
			}
			wider, apart := r.wider(at, side, block)
			if apart || wider == nil {
				continue
			}
			r.met["block"]++
			if r.sayTheSame(rows, wider, at, side, block.Addr().Is4()) {
				return fmt.Errorf("%s has rows of its own, and they say what a wider block's do: %s\nand %s", name, tellRows(rows), tellRows(wider))
			}
		}
	}
	return nil
}

// wider are the rows of the smallest wider block or world that has some, with the same pods; apart says that those are not about
// a block in between.
func (r *reader) wider(at [2]string, side int, block netip.Prefix) (rows []*analyze.Row, apart bool) {
	wide := at
	wide[side] = "world"
	rows = r.rows[wide]
	bits := -1
	for other, have := range r.rows {
		b, err := netip.ParsePrefix(other[side])
		if err == nil && other[1-side] == at[1-side] && b.Bits() > bits && b.Bits() < block.Bits() && b.Contains(block.Addr()) {
			rows, bits = have, b.Bits()
		}
	}
	for _, x := range rows {
		apart = apart || slices.ContainsFunc(x.Except, func(e string) bool {
			b, err := netip.ParsePrefix(e)
			return err == nil && b.Bits() < block.Bits() && b.Contains(block.Addr())
		})
	}
	return rows, apart
}

// sayTheSame compares what rows of a block and of a wider one say of each pod on each port, in the block's family.
func (r *reader) sayTheSame(narrow, wide []*analyze.Row, at [2]string, side int, v4 bool) bool {
	for i := range r.inv.Pods {
		p := &r.inv.Pods[i]
		name := p.Namespace + "/" + p.Name
		alike := slices.Contains(append(slices.Clone(narrow[0].FromPods), narrow[0].ToPods...), name)
		if p.HostNetwork || p.Namespace+"/"+p.Workload.Name != at[1-side] && !alike || len(p.Addrs) > 0 && !familyOf(p.Addrs, v4).IsValid() {
			continue
		}
		for _, k := range r.starts(p, ir.Direction(1-side)) {
			claims := func(rows []*analyze.Row) (out []string) {
				for _, x := range rows {
					only := [2][]string{x.FromOnly, x.ToOnly}[1-side]
					if (only == nil || slices.Contains(only, name)) && (x.Family == "" || v4 == (x.Family == "IPv4")) && portIn(x.Ports, k.Space(), k.Number()) {
						out = append(out, fmt.Sprint(x.Via, x.Requests, x.Denied, x.Audit, x.DependsOn))
					}
				}
				slices.Sort(out)
				return out
			}
			if !slices.Equal(claims(narrow), claims(wide)) {
				return false
			}
		}
	}
	return true
}

// starts are the first ports of all on which the answers of a pod's side may change.
func (r *reader) starts(p *inventory.Pod, d ir.Direction) []plan.PortKey {
	var out []plan.PortKey
	for space := range ir.NumSpaces {
		out = append(out, plan.Key(space, 0))
	}
	for i := range r.plan.Endpoints {
		e := &r.plan.Endpoints[i]
		if e.Namespace != p.Namespace || strings.TrimPrefix(e.Name, p.Namespace+"/") != p.Name {
			continue
		}
		for _, peer := range e.Peers {
			if s := r.plan.SubjectOf(peer); s != nil {
				for _, start := range s.Tables[d].Starts {
					out = append(out, plan.PortKey(start))
				}
			}
		}
	}
	return out
}
