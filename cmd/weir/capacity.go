package main

import (
	"errors"
	"fmt"

	"github.com/weir-mesh/weir/compiler/compile"
	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/project"
	"github.com/weir-mesh/weir/datapath/encode"
)

// CodeCapacity: a node cannot hold its part of the plan.
const CodeCapacity diag.Code = "WEIR3002"

// capacity reports nodes that cannot hold their part, by what the kernel can number and by what MeshConfig allows.
func capacity(r *compile.Result) diag.List {
	return append(numbers(r), memory(r)...)
}

// memory reports nodes whose part takes more memory of the kernel than MeshConfig allows, by the bytes that it will get.
func memory(r *compile.Result) diag.List {
	var out diag.List
	most := uint64(r.Config.MaxMapBytes)
	if most == 0 {
		return nil
	}
	for _, node := range project.NodeNames(r.Plan) {
		pr, err := project.Node(r.Plan, node, 1)
		var full *project.CapacityError
		switch {
		case errors.As(err, &full): // numbers reports it
			continue
		case err != nil:
			out.Add(tooMuch(r, err.Error()))
			continue
		}
		bindings := make([]encode.Binding, len(pr.Endpoints))
		for i := range bindings {
			bindings[i].Slot = uint32(i)
		}
		g, err := encode.Encode(encode.Input{Projection: pr, Bindings: bindings, Now: r.Plan.Now.Unix()})
		if err != nil {
			out.Add(tooMuch(r, fmt.Sprintf("node %s cannot hold its part: %v", node, err)))
			continue
		}
		if n := encode.BlobSize(len(g.Bytes)); n > most {
			out.Add(tooMuch(r, fmt.Sprintf("node %s needs %d MiB for its tables and may have %d MiB (maxMapMiB): %d %% of it", node, n>>20, most>>20, n*100/most)))
		}
	}
	return out
}

// numbers reports nodes that need more decisions or classes than there are. It looks only where the whole plan does not
// fit anyway: a node's part is never larger.
func numbers(r *compile.Result) diag.List {
	var out diag.List
	cfg := &r.Config
	decisions, classes := limit(cfg.MaxDecisions, plan.MaxNodeDecisions), limit(cfg.MaxClasses, plan.MaxClasses)
	fits := len(r.Plan.Decisions)+len(r.Plan.Frontends)*len(r.Plan.Subjects) <= decisions && len(r.Plan.Peers) <= classes
	if fits {
		return nil
	}
	for i := range r.Plan.Subjects {
		if text := alone(&r.Plan.Subjects[i], decisions, classes); text != "" {
			out.Add(tooMuch(r, text))
			return out
		}
	}
	for _, node := range project.NodeNames(r.Plan) {
		pr, err := project.Node(r.Plan, node, 1)
		var full *project.CapacityError
		switch {
		case errors.As(err, &full):
			out.Add(tooMuch(r, fmt.Sprintf("node %s needs %d %s and can hold %d", full.Node, full.Have, full.What, full.Max)))
			continue
		case err != nil:
			out.Add(tooMuch(r, err.Error()))
			continue
		}
		if n := len(pr.Decisions); n > decisions {
			out.Add(tooMuch(r, fmt.Sprintf("node %s needs %d decisions and may hold %d", node, n, decisions)))
		}
		for i := range pr.Tables {
			if n := max(pr.Tables[i].NumRows, pr.Tables[i].NumClasses); n > classes {
				out.Add(tooMuch(r, fmt.Sprintf("node %s needs %d classes in a table and may hold %d", node, n, classes)))
				break
			}
		}
	}
	return out
}

// alone says what a node cannot hold even with one pod on it, whichever node that will be.
func alone(s *plan.Subject, decisions, classes int) string {
	for d, t := range s.Tables {
		if n := len(t.Decisions); n > decisions {
			return fmt.Sprintf("one pod's %s alone needs %d decisions and a node may hold %d", ir.Direction(d), n, decisions)
		}
		if n := max(t.NumClasses, len(t.Cells)/t.NumClasses); n > classes {
			return fmt.Sprintf("one pod's %s alone needs %d classes and a node may hold %d", ir.Direction(d), n, classes)
		}
	}
	return ""
}

func limit(configured, most int) int {
	if configured > 0 {
		return min(configured, most)
	}
	return most
}

func tooMuch(r *compile.Result, message string) diag.Diagnostic {
	return diag.Diagnostic{Code: CodeCapacity, Severity: diag.Error, Pos: r.Config.Pos, Message: message,
		Hint: "spread the pods over more nodes, use fewer different rules, or raise capacity in the MeshConfig"}
}
