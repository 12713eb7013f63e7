package analyze

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// Test is a flow and what must become of it.
type Test struct {
	Name     string
	Pos      diag.Position
	From, To string
	Port     Port
	Request  *plan.Request
	Expect   plan.Verdict
	// Authentication is "required", "none", or "" where the test does not ask.
	Authentication string
	// Exception must be behind the flow where it is not empty.
	Exception string
}

// TestResult is what became of a test.
type TestResult struct {
	Name  string `json:"name"`
	Place string `json:"place"`
	OK    bool   `json:"ok"`
	// Text says, for a failed test, what was expected, what came, and the rule behind it.
	Text []string `json:"text,omitempty"`
	// Audit is what would become of the flow with what is in audit enforced, where that differs (S30).
	Audit *Audit `json:"audit,omitempty"`
}

// TestReport is a run of a package's tests.
type TestReport struct {
	Tests  []TestResult `json:"tests"`
	Passed int          `json:"passed"`
	Failed int          `json:"failed"`
	// Coverage is nil where it was not asked for.
	Coverage *Coverage `json:"coverage,omitempty"`
}

// Coverage says which rules decide some test.
type Coverage struct {
	Rules   int `json:"rules"`
	Covered int `json:"covered"`
	// NotCovered are the rules that decide no test.
	NotCovered []RuleRef `json:"notCovered"`
}

// tester runs tests of one plan.
type tester struct {
	*Explainer
	decided []bool
}

// RunTests runs tests against the plan.
func (x *Explainer) RunTests(tests []Test, coverage bool) *TestReport {
	t := &tester{x, make([]bool, len(x.plan.Rules))}
	out := &TestReport{}
	for i := range tests {
		r := t.run(&tests[i])
		out.Tests = append(out.Tests, r)
		if r.OK {
			out.Passed++
		} else {
			out.Failed++
		}
	}
	if coverage {
		out.Coverage = t.coverage()
	}
	return out
}

// question resolves a test's names.
func (n *Names) question(t *Test) (Question, error) {
	q := Question{Port: t.Port, Request: t.Request}
	var err error
	if q.From, err = n.Resolve(t.From); err != nil {
		return q, fmt.Errorf("from: %w", err)
	}
	if q.To, err = n.Resolve(t.To); err != nil {
		return q, fmt.Errorf("to: %w", err)
	}
	return q, nil
}

// TestFlows returns the connections that a test is about.
func (n *Names) TestFlows(t *Test) ([]plan.Flow, error) {
	q, err := n.question(t)
	if err != nil {
		return nil, err
	}
	return n.pairs(q)
}

func (t *tester) run(test *Test) TestResult {
	out := TestResult{Name: test.Name, Place: test.Pos.String()}
	if test.Pos.IsValid() {
		out.Place = fmt.Sprintf("%s:%d", test.Pos.File, test.Pos.Line)
	}
	q, err := t.names.question(test)
	var r Reply
	if err == nil {
		q = q.withHost()
		r, err = t.names.Ask(q)
	}
	if err != nil {
		out.Text = []string{err.Error()}
		return out
	}
	for _, f := range r.flows {
		t.decides(f, q.Request)
	}
	out.Audit = t.names.audit(t.places, &r, q.Request)
	out.Text = t.judge(test, q, &r)
	out.OK = len(out.Text) == 0
	return out
}

// judge compares an answer with what the test expects; it returns the text of a failure, or nothing.
func (t *tester) judge(test *Test, q Question, r *Reply) []string {
	flow := fmt.Sprintf("%s → %s %s", q.From.Name, q.To.Name, test.Port)
	if test.Request != nil {
		flow += " " + RequestLine(test.Request)
	}
	if r.Touched != "" {
		return []string{fmt.Sprintf("%s: expected %s, got unknown", flow, test.Expect), touchedText(r.Touched)}
	}
	if r.Verdict != test.Expect {
		text := []string{fmt.Sprintf("%s: expected %s, got %s", flow, test.Expect, r.Verdict)}
		if r.Verdict == plan.Redirect {
			text = append(text, "the waypoint decides each request: give the test an http, or expect redirect")
		}
		return append(text, t.why(q, r)...)
	}
	if test.Authentication != "" && (test.Authentication == "required") != (r.Auth == plan.AuthRequired) {
		return append([]string{fmt.Sprintf("%s: expected authentication %s, got %s", flow, test.Authentication, t.authText(r))}, t.why(q, r)...)
	}
	if test.Exception != "" && !slices.ContainsFunc(r.leansOn(t.plan), func(e string) bool { return e == test.Exception }) {
		return append([]string{fmt.Sprintf("%s: expected exception %s, got %s", flow, test.Exception, orNothing(strings.Join(r.leansOn(t.plan), ", ")))},
			t.why(q, r)...)
	}
	return nil
}

