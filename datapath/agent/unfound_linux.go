package agent

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/internal/plain"
)

// DefaultGrace is Options.Grace's default.
const DefaultGrace = 30 * time.Second

// unfound is a pod of the plan that nothing is attached for.
type unfound struct {
	datapath.Unfound
	// since is when it was missed first; gone says that it had programs before, and that its interface went.
	since time.Time
	gone  bool
}

// overdue says that the pod has to be thought unenforced: something of it is there, or it could have come by now. Of a pod
// that is gone nothing is left to enforce. What is nowhere may also be where Weir cannot see it, and so has only a while.
func (u *unfound) overdue(now time.Time, grace time.Duration) bool {
	return u.Why != datapath.Nowhere || !u.gone && now.Sub(u.since) >= grace
}

// reason is the metric's word.
func (u *unfound) reason() string {
	if u.gone {
		return "gone"
	}
	return string(u.Why)
}

// reasons are all that there are, so that each is a metric before it happens.
var reasons = []string{string(datapath.Nowhere), string(datapath.NoVeth), string(datapath.Ambiguous), "gone"}

// seen keeps which pods of the plan have had programs.
type seen map[string]bool

// missed updates what is unfound by what an Apply says of the projection's pods; had is what was unfound before.
func (s seen) missed(p *plan.Projection, now []datapath.Unfound, had []unfound, at time.Time) []unfound {
	out := make([]unfound, 0, len(now))
	for i := range now {
		u := unfound{Unfound: now[i], since: at}
		if j := slices.IndexFunc(had, func(h unfound) bool { return h.Name == u.Name }); j >= 0 {
			u.since = had[j].since
		}
		u.gone = s[u.Name] && u.Why == datapath.Nowhere
		out = append(out, u)
	}
	in := map[string]bool{}
	for i := range p.Endpoints {
		name := p.Endpoints[i].Name
		in[name] = true
		if !slices.ContainsFunc(now, func(u datapath.Unfound) bool { return u.Name == name }) {
			s[name] = true
		}
	}
	for name := range s {
		if !in[name] {
			delete(s, name)
		}
	}
	return out
}

// tell logs what is unfound in another way than before.
func (a *agent) tell(now, had []unfound) {
	for i := range now {
		u := &now[i]
		if slices.ContainsFunc(had, func(h unfound) bool { return h.Name == u.Name && h.Text == u.Text && h.gone == u.gone }) {
			continue
		}
		if u.gone {
			a.o.Log.Info("a pod of the plan is gone", "pod", u.Name)
			continue
		}
		a.o.Log.Warn("a pod of the plan is not enforced", "pod", u.Name, "reason", u.Text, "wayOut", u.Hint)
	}
}

// overdue are the pods that ought to be enforced and are not.
func (a *agent) overdue(s *status, now time.Time) (late []unfound) {
	for i := range s.unfound {
		if s.unfound[i].overdue(now, a.o.Grace) {
			late = append(late, s.unfound[i])
		}
	}
	return late
}

// writeUnfound tells each pod's state, those first that health fails for.
func (a *agent) writeUnfound(w io.Writer, s *status, now time.Time) {
	for _, late := range []bool{true, false} {
		for i := range s.unfound {
			u := &s.unfound[i]
			if u.overdue(now, a.o.Grace) != late {
				continue
			}
			name, text := plain.Line(u.Name), plain.Line(u.Text)
			switch {
			case late:
				_, _ = fmt.Fprintf(w, "not enforced: %s: %s; %s\n", name, text, plain.Line(u.Hint))
			case u.gone:
				_, _ = fmt.Fprintf(w, "gone: %s: its interface went, and the plan still has it\n", name)
			default:
				_, _ = fmt.Fprintf(w, "not here yet: %s: %s; healthy without it until %s\n", name, text, u.since.Add(a.o.Grace).UTC().Format(time.RFC3339))
			}
		}
	}
}
