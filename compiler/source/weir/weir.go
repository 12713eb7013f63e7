// Package weir lowers the kinds of policy.weir.dev/v1alpha1 to the internal model, wherever they were written.
// Section numbers (S1 to S34) refer to docs/semantics.md.
package weir

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/schemas/v1alpha1"
)

// Group is the API group of the kinds.
const Group = "policy.weir.dev"

// The findings of this package. Those up to CodeRule are the schema's, whichever form an object was written in.
const (
	CodeField     diag.Code = "WEIR1004"
	CodeMissing   diag.Code = "WEIR1005"
	CodeType      diag.Code = "WEIR1006"
	CodeValue     diag.Code = "WEIR1007"
	CodeRule      diag.Code = "WEIR1008"
	CodeTwice     diag.Code = "WEIR1033"
	CodeKind      diag.Code = "WEIR1039"
	CodeException diag.Code = "WEIR2035"
	CodeNoProof   diag.Code = "WEIR2031"
	CodeDNS       diag.Code = "WEIR2032"
	CodeExpired   diag.Code = "WEIR2033"
	CodeProvider  diag.Code = "WEIR2034"
	CodeUnlearnt  diag.Code = "WEIR2036"
	CodeIdleEnd   diag.Code = "WEIR2037"
	CodeUnused    diag.Code = "WEIR2039"
	CodeInside    diag.Code = "WEIR2041"
)

// Object is an object of one of the kinds, from CUE or from a manifest.
type Object interface {
	// Decode fills a pointer to the kind's Go type with what the schema accepts; what it refuses is an error. So
	// nothing here repeats the schema's rules.
	Decode(into any) diag.List
	// Pos is the place of the field at a path such as spec.ingress[0], KeyPos that of its name.
	Pos(path string) diag.Position
	KeyPos(path string) diag.Position
}

// Input is what Lower reads.
type Input struct {
	// Objects are keyed by kind, namespace and name as they were written.
	Objects []NamedObject
	// Namespace is where objects that name none live.
	Namespace string
	// Now judges what has expired (S28).
	Now time.Time
}

// NamedObject is an object and what it is called.
type NamedObject struct {
	Kind, Namespace, Name string
	Object
}

// Output is what the objects say.
type Output struct {
	Policies   []ir.Policy
	Config     inventory.Config
	Exceptions []Exception
	// APIServers are the addresses that MeshConfig gives the entity kube-apiserver.
	APIServers []netip.Addr
	// Providers are the issuers of tokens that MeshConfig knows.
	Providers []ir.JWTProvider
	// Routes are the MeshRoutes, not lowered.
	Routes []Route
}

// Route is a MeshRoute and the places of its fields.
type Route struct {
	v1alpha1.MeshRoute
	Object NamedObject
}

// Exception is an entry of the register (S18).
type Exception struct {
	Name, Owner, Approver, Reason, Risk string
	// Expires is zero for a platform exception.
	Expires  time.Time
	Platform bool
	Covers   []v1alpha1.Coverage
	Pos      diag.Position
	// CoversPos are the places of Covers.
	CoversPos []diag.Position
	// UsedBy are the rules that lean on it, as "Kind namespace/name spec.ingress[0]"; an exception that nothing
	// leans on is listed in reports.
	UsedBy []string
}