// leansOn are the names of the exceptions of the rules that decided.
func (r *Reply) leansOn(p *plan.Plan) []string {
	var out []string
	for _, o := range []*plan.Outcome{&r.Egress, &r.Ingress} {
		if o.Rule == plan.None {
			continue
		}
		if e := p.Rules[o.Rule].Exception; e != "" && !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	return out
}

// why names what each side leans on: for a denial the side that denied, else both.
func (t *tester) why(q Question, r *Reply) []string {
	if text := r.sharedText(); text != "" {
		return []string{text}
	}
	var out []string
	f, _ := t.behind(r)
	for d := range ir.NumDirections {
		o := &r.Egress
		if d == ir.Ingress {
			o = &r.Ingress
		}
		if r.Verdict == plan.Deny && o.Verdict != plan.Deny {
			continue
		}
		side := t.side(d, q, r, f)
		if text := t.because(o, &side); text != "" {
			out = append(out, d.String()+": "+text)
		}
		for _, n := range side.Near {
			if r.Verdict == plan.Deny {
				out = append(out, d.String()+": "+n.Rule.Short+" "+n.Text)
			}
		}
	}
	return out
}

// because is one side's rule and what it says, or its default.
func (t *tester) because(o *plan.Outcome, s *Side) string {
	if o.Rule != plan.None && o.Reason == plan.ByRule {
		r := &t.plan.Rules[o.Rule]
		verb := map[plan.Verdict]string{plan.Allow: "allows", plan.Deny: "denies", plan.Redirect: "looks at the requests of"}[o.Verdict]
		about := peersText(r.Source.Peers)
		if r.Name != "" {
			about = fmt.Sprintf("%q", r.Name)
		}
		return fmt.Sprintf("%s %s it (%s)", t.places.rule(o.Rule).Short, verb, about)
	}
	if o.Reason == plan.ByNoEndpoint || len(s.Steps) == 0 {
		return ""
	}
	return s.Steps[len(s.Steps)-1].Text
}

// decides marks the rules that decide a flow: those of both sides where it is allowed, else of the side that denied;
// and the rules that pass it on to a later tier.
func (t *tester) decides(f plan.Flow, req *plan.Request) {
	r := t.names.reply(f, req)
	t.tiers(f, &r, req)
	for i, o := range []*plan.Outcome{&r.Egress, &r.Ingress} {
		if r.Verdict == plan.Deny && o.Verdict != plan.Deny {
			continue
		}
		d := []*plan.Decision{&r.Answer.Egress, &r.Answer.Ingress}[i]
		for _, rule := range []plan.RuleIndex{o.Rule, d.Audit.Rule} {
			if rule != plan.None {
				t.decided[rule] = true
			}
		}
		for _, l := range []plan.ListIndex{d.List, d.Audit.List} {
			if req == nil || l == plan.None {
				continue
			}
			if e, _, ok := t.names.requests.List(l, req); ok && e.Rule != plan.None {
				t.decided[e.Rule] = true
			}
		}
	}
}

func (t *tester) coverage() *Coverage {
	c := &Coverage{NotCovered: []RuleRef{}}
	for i, covered := range t.decided {
		if t.plan.Rules[i].Source.Implied {
			continue
		}
		if c.Rules++; covered {
			c.Covered++
		} else {
			c.NotCovered = append(c.NotCovered, t.places.rule(plan.RuleIndex(i)))
		}
	}
	slices.SortFunc(c.NotCovered, func(a, b RuleRef) int { return strings.Compare(a.Place, b.Place) })
	return c
}

// nameWidth is the width of the column of test names, when a place follows.
const nameWidth = 38

// Text prints a report for people.
func (r *TestReport) Text(w io.Writer, st Style) error {
	var b strings.Builder
	for i := range r.Tests {
		t := &r.Tests[i]
		if t.OK {
			fmt.Fprintf(&b, "ok    %s\n", clean(t.Name))
		} else {
			fmt.Fprintf(&b, "%s  %s %s\n", st.Red("FAIL"), pad(clean(t.Name), nameWidth), st.Bold(clean(t.Place)))
		}
		for _, line := range t.Text {
			fmt.Fprintf(&b, "      %s\n", clean(line))
		}
		if t.Audit != nil {
			fmt.Fprintf(&b, "      %s\n", st.Yellow(clean(t.Audit.Text)))
		}
	}
	if c := r.Coverage; c != nil {
		fmt.Fprintf(&b, "coverage: %d of %d rules decide some test", c.Covered, c.Rules)
		var short []string
		for _, n := range c.NotCovered {
			short = append(short, n.Short)
		}
		if len(short) > 0 {
			b.WriteString("; not covered: " + st.Yellow(clean(strings.Join(short, ", "))))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "%d passed, %d failed\n", r.Passed, r.Failed)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing the test report: %w", err)
	}
	return nil
}
