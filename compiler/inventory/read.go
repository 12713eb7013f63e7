package inventory

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/source/manifest"
)

// Options of Read.
type Options struct {
	// Namespace is where objects that name none live; "default" when empty.
	Namespace string
	// Lenient turns what is not understood from errors into warnings (S33).
	Lenient bool
}

// Counts says how many objects of each kind were left out because they cannot change reachability (S33).
type Counts map[string]int

// Read makes the inventory from the objects of a cluster or of manifests; policies must have been taken out.
// Running pods stand for the templates that they came from, finished pods don't exist (S1), and a namespace that
// only its objects name is made.
func Read(objects []*manifest.Object, options Options) (*Inventory, Counts, diag.List) {
	if options.Namespace == "" {
		options.Namespace = "default"
	}
	r := reader{options: options, inv: &Inventory{}, counted: Counts{}, namespaces: map[string]bool{}, owners: map[Workload]Workload{}}
	for _, o := range objects {
		r.object(o)
	}
	r.pods()
	r.services()
	r.missingNamespaces()
	r.nodesOfPods()
	r.sort()
	r.touchPods()
	return r.inv, r.counted, r.diags
}

// reader holds one read's state.
type reader struct {
	options Options
	inv     *Inventory
	counted Counts
	diags   diag.List
	// touches are the objects that were not understood.
	touches []touch

	namespaces map[string]bool
	// owners leads from a ReplicaSet or Job to its controller.
	owners     map[Workload]Workload
	templates  []template
	podObjects []podObject
	svcObjects []serviceObject
	endpoints  []endpointSet
}

func (r *reader) object(o *manifest.Object) {
	switch o.Group() + "/" + o.Kind {
	case "/Namespace":
		r.namespace(o)
	case "/Node":
		r.node(o)
	case "/Pod":
		r.pod(o)
	case "apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "apps/ReplicaSet", "/ReplicationController", "batch/Job", "batch/CronJob":
		r.workload(o)
	case "/Service":
		r.service(o)
	case "/ServiceAccount":
		// Pods name their account themselves; the object adds nothing but its namespace.
		if decode(r, o, &corev1.ServiceAccount{}) {
			r.namespaceOf(o)
		}
	case "discovery.k8s.io/EndpointSlice":
		r.endpointSlice(o)
	case "/Endpoints":
		r.legacyEndpoints(o)
	default:
		r.other(o)
	}
}

// decode reports whether the object could be read, and has a name.
func decode(r *reader, o *manifest.Object, into any) bool {
	ds := o.DecodeKnown(into)
	r.diags = append(r.diags, ds...)
	named := r.named(o)
	return named && !ds.HasErrors()
}

// namespaceOf returns the namespace of an object, and notes that it exists.
func (r *reader) namespaceOf(o *manifest.Object) string {
	ns := o.NamespaceOr(r.options.Namespace)
	if _, given := r.namespaces[ns]; !given {
		r.namespaces[ns] = false
	}
	return ns
}

// nameLabel is on every namespace; the API server sets it.
const nameLabel = corev1.LabelMetadataName

func (r *reader) namespace(o *manifest.Object) {
	var ns corev1.Namespace
	if !decode(r, o, &ns) {
		return
	}
	labels := map[string]string{}
	for k, v := range ns.Labels {
		labels[k] = v
	}
	labels[nameLabel] = o.Name
	r.namespaces[o.Name] = true
	r.inv.Namespaces = append(r.inv.Namespaces, Namespace{Name: o.Name, Labels: labels, Pos: o.Pos("metadata.name")})
	for _, l := range networkLabels {
		if _, set := labels[l]; set {
			r.touches = append(r.touches, touch{object: "label " + l + " of " + o.Ref(), namespaces: inNamespace(o.Name)})
			r.notUnderstood(CodeNetworks, o.KeyPos("metadata.labels["+l+"]"), o.Ref()+" has a network of its own ("+l+"), which Weir does not understand")
		}
	}
}

func (r *reader) missingNamespaces() {
	for name, given := range r.namespaces {
		if !given {
			r.inv.Namespaces = append(r.inv.Namespaces, Namespace{Name: name, Labels: map[string]string{nameLabel: name}})
		}
	}
}

// sort puts the inventory into one order whatever the order of the files.
func (r *reader) sort() {
	inv := r.inv
	slices.SortFunc(inv.Namespaces, func(a, b Namespace) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(inv.Pods, func(a, b Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(inv.Nodes, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(inv.Services, func(a, b Service) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}