// Lower makes policies, configuration and exceptions of the objects. Where the findings hold an error the policies
// are safe (what is in error allows nothing) but not complete.
func Lower(in Input) (Output, diag.List) {
	l := lowering{in: in, exceptions: map[string]int{}, providers: map[string]bool{}}
	objects := slices.Clone(in.Objects)
	for i := range objects {
		if namespaced(objects[i].Kind) {
			objects[i].Namespace = cmp.Or(objects[i].Namespace, in.Namespace)
		}
	}
	objects = l.unique(objects)
	// What policies refer to comes first.
	for i := range objects {
		switch objects[i].Kind {
		case "MeshConfig":
			l.config(&objects[i])
		case "MeshException":
			l.exception(&objects[i])
		}
	}
	for i := range objects {
		switch o := &objects[i]; o.Kind {
		case "MeshConfig", "MeshException":
		case "MeshPolicy":
			l.meshPolicy(o)
		case "ClusterMeshPolicy":
			l.clusterPolicy(o)
		case "MeshRoute":
			r := Route{Object: *o}
			ds := o.Decode(&r.MeshRoute)
			if l.diags = append(l.diags, ds...); !ds.HasErrors() {
				l.out.Routes = append(l.out.Routes, r)
			}
		default:
			l.diags.Add(diag.Diagnostic{Code: CodeKind, Severity: diag.Error, Pos: o.KeyPos("kind"), Message: fmt.Sprintf("%s has no kind %s", Group, o.Kind),
				Hint: "the kinds are ClusterMeshPolicy, MeshPolicy, MeshRoute, MeshConfig and MeshException"})
		}
	}
	if !l.diags.HasErrors() { // what is in error may have been what leans on an exception
		l.unusedExceptions()
	}
	return l.out, l.diags
}

func namespaced(kind string) bool { return kind == "MeshPolicy" || kind == "MeshRoute" }

// lowering holds one run's state.
type lowering struct {
	in         Input
	out        Output
	diags      diag.List
	exceptions map[string]int // place in out.Exceptions
	providers  map[string]bool
}

func (l *lowering) errorAt(code diag.Code, pos diag.Position, message, hint string) {
	l.diags.Add(diag.Diagnostic{Code: code, Severity: diag.Error, Pos: pos, Message: message, Hint: hint})
}

func (l *lowering) warnAt(code diag.Code, pos diag.Position, message, hint string) {
	l.diags.Add(diag.Diagnostic{Code: code, Severity: diag.Warning, Pos: pos, Message: message, Hint: hint})
}

// unique drops objects that were given before, in whichever form.
func (l *lowering) unique(objects []NamedObject) []NamedObject {
	type key struct{ kind, namespace, name string }
	first := map[key]*NamedObject{}
	var out []NamedObject
	for i := range objects {
		o := &objects[i]
		k := key{o.Kind, o.Namespace, o.Name}
		if f := first[k]; f != nil {
			l.diags.Add(diag.Diagnostic{Code: CodeTwice, Severity: diag.Error, Pos: o.Pos("metadata.name"), Message: o.ref() + " is given twice", Hint: "keep one of the two",
				Related: []diag.Related{{Pos: f.Pos("metadata.name"), Message: "first given here"}}})
			continue
		}
		first[k] = o
		out = append(out, *o)
	}
	return out
}

func (o *NamedObject) ref() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// at is the place of a field, with the object named in full.
func (o *NamedObject) at(path string) diag.Position {
	p := o.Pos(path)
	p.Object, p.Path = o.ref(), path
	return p
}

// end reads an optional end; what can't be read ends at once.
func (l *lowering) end(o *NamedObject, path string, s *string) time.Time {
	if s == nil {
		return time.Time{}
	}
	t, err := ir.ParseEnd(*s)
	if err != nil {
		l.errorAt(CodeValue, o.at(path), fmt.Sprintf("%q is no end", *s), "an end is a date such as 2027-01-31 or a time such as 2027-01-31T18:00:00Z (UTC)")
		return time.Unix(0, 0).UTC()
	}
	return t
}

// earliest is the first of the ends that are set.
func earliest(ends ...time.Time) time.Time {
	var out time.Time
	for _, t := range ends {
		if !t.IsZero() && (out.IsZero() || t.Before(out)) {
			out = t
		}
	}
	return out
}

func isAudit(m *v1alpha1.Mode) bool { return m != nil && *m == v1alpha1.ModeAudit }

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// accountOf reads "namespace/name", or "name" in a namespace.
func accountOf(s, namespace string) ir.NamespacedName {
	if ns, name, ok := strings.Cut(s, "/"); ok {
		return ir.NamespacedName{Namespace: ns, Name: name}
	}
	return ir.NamespacedName{Namespace: namespace, Name: s}
}
