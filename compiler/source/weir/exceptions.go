package weir

import (
	"fmt"
	"slices"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/schemas/v1alpha1"
)

func (l *lowering) exception(o *NamedObject) {
	var x v1alpha1.MeshException
	if ds := o.Decode(&x); ds.HasErrors() {
		l.diags = append(l.diags, ds...)
		return
	}
	spec := &x.Spec
	e := Exception{Name: o.Name, Owner: spec.Owner, Approver: spec.Approver, Reason: spec.Reason, Risk: spec.Risk,
		Platform: value(spec.Platform), Covers: spec.Covers, Pos: o.at("metadata.name"), Expires: l.end(o, "spec.expires", spec.Expires)}
	for i := range spec.Covers {
		e.CoversPos = append(e.CoversPos, o.at(fmt.Sprintf("spec.covers[%d]", i)))
	}
	l.exceptions[o.Name] = len(l.out.Exceptions)
	l.out.Exceptions = append(l.out.Exceptions, e)
}

// underException permits plaintext if the register has the exception and it covers the rule. An exception that has
// ended closes the rule by its end.
func (l *lowering) underException(s *policyState, path, name string, r *ir.Rule) {
	pos := s.object.at(path + ".exception")
	i, ok := l.exceptions[name]
	if !ok {
		l.errorAt(CodeException, pos, fmt.Sprintf("the register has no exception %q", name), "write a MeshException of that name, or correct the name")
		return
	}
	e := &l.out.Exceptions[i]
	if !covers(e.Covers, s.policy, r.Name) {
		l.diags.Add(diag.Diagnostic{Code: CodeException, Severity: diag.Error, Pos: pos, Message: fmt.Sprintf("the exception %q does not cover this rule", name),
			Hint: "add the policy to its covers, or use an exception that was approved for it", Related: []diag.Related{{Pos: e.Pos, Message: "the exception"}}})
		return
	}
	r.Plaintext, r.Exception, r.ExceptionEnds = true, name, e.Expires
	r.NotAfter = earliest(r.NotAfter, e.Expires)
	e.UsedBy = append(e.UsedBy, s.policy.Object()+" "+path)
}

func covers(cs []v1alpha1.Coverage, p *ir.Policy, rule string) bool {
	return slices.ContainsFunc(cs, func(c v1alpha1.Coverage) bool {
		return coversPolicy(&c, p) && (c.Rule == nil || *c.Rule == rule)
	})
}

func coversPolicy(c *v1alpha1.Coverage, p *ir.Policy) bool {
	is := func(want *string, have string) bool { return want == nil || *want == have }
	return (c.Kind == nil || string(*c.Kind) == p.Kind) && is(c.Namespace, p.Namespace) && is(c.Policy, p.Name)
}

// unusedExceptions reports what stands in the register and permits nothing: a risk that was approved and is not there, or a
// name that was misspelt.
func (l *lowering) unusedExceptions() {
	for i := range l.out.Exceptions {
		e := &l.out.Exceptions[i]
		if len(e.UsedBy) == 0 {
			l.warnAt(CodeUnused, e.Pos, fmt.Sprintf("no rule leans on the exception %q", e.Name), "remove it, or name it in the rule that it was approved for")
			continue
		}
		for j := range e.Covers {
			if why := l.coversNothing(&e.Covers[j]); why != "" {
				l.warnAt(CodeUnused, e.CoversPos[j], fmt.Sprintf("this entry of the exception %q covers nothing: %s", e.Name, why), "correct the entry, or take it out")
			}
		}
	}
}

// coversNothing says why an entry of covers is about no rule that was read; empty where it is about one.
func (l *lowering) coversNothing(c *v1alpha1.Coverage) string {
	why := "no policy that was read is the one that it names"
	for i := range l.out.Policies {
		p := &l.out.Policies[i]
		if !coversPolicy(c, p) {
			continue
		}
		if c.Rule == nil || slices.ContainsFunc(p.Rules, func(r ir.Rule) bool { return r.Name == *c.Rule }) {
			return ""
		}
		why = "the policy that it names has no rule of that name"
	}
	return why
}
