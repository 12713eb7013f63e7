package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/weir-mesh/weir/compiler/compile"
	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/project"
	"github.com/weir-mesh/weir/compiler/route"
	"github.com/weir-mesh/weir/compiler/source/manifest"
	"github.com/weir-mesh/weir/compiler/source/weirroute"
	"github.com/weir-mesh/weir/internal/plain"
)

// The files of a compiled plan.
const (
	planFile    = manifest.PlanRecord
	nodesFolder = "nodes"
	wayFolder   = "waypoints"
)

func (a *app) compileCommand() *cobra.Command {
	var out string
	var generation generation
	cmd := &cobra.Command{
		Use:   "compile --out DIR [PATH...]",
		Short: "Compile policies and workloads to a plan",
		Long: `Compile writes the plan: policy.json and decision.json (content only: the same input gives the same bytes, on any
machine), positions.json (which file and line a rule is), nodes/ (what each node's agent reads), waypoints/ (Envoy
resources), and weir-plan.json, which holds the digests. It prints the digests.

DIR is a folder of the plan's own: a new or empty one, or one that holds a plan already, whose files are replaced. It may
lie in a folder that is read, which leaves it out. A DIR that holds sources, or other files, is refused.`,
		Example: "  weir compile --out plan/ policies/ manifests/",
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return exit(statusUnknown, errors.New("compile needs --out DIR"))
			}
			return a.compileTo(cmd.Context(), args, out, uint64(generation))
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "folder to write")
	cmd.Flags().Var(&generation, "generation", "generation of the nodes' parts (default one more than the folder's, where the plan changed)")
	a.outputFlag(cmd, "text", "json")
	return cmd
}

// planRecord is weir-plan.json.
type planRecord struct {
	Compiler   string    `json:"compiler"`
	Now        time.Time `json:"now"`
	Generation uint64    `json:"generation"`
	Policy     string    `json:"policyDigest"`
	Decision   string    `json:"decisionDigest"`
	Nodes      string    `json:"nodeDigest"`
}

func (a *app) compileTo(ctx context.Context, args []string, out string, generation uint64) error {
	if err := checkOut(out, a.paths(args)); err != nil {
		return notWritten(exit(statusUnknown, err))
	}
	r, err := a.load(ctx, args)
	if err != nil {
		return notWritten(err)
	}
	ways, found, err := waypoints(r)
	if err == nil {
		err = a.refuse(r, append(found, capacity(r)...))
	}
	if err != nil {
		return notWritten(err)
	}
	p := r.Plan
	rec := planRecord{Compiler: buildVersion(), Now: p.Now, Generation: generation, Policy: p.PolicyDigest, Decision: p.DecisionDigest, Nodes: p.NodeDigest}
	if rec.Generation == 0 {
		if rec.Generation, err = nextGeneration(out, &rec); err != nil {
			return notWritten(err)
		}
	}
	files, err := planFiles(r, ways, &rec)
	if err != nil {
		return notWritten(err)
	}
	if err := writeFolder(out, files); err != nil {
		return notWritten(err)
	}
	if a.flags.output == "json" {
		return writeJSON(a.out, rec)
	}
	_, err = fmt.Fprintf(a.out, "policy    %s\ndecision  %s\nnodes     %s\n%s, %s, generation %d · written to %s\n", rec.Policy, rec.Decision, rec.Nodes,
		count(len(project.NodeNames(p)), "node", "nodes"), count(len(p.Waypoints), "waypoint", "waypoints"), rec.Generation, plain.Line(out))
	return err
}

func notWritten(err error) error {
	var e *exitError
	if errors.As(err, &e) {
		text := "the plan was not written"
		if e.err != nil {
			text = e.err.Error() + "; " + text
		}
		return exit(e.status, errors.New(text))
	}
	return exit(statusUnknown, fmt.Errorf("could not compile: %w; the plan was not written", err))
}

// nextGeneration is the folder's generation where the plan is the same, else the next: agents refuse an older one.
func nextGeneration(out string, rec *planRecord) (uint64, error) {
	b, err := os.ReadFile(filepath.Join(out, planFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 1, nil
	}
	if err != nil {
		return 0, err
	}
	var old planRecord
	if err := json.Unmarshal(b, &old); err != nil {
		return 0, fmt.Errorf("reading %s: %w", filepath.Join(out, planFile), err)
	}
	if old.Policy == rec.Policy && old.Decision == rec.Decision && old.Nodes == rec.Nodes {
		return max(old.Generation, 1), nil
	}
	if old.Generation >= maxGeneration {
		return 0, fmt.Errorf("%s holds generation %d, after which there is none: write into a new folder, and run weir-agent uninstall on the nodes before they get it",
			filepath.Join(out, planFile), old.Generation)
	}
	return old.Generation + 1, nil
}

// planFiles makes every file of a plan, by its path in the folder.
func planFiles(r *compile.Result, ways []route.Waypoint, rec *planRecord) (map[string][]byte, error) {
	files := map[string][]byte{}
	for name, write := range map[string]func(*plan.Plan) ([]byte, error){
		"policy.json": project.Policies, "decision.json": project.Decisions, "positions.json": project.Positions} {
		b, err := write(r.Plan)
		if err != nil {
			return nil, err
		}
		files[name] = b
	}
	for _, node := range project.NodeNames(r.Plan) {
		pr, err := project.Node(r.Plan, node, rec.Generation)
		if err != nil {
			return nil, err
		}
		if files[filepath.Join(nodesFolder, node+".json")], err = encodeJSON(pr); err != nil {
			return nil, err
		}
	}
	for i := range ways {
		b, err := waypointJSON(&ways[i])
		if err != nil {
			return nil, err
		}
		files[filepath.Join(wayFolder, strings.ReplaceAll(ways[i].Name, "/", ".")+".json")] = b
	}
	b, err := encodeJSON(rec)
	files[planFile] = b
	return files, err
}

func encodeJSON(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return nil, fmt.Errorf("writing JSON: %w", err)
	}
	return append(b, '\n'), nil
}

// waypoints makes the tables of the plan's waypoints.
func waypoints(r *compile.Result) ([]route.Waypoint, diag.List, error) {
	routes, diags := weirroute.Lower(r.Routes)
	ways, found, err := route.Build(r.Plan, route.Input{Routes: routes, Grants: r.Grants, Providers: r.Providers, Config: r.Config})
	return ways, append(diags, found...), err
}

// waypointJSON is a waypoint's configuration as Envoy reads it from a file. protojson varies its spaces on purpose; so
// they are laid again.
func waypointJSON(w *route.Waypoint) ([]byte, error) {
	b, err := protojson.Marshal(w.Bootstrap())
	if err != nil {
		return nil, fmt.Errorf("writing waypoint %s: %w", w.Name, err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", " "); err != nil {
		return nil, fmt.Errorf("writing waypoint %s: %w", w.Name, err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}
