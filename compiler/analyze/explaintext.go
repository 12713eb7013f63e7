package analyze

import (
	"fmt"
	"io"
	"strings"
)

// saysWidth is the width of the column of answers.
const saysWidth = 8

// Text prints an explanation for people.
func (e *Explanation) Text(w io.Writer, st Style) error {
	var b strings.Builder
	head := fmt.Sprintf("%s → %s  %s", e.From, e.To, e.Port)
	if e.Request != "" {
		head += "  " + e.Request
	}
	fmt.Fprintf(&b, "%s  %s\n\n", st.verdict(e.Verdict, strings.ToUpper(e.Verdict)), st.Bold(clean(head)))
	col := 12
	for i := range e.Sides {
		for _, s := range e.Sides[i].Steps {
			col = max(col, width(s.Step)+2)
		}
	}
	for i := range e.Sides {
		e.Sides[i].text(&b, st, col)
	}
	for _, n := range e.Notes {
		fmt.Fprintf(&b, "%s\n", st.Yellow(clean(n)))
	}
	if e.Audit != nil {
		fmt.Fprintf(&b, "%s\n", st.Yellow(clean(e.Audit.Text)))
	}
	decided := e.Decided
	if e.Status != 0 {
		decided += fmt.Sprintf("; the client gets %d", e.Status)
	}
	fmt.Fprintf(&b, "%s\n", clean(decided))
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing the explanation: %w", err)
	}
	return nil
}

func (s *Side) text(b *strings.Builder, st Style, col int) {
	fmt.Fprintf(b, "%s of %s\n", s.Direction, clean(s.Of))
	places := 0
	for _, x := range s.Steps {
		if x.Rule != nil {
			places = max(places, width(x.Rule.Short))
		}
	}
	for _, x := range s.Steps {
		line := "  " + pad(x.Step, col)
		says := st.verdict(x.Says, pad(x.Says, saysWidth))
		fmt.Fprintf(b, "%s\n", strings.TrimRight(line+says+clean(x.detail(places)), " "))
	}
	indent := strings.Repeat(" ", 2+col)
	for _, n := range s.Near {
		fmt.Fprintf(b, "%s%s%s %s\n", indent, st.Yellow(pad("near", saysWidth)), clean(n.Rule.Short), clean(n.Text))
	}
	for _, r := range s.Requests {
		place := ""
		if r.Rule != nil {
			place = "   " + r.Rule.Short
		}
		fmt.Fprintf(b, "%s%s%s%s\n", indent, st.verdict(r.Verdict, pad(r.Verdict, saysWidth)), clean(r.Match), clean(place))
	}
}

// detail is a step's rule, its name and what else there is to say.
func (x *Step) detail(places int) string {
	if x.Rule == nil {
		return x.Text
	}
	out := x.Rule.Short
	if x.Rule.Name != "" {
		out = pad(out, places) + "   \"" + x.Rule.Name + "\""
	}
	if x.Text != "" {
		out += "   " + x.Text
	}
	return out
}
