package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-mesh/weir/compiler/analyze"
	"github.com/weir-mesh/weir/compiler/compile"
	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/internal/plain"
	"github.com/weir-mesh/weir/schemas/v1alpha1"
)

func (a *app) testCommand() *cobra.Command {
	var coverage, kernel bool
	cmd := &cobra.Command{
		Use:   "test [PATH...]",
		Short: "Run the tests of a policy package",
		Long: `Test runs the tests in tests.cue and *_tests.cue against the compiled plan. With --kernel it also runs them, and a
sample of all flows weighted to boundaries, through the real BPF program (Linux, root), and compares verdict, rule and
audit rule with the plan's.`,
		Example: "  weir test --coverage policies/ manifests/\n  weir test -o github policies/ manifests/",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.test(cmd.Context(), args, coverage, kernel)
		},
	}
	cmd.Flags().BoolVar(&coverage, "coverage", false, "list the rules that decide no test")
	cmd.Flags().BoolVar(&kernel, "kernel", false, "run through the BPF program, too")
	a.outputFlag(cmd, "text", "json", "github")
	return cmd
}

func (a *app) test(ctx context.Context, args []string, coverage, kernel bool) error {
	if kernel {
		if err := kernelReady(); err != nil {
			return exit(statusUnknown, err)
		}
	}
	o, err := a.options(args)
	if err != nil {
		return err
	}
	o.EnforceNetworkPolicy = kernel
	r, err := a.loadWith(ctx, o)
	if err != nil {
		return err
	}
	n, err := a.names(r)
	if err != nil {
		return err
	}
	tests := make([]analyze.Test, len(r.Tests))
	for i := range r.Tests {
		tests[i] = testOf(&r.Tests[i])
	}
	report := &testReport{TestReport: *analyze.NewExplainer(n).RunTests(tests, coverage)}
	if kernel {
		if report.Kernel, err = testKernel(ctx, r, o.Now, tests); err != nil {
			return exit(statusUnknown, fmt.Errorf("running the kernel's program: %w", err))
		}
	}
	if err := a.writeTests(r, report, tests); err != nil {
		return err
	}
	if report.Failed > 0 || report.Kernel != nil && report.Kernel.Mismatches > 0 {
		return exit(statusWrong, nil)
	}
	if len(tests) == 0 {
		return exit(statusWrong, fmt.Errorf("no tests in %s: they live in tests.cue and *_tests.cue", strings.Join(o.Paths, ", ")))
	}
	return nil
}

// testReport is what became of the tests, in the plan and in the kernel.
type testReport struct {
	analyze.TestReport
	Kernel *kernelReport `json:"kernel,omitempty"`
}

// kernelReport compares the BPF program with the plan.
type kernelReport struct {
	// Tests is how many packets of the tests' flows were run, Sampled how many of the whole flow space.
	Tests   int `json:"tests"`
	Sampled int `json:"sampled"`
	// Mismatches counts packets on which program and plan differ; Text tells the first of them.
	Mismatches int      `json:"mismatches"`
	Text       []string `json:"text,omitempty"`
	// LeftOut counts packets of the tests and of the flow space that were not run, by reason.
	LeftOut map[string]int `json:"leftOut,omitempty"`
}

// leaveOut counts a packet that is not run.
func (k *kernelReport) leaveOut(reason string) {
	if k.LeftOut == nil {
		k.LeftOut = map[string]int{}
	}
	k.LeftOut[reason]++
}

