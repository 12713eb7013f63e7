// Package compile is the whole way from files to the plan: it reads every source, lowers it, and resolves policies
// against the inventory. Commands start here. Section numbers (S1 to S34) refer to docs/semantics.md.
package compile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
	"github.com/weir-mesh/weir/compiler/source/cuesrc"
	"github.com/weir-mesh/weir/compiler/source/manifest"
	"github.com/weir-mesh/weir/compiler/source/networkpolicy"
	"github.com/weir-mesh/weir/compiler/source/weir"
	"github.com/weir-mesh/weir/schemas/v1alpha1"
)

// Options says what to compile.
type Options struct {
	// Paths are files and folders, "." when empty. Folders are read with all that lies below them: .cue files are
	// policies, tests and exceptions, .yaml, .yml and .json files Kubernetes objects of every kind. The path "-" is
	// Stdin, where that is set: CUE, YAML or JSON, told by what it holds.
	Paths []string
	Stdin io.Reader
	// Namespace is where objects that name none live; "default" when empty.
	Namespace string
	// Now judges expiry (S28).
	Now time.Time
	// Lenient goes on where an object is not understood (S33).
	Lenient bool
	// EnforceNetworkPolicy attaches the datapath to pods that only NetworkPolicies select whatever MeshConfig says
	// (S17): the lab and test --kernel do.
	EnforceNetworkPolicy bool
	// CUE bounds the evaluation of CUE; its Paths are not used. Manifest bounds YAML and JSON.
	CUE      cuesrc.Options
	Manifest manifest.Limits
	// Workers bounds how many goroutines resolve; 0 is one a core.
	Workers int
}

// Result is what came of the sources. With an error among the diagnostics it is not complete and must not be
// enforced; Plan is nil where the sources themselves are in error, for nothing is concluded from what was not
// understood (S33).
type Result struct {
	Plan      *plan.Plan
	Policies  []ir.Policy
	Inventory *inventory.Inventory
	Config    inventory.Config
	// Routes are the MeshRoutes as written; Grants the ReferenceGrants that let them name other namespaces' services.
	Routes     []weir.Route
	Grants     []ir.ReferenceGrant
	Providers  []ir.JWTProvider
	Exceptions []weir.Exception
	Tests      []Test
	// Counted are the objects that cannot change reachability, by kind (S33).
	Counted     inventory.Counts
	Diagnostics diag.List

	stdin *manifest.File // nil where it was not read
}

// Test is a test of the package.
type Test struct {
	v1alpha1.Test
	// Name is the sentence that says what must hold.
	Name string
	Pos  diag.Position
	// At is the place of a field such as expect or http.path.
	At func(path string) diag.Position
}

// Sources reads the files that positions name, for excerpts.
func (r *Result) Sources(file string) ([]byte, error) {
	if r.stdin != nil && file == r.stdin.Name {
		return r.stdin.Data, nil
	}
	return os.ReadFile(file)
}

// Unjudged reports whether an error says that the input could not be judged (a limit, a file that cannot be read)
// rather than that it is wrong: the exit status is then 2.
func (r *Result) Unjudged() bool {
	return slices.ContainsFunc(r.Diagnostics, func(d diag.Diagnostic) bool {
		return d.Severity == diag.Error && len(d.Code) > 4 && d.Code[4] == '7'
	})
}

