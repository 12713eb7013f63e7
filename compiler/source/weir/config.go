package weir

import (
	"fmt"
	"net/netip"

	"github.com/weir-mesh/weir/compiler/diag"
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
	if ds := o.Decode(&c); ds.HasErrors() {
		l.diags = append(l.diags, ds...)
		return
	}
	spec := &c.Spec
	out := inventory.Config{Present: true, Pos: o.at("metadata.name"), TrustDomain: DefaultTrustDomain, EnforceNetworkPolicy: value(spec.EnforceNetworkPolicy)}
	if spec.TrustDomain != nil {
		out.TrustDomain = *spec.TrustDomain
	}
	if r := spec.Ranges; r != nil {
		out.PodRanges, out.PodRangesPos = l.ranges(o, "spec.ranges.pods", r.Pods)
		out.NodeRanges, out.NodeRangesPos = l.ranges(o, "spec.ranges.nodes", r.Nodes)
		out.ServiceRanges, out.ServiceRangesPos = l.ranges(o, "spec.ranges.services", r.Services)
	}
	out.Enrolled, out.EnrolledPos = enrolment(o, "spec.enrolment", spec.Enrolment)
	if spec.Enrolment == nil {
		out.Enrolled = []ir.Selector{{Namespaces: ir.LabelSelector{{Key: EnrolledLabel, Op: ir.In, Values: []string{EnrolledValue}}}}}
	}
	if w := spec.Waypoints; w != nil {
		out.Waypoint = scopes[value(w.Scope)]
		out.Waypoints, out.WaypointsPos = enrolment(o, "spec.waypoints.selectors", w.Selectors)
	}
	log := v1alpha1.LogDefaultDenied
	if spec.Defaults != nil && spec.Defaults.Log != nil {
		log = *spec.Defaults.Log
	}
	out.LogDenied, out.LogAllowed = log != v1alpha1.LogDefaultNone, log == v1alpha1.LogDefaultAll
	if c := spec.Capacity; c != nil {
		out.MaxDecisions, out.MaxClasses, out.MaxMapBytes = int(value(c.MaxDecisions)), int(value(c.MaxClasses)), int(value(c.MaxMapMiB))<<20
	}
	l.apiServers(o, spec.KubeAPIServer)
	for i, p := range spec.JWTProviders {
		l.providers[p.Name] = true
		if wrong := checkKeySet(p.JWKS); wrong != "" {
			l.errorAt(CodeValue, o.at(fmt.Sprintf("spec.jwtProviders[%d].jwks", i)), "jwks is no set of public keys: "+wrong,
				"write the issuer's JSON web key set (RFC 7517), as its jwks_uri gives it")
		}
		l.out.Providers = append(l.out.Providers, ir.JWTProvider{Name: p.Name, Issuer: p.Issuer, Audiences: p.Audiences, JWKS: p.JWKS,
			Pos: o.at(fmt.Sprintf("spec.jwtProviders[%d]", i))})
	}
	l.out.Config = out
}

var scopes = map[v1alpha1.WaypointScope]inventory.WaypointScope{
	"": inventory.WaypointPerNamespace, v1alpha1.WaypointScopeNamespace: inventory.WaypointPerNamespace,
	v1alpha1.WaypointScopeServiceAccount: inventory.WaypointPerServiceAccount, v1alpha1.WaypointScopeNone: inventory.WaypointNone,
}

func (l *lowering) ranges(o *NamedObject, path string, rs []string) (out []netip.Prefix, pos []diag.Position) {
	for i, s := range rs {
		at := fmt.Sprintf("%s[%d]", path, i)
		out, pos = append(out, l.prefix(o, at, s)), append(pos, o.at(at))
	}
	return out, pos
}

func enrolment(o *NamedObject, path string, es []v1alpha1.Enrolment) (out []ir.Selector, pos []diag.Position) {
	for i := range es {
		out = append(out, ir.Selector{Namespaces: labelSelector(&es[i].Namespaces), Pods: labelSelector(es[i].Pods)})
		pos = append(pos, o.at(fmt.Sprintf("%s[%d]", path, i)))
	}
	return out, pos
}

func (l *lowering) apiServers(o *NamedObject, k *v1alpha1.KubeAPIServer) {
	if k == nil {
		return
	}
	for i, s := range k.Addresses {
		a, err := netip.ParseAddr(s)
		if err != nil {
			l.errorAt(CodeValue, o.at(fmt.Sprintf("spec.kubeAPIServer.addresses[%d]", i)), fmt.Sprintf("%q is no address", s), "write it as 192.0.2.10 or 2001:db8::10")
			continue
		}
		l.out.APIServers = append(l.out.APIServers, a.Unmap())
	}
}