// text prints the comparison for people.
func (k *kernelReport) text(w io.Writer, st analyze.Style) error {
	var b strings.Builder
	for _, t := range k.Text {
		fmt.Fprintf(&b, "%s  %s\n", st.Red("FAIL"), plain.Line(t))
	}
	if more := k.Mismatches - len(k.Text); more > 0 {
		fmt.Fprintf(&b, "      and %d more\n", more)
	}
	fmt.Fprintf(&b, "kernel: %s of the tests and %d sampled through the BPF program, %s\n", count(k.Tests, "packet", "packets"), k.Sampled,
		count(k.Mismatches, "mismatch", "mismatches"))
	for _, reason := range slices.Sorted(maps.Keys(k.LeftOut)) {
		fmt.Fprintf(&b, "  left out: %s %s\n", count(k.LeftOut[reason], "packet", "packets"), reason)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// CodeTestFailed: a test of the package failed.
const CodeTestFailed diag.Code = "WEIR2045"

// failures are the tests that failed, and what the kernel decides otherwise, as findings.
func (t *testReport) failures(tests []analyze.Test) diag.List {
	var l diag.List
	for i := range t.Tests {
		if f := &t.Tests[i]; !f.OK {
			l.Add(diag.Diagnostic{Code: CodeTestFailed, Severity: diag.Error, Pos: tests[i].Pos,
				Message: f.Name + ": " + f.Text[0], Hint: strings.Join(f.Text[1:], "\n")})
		}
	}
	if t.Kernel != nil {
		for _, text := range t.Kernel.Text {
			l.Add(diag.Diagnostic{Code: CodeTestFailed, Severity: diag.Error, Message: "the kernel's program differs from the plan: " + text})
		}
	}
	return l
}

func (a *app) writeTests(r *compile.Result, report *testReport, tests []analyze.Test) error {
	failures := report.failures(tests)
	if err := a.annotate(r, failures); err != nil {
		return err
	}
	switch a.flags.output {
	case "json":
		return writeJSON(a.out, report)
	case "github":
		return diag.GitHub(a.out, failures, r.Sources)
	}
	st, err := a.style(a.out)
	if err != nil {
		return err
	}
	if err := report.Text(a.out, st); err != nil || report.Kernel == nil {
		return err
	}
	return report.Kernel.text(a.out, st)
}

// testOf brings a test of the language into the form that analyze runs. The schema has judged its fields.
func testOf(t *compile.Test) analyze.Test {
	out := analyze.Test{Name: t.Name, Pos: t.Pos, From: t.From, To: t.To, Port: portOfTest(&t.Test), Request: requestOfTest(t.HTTP)}
	switch t.Expect {
	case v1alpha1.VerdictAllow:
		out.Expect = plan.Allow
	case v1alpha1.VerdictRedirect:
		out.Expect = plan.Redirect
	default:
		out.Expect = plan.Deny
	}
	if t.Authentication != nil {
		out.Authentication = string(*t.Authentication)
	}
	if t.Exception != nil {
		out.Exception = *t.Exception
	}
	return out
}

func portOfTest(t *v1alpha1.Test) analyze.Port {
	var p analyze.Port
	if t.Protocol != nil {
		for s := range ir.NumSpaces {
			if s.String() == string(*t.Protocol) {
				p.Space = s
			}
		}
	}
	switch {
	case t.ProtocolNumber != nil:
		p.Space, p.Number = ir.OtherProtocol, uint16(*t.ProtocolNumber)
	case t.ICMP != nil:
		p.Number = uint16(t.ICMP.Type) << 8
		if t.ICMP.Code != nil {
			p.Number |= uint16(*t.ICMP.Code)
		}
	case t.Port != nil:
		p.Number = uint16(*t.Port)
	case t.Name != nil:
		p.Name = *t.Name
	}
	return p
}

func requestOfTest(r *v1alpha1.Request) *plan.Request {
	if r == nil {
		return nil
	}
	q := analyze.Request{Headers: analyze.Headers{}}
	for name, value := range r.Headers {
		q.Headers[name] = []string{value}
	}
	for to, from := range map[*string]*string{&q.Method: r.Method, &q.Path: r.Path, &q.Host: r.Host} {
		if from != nil {
			*to = *from
		}
	}
	for provider, claims := range r.Claims {
		if q.Claims == nil {
			q.Claims = map[string]map[string]any{}
		}
		q.Claims[provider] = map[string]any{}
		for k, v := range claims {
			setClaim(q.Claims[provider], k, v)
		}
	}
	return q.Plan()
}

// setClaim puts a claim where its name says: a dot steps into an object.
func setClaim(at map[string]any, name, value string) {
	steps := strings.Split(name, ".")
	for _, s := range steps[:len(steps)-1] {
		next, ok := at[s].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[s] = next
		}
		at = next
	}
	at[steps[len(steps)-1]] = value
}
