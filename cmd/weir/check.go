package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-mesh/weir/compiler/analyze"
	"github.com/weir-mesh/weir/compiler/compile"
	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
)

func (a *app) checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [PATH...]",
		Short: "Validate policies: schema, meaning, capacity",
		Long: `Check reads policies, tests and Kubernetes objects, compiles them, and says what is wrong and what does not do
what it says: each finding with its place, a code, and a way out.`,
		Example: "  weir check policies/\n  weir check --strict -o sarif policies/ > weir.sarif",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.check(cmd.Context(), args) },
	}
	a.outputFlag(cmd, "text", "json", "sarif", "github")
	return cmd
}

func (a *app) check(ctx context.Context, args []string) error {
	o, err := a.options(args)
	if err != nil {
		return err
	}
	r, err := a.compile(ctx, o)
	if err != nil {
		return err
	}
	list := r.Diagnostics
	if r.Plan != nil {
		found, err := a.meaning(r)
		if err != nil {
			return err
		}
		list = append(append(list, found...), nothingRead(r)...)
		list.Sort()
	}
	if err := a.writeFindings(r, list); err != nil {
		return err
	}
	if err := a.annotate(r, list); err != nil {
		return err
	}
	if s := a.status(r, list); s != 0 {
		return exit(s, nil)
	}
	return nil
}

// meaning looks for what only the plan shows.
func (a *app) meaning(r *compile.Result) (diag.List, error) {
	n, err := a.names(r)
	if err != nil {
		return nil, err
	}
	list := analyze.Lint(n)
	_, found, err := waypoints(r)
	if err != nil {
		return nil, err
	}
	list = append(list, found...)
	return append(list, capacity(r)...), nil
}

// What a clean bill does not say.
const (
	// CodeNothingRead: neither a policy nor a workload was read.
	CodeNothingRead diag.Code = "WEIR2043"
	// CodeNoWorkloads: policies were read, and nothing that they could select.
	CodeNoWorkloads diag.Code = "WEIR2044"
)

// nothingRead says where a clean bill says nothing, as after a wrong path, or only half of what it seems to.
func nothingRead(r *compile.Result) diag.List {
	switch {
	case r.Inventory != nil && len(r.Inventory.Pods) > 0:
		return nil
	case len(r.Policies) > 0:
		return diag.List{{Code: CodeNoWorkloads, Severity: diag.Note,
			Message: "no workload was read: whom the policies' selectors pick, and what their rules decide, was not checked",
			Hint:    "name the manifests of the workloads, too"}}
	}
	return diag.List{{Code: CodeNothingRead, Severity: diag.Warning, Message: "no policy and no workload was read: there is nothing to check",
		Hint: "name the files or folders that hold them"}}
}

func (a *app) writeFindings(r *compile.Result, list diag.List) error {
	switch a.flags.output {
	case "json":
		return diag.JSON(a.out, list)
	case "sarif":
		return diag.SARIF(a.out, list, buildVersion(), r.Sources)
	case "github":
		return diag.GitHub(a.out, list, r.Sources)
	}
	st, err := a.style(a.out)
	if err != nil {
		return err
	}
	if err := diag.Text(a.out, list, diag.TextOptions{Sources: r.Sources, Color: st.Color}); err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.out, diag.Summary(wasRead(r), list))
	return err
}

// wasRead counts what was read: 14 policies, 52 rules, 31 workloads.
func wasRead(r *compile.Result) string {
	rules, workloads := 0, map[inventory.Workload]bool{}
	for i := range r.Policies {
		for j := range r.Policies[i].Rules {
			if !r.Policies[i].Rules[j].Implied {
				rules++
			}
		}
	}
	if r.Inventory != nil {
		for i := range r.Inventory.Pods {
			workloads[r.Inventory.Pods[i].Workload] = true
		}
	}
	return strings.Join([]string{count(len(r.Policies), "policy", "policies"), count(rules, "rule", "rules"), count(len(workloads), "workload", "workloads")}, ", ")
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
