package weir

import (
	"cmp"
	"fmt"
	"net/netip"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/schemas/v1alpha1"
)

// The defaults of MeshConfig.
const (
	DefaultTrustDomain = "cluster.local"
	// EnrolledLabel on a namespace, with the value EnrolledValue, enrols its pods where MeshConfig says nothing (S16).
	EnrolledLabel = "weir.dev/mesh"
	EnrolledValue = "enabled"
)

func (l *lowering) config(o *NamedObject) {
	var c v1alpha1.MeshConfig
	ds := o.Decode(&c)
	l.diags = append(l.diags, ds...)
	if o.Name != "default" {
		l.errorAt(CodeRule, o.at("metadata.name"), "a mesh has one MeshConfig, and its name is default", "")
		return
	}
	spec := &c.Spec
	out := inventory.Config{Present: true, Pos: o.at("metadata.name"), TrustDomain: DefaultTrustDomain, EnforceNetworkPolicy: value(spec.EnforceNetworkPolicy)}
	if spec.TrustDomain != nil {
		out.TrustDomain = *spec.TrustDomain
	}
	if r := spec.Ranges; r != nil {
		out.PodRanges = l.ranges(o, "spec.ranges.pods", r.Pods)
		out.NodeRanges = l.ranges(o, "spec.ranges.nodes", r.Nodes)
		out.ServiceRanges = l.ranges(o, "spec.ranges.services", r.Services)
	}
	out.Enrolled = l.enrolment(o, "spec.enrolment", spec.Enrolment)
	if spec.Enrolment == nil {
		out.Enrolled = []ir.Selector{{Namespaces: ir.LabelSelector{{Key: EnrolledLabel, Op: ir.In, Values: []string{EnrolledValue}}}}}
	}
	l.waypoints(o, spec.Waypoints, &out)
	l.logging(o, spec.Defaults, &out)
	if c := spec.Capacity; c != nil {
		out.MaxDecisions, out.MaxClasses, out.MaxMapBytes = int(value(c.MaxDecisions)), int(value(c.MaxClasses)), int(value(c.MaxMapMiB))<<20
	}
	l.apiServers(o, spec.KubeAPIServer)
	for i, p := range spec.JWTProviders {
		l.providers[p.Name] = true
		l.out.Providers = append(l.out.Providers, ir.JWTProvider{Name: p.Name, Issuer: p.Issuer, Audiences: p.Audiences, JWKS: p.JWKS,
			Pos: o.at(fmt.Sprintf("spec.jwtProviders[%d]", i))})
	}
	l.out.Config = out
}

func (l *lowering) ranges(o *NamedObject, path string, rs []string) []netip.Prefix {
	l.notEmpty(o, path, rs == nil, len(rs))
	var out []netip.Prefix
	for i, s := range rs {
		if p, ok := l.prefix(o, fmt.Sprintf("%s[%d]", path, i), s); ok {
			out = append(out, p)
		}
	}
	return out
}

func (l *lowering) enrolment(o *NamedObject, path string, es []v1alpha1.Enrolment) []ir.Selector {
	l.notEmpty(o, path, es == nil, len(es))
	var out []ir.Selector
	for i := range es {
		at := fmt.Sprintf("%s[%d]", path, i)
		s := ir.Selector{Namespaces: l.labelSelector(o, at+".namespaces", &es[i].Namespaces)}
		if es[i].Pods != nil {
			s.Pods = l.labelSelector(o, at+".pods", es[i].Pods)
		}
		out = append(out, s)
	}
	return out
}

func (l *lowering) waypoints(o *NamedObject, w *v1alpha1.Waypoints, out *inventory.Config) {
	if w == nil {
		return
	}
	switch cmp.Or(value(w.Scope), v1alpha1.WaypointScopeNamespace) {
	case v1alpha1.WaypointScopeNamespace:
		out.Waypoint = inventory.WaypointPerNamespace
	case v1alpha1.WaypointScopeServiceAccount:
		out.Waypoint = inventory.WaypointPerServiceAccount
	case v1alpha1.WaypointScopeNone:
		out.Waypoint = inventory.WaypointNone
	default:
		l.errorAt(CodeRule, o.at("spec.waypoints.scope"), "scope is namespace, serviceAccount or none", "")
		out.Waypoint = inventory.WaypointNone
	}
	out.Waypoints = l.enrolment(o, "spec.waypoints.selectors", w.Selectors)
}

// logging follows the default: denied connections of enrolled endpoints.
func (l *lowering) logging(o *NamedObject, d *v1alpha1.Defaults, out *inventory.Config) {
	log := v1alpha1.LogDefaultDenied
	if d != nil && d.Log != nil {
		log = *d.Log
	}
	switch log {
	case v1alpha1.LogDefaultDenied:
		out.LogDenied = true
	case v1alpha1.LogDefaultAll:
		out.LogDenied, out.LogAllowed = true, true
	case v1alpha1.LogDefaultNone:
	default:
		l.errorAt(CodeRule, o.at("spec.defaults.log"), "log is denied, all or none", "")
	}
}

func (l *lowering) apiServers(o *NamedObject, k *v1alpha1.KubeAPIServer) {
	if k == nil {
		return
	}
	l.notEmpty(o, "spec.kubeAPIServer.addresses", false, len(k.Addresses))
	for i, s := range k.Addresses {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			l.errorAt(CodeValue, o.at(fmt.Sprintf("spec.kubeAPIServer.addresses[%d]", i)), fmt.Sprintf("%q is no address", s), "write it as 192.0.2.10 or 2001:db8::10")
			continue
		}
		l.out.APIServers = append(l.out.APIServers, a.Unmap())
	}
}

func (l *lowering) exception(o *NamedObject) {
	var x v1alpha1.MeshException
	if ds := o.Decode(&x); ds.HasErrors() {
		l.diags = append(l.diags, ds...)
		return
	}
	spec := &x.Spec
	e := Exception{Name: o.Name, Owner: spec.Owner, Approver: spec.Approver, Reason: spec.Reason, Risk: spec.Risk, Platform: value(spec.Platform),
		Covers: spec.Covers, Pos: o.at("metadata.name"), Expires: l.end(o, "spec.expires", spec.Expires)}
	switch {
	case e.Platform && spec.Expires != nil:
		l.errorAt(CodeRule, o.at("spec.expires"), "a platform exception has no end", "leave expires out")
	case !e.Platform && spec.Expires == nil:
		l.errorAt(CodeRule, o.at("spec"), "an exception needs an end: expires", "")
		return
	}
	if spec.Owner == spec.Approver {
		l.errorAt(CodeRule, o.at("spec.approver"), "owner and approver must differ", "")
		return
	}
	for i, c := range spec.Covers {
		if c.Kind == nil && c.Namespace == nil && c.Policy == nil {
			l.errorAt(CodeRule, o.at(fmt.Sprintf("spec.covers[%d]", i)), "an entry of covers needs kind, namespace or policy", "")
			return
		}
	}
	l.notEmpty(o, "spec.covers", false, len(spec.Covers))
	l.exceptions[o.Name] = len(l.out.Exceptions)
	l.out.Exceptions = append(l.out.Exceptions, e)
}