// Compile reads, lowers and resolves. All sources combine as in a real cluster (S34). The error is for what keeps
// Weir from working at all; what is wrong with the input is in the diagnostics.
func Compile(ctx context.Context, o Options) (*Result, error) {
	if len(o.Paths) == 0 {
		o.Paths = []string{"."}
	}
	if o.Namespace == "" {
		o.Namespace = "default"
	}
	r := &Result{}
	if err := r.takeStdin(ctx, &o); err != nil {
		return nil, err
	}
	bundle, err := r.loadCUE(ctx, o)
	if err != nil {
		return nil, err
	}
	objects, diags := manifest.Read(ctx, manifestPaths(o.Paths), o.Manifest, r.stdinAs(false)...)
	if o.Lenient {
		// Other programs' YAML and JSON between the manifests is listed, like a kind that is not understood.
		for i := range diags {
			if diags[i].Code == manifest.CodeNotObject {
				diags[i].Severity = diag.Warning
			}
		}
	}
	r.Diagnostics = append(r.Diagnostics, diags...)
	r.lower(o, bundle, objects)
	if r.Diagnostics.HasErrors() {
		// What leans on an exception may be in what could not be read: nothing is concluded from its absence (S33).
		r.Diagnostics = slices.DeleteFunc(r.Diagnostics, func(d diag.Diagnostic) bool { return d.Code == weir.CodeUnused })
	} else {
		p, found := resolve.Compile(resolve.Input{Policies: r.Policies, Inventory: r.Inventory, Config: r.Config, Now: o.Now, Workers: o.Workers})
		r.Plan = p
		r.Diagnostics = append(r.Diagnostics, found...)
	}
	r.Diagnostics.Sort()
	return r, nil
}

// loadCUE evaluates CUE where there is any: the child process costs more than most manifests.
func (r *Result) loadCUE(ctx context.Context, o Options) (*cuesrc.Bundle, error) {
	opts := o.CUE
	opts.Paths, opts.Files = cuePaths(o.Paths), r.stdinAs(true)
	if len(opts.Paths)+len(opts.Files) == 0 {
		return &cuesrc.Bundle{}, nil
	}
	b, err := cuesrc.Load(ctx, opts)
	var limit *cuesrc.LimitError
	switch {
	case errors.As(err, &limit):
		r.Diagnostics.Add(limit.Diagnostic)
		return &cuesrc.Bundle{}, nil
	case err != nil:
		return nil, fmt.Errorf("evaluating CUE: %w", err)
	}
	r.Diagnostics = append(r.Diagnostics, b.Diagnostics...)
	return b, nil
}

// lower sorts objects by front end.
func (r *Result) lower(o Options, bundle *cuesrc.Bundle, objects []*manifest.Object) {
	in := weir.Input{Namespace: o.Namespace, Now: o.Now}
	for i := range bundle.Objects {
		c := &bundle.Objects[i]
		in.Objects = append(in.Objects, weir.NamedObject{Kind: c.Kind, Namespace: c.Namespace, Name: c.Name, Object: cueObject{c}})
	}
	var rest []*manifest.Object
	for _, m := range objects {
		switch {
		case m.Group() == weir.Group:
			in.Objects = append(in.Objects, weir.FromManifest(m))
		case networkpolicy.Is(m):
			p, found := networkpolicy.Lower(m, o.Namespace)
			r.Policies = append(r.Policies, p)
			r.Diagnostics = append(r.Diagnostics, found...)
		case isReferenceGrant(m):
			r.grants(m, o.Namespace)
		default:
			rest = append(rest, m)
		}
	}
	out, found := weir.Lower(in)
	r.Diagnostics = append(r.Diagnostics, found...)
	r.Policies = append(r.Policies, out.Policies...)
	r.Config, r.Exceptions, r.Providers, r.Routes = out.Config, out.Exceptions, out.Providers, out.Routes
	r.Config.EnforceNetworkPolicy = r.Config.EnforceNetworkPolicy || o.EnforceNetworkPolicy
	r.Inventory, r.Counted, found = inventory.Read(rest, inventory.Options{Namespace: o.Namespace, Lenient: o.Lenient})
	r.Diagnostics = append(r.Diagnostics, found...)
	for _, a := range out.APIServers {
		if !slices.Contains(r.Inventory.APIServers, a) {
			r.Inventory.APIServers = append(r.Inventory.APIServers, a)
		}
	}
	r.tests(bundle)
}
