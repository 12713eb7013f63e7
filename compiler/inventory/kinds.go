package inventory

import (
	"fmt"
	"strings"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/source/manifest"
)

// The findings about kinds (S33).
const (
	CodeForeign  diag.Code = "WEIR5001"
	CodeUnknown  diag.Code = "WEIR5002"
	CodeNetworks diag.Code = "WEIR5003"
	CodeBuilt    diag.Code = "WEIR5004"
)

// class says what becomes of a kind that nothing here reads.
type class uint8

const (
	unknownKind class = iota
	// harmless kinds cannot change who reaches whom: they are counted.
	harmless
	// foreign kinds change reachability and are not understood.
	foreign
)

// kindClass is keyed by group, or by group and kind where the kinds of a group differ ("networking.k8s.io/Ingress").
// A group that is not here is looked up by its parents: security.istio.io is istio.io.
var kindClass = map[string]class{
	"/ConfigMap": harmless, "/Secret": harmless, "/Event": harmless, "/LimitRange": harmless, "/ResourceQuota": harmless,
	"/PersistentVolume": harmless, "/PersistentVolumeClaim": harmless, "/PodTemplate": harmless,
	"apps/ControllerRevision": harmless, "networking.k8s.io/IngressClass": harmless, "policy/PodDisruptionBudget": harmless,
	"rbac.authorization.k8s.io": harmless, "autoscaling": harmless, "autoscaling.k8s.io": harmless, "storage.k8s.io": harmless,
	"scheduling.k8s.io": harmless, "node.k8s.io": harmless, "coordination.k8s.io": harmless, "apiextensions.k8s.io": harmless,
	"apiregistration.k8s.io": harmless, "admissionregistration.k8s.io": harmless, "certificates.k8s.io": harmless,
	"events.k8s.io": harmless, "flowcontrol.apiserver.k8s.io": harmless, "authentication.k8s.io": harmless,
	"authorization.k8s.io": harmless, "snapshot.storage.k8s.io": harmless, "metrics.k8s.io": harmless,
	"monitoring.coreos.com": harmless, "cert-manager.io": harmless, "external-secrets.io": harmless,
	"gateway.networking.k8s.io/GatewayClass": harmless, "gateway.networking.k8s.io/ReferenceGrant": harmless,
	"telemetry.istio.io": harmless, "image.openshift.io": harmless, "project.openshift.io": harmless,
	"security.openshift.io": harmless, "rbac.openshift.io": harmless, "user.openshift.io": harmless,

	"networking.k8s.io": foreign, "policy.networking.k8s.io": foreign, "gateway.networking.k8s.io": foreign,
	"k8s.ovn.org": foreign, "k8s.cni.cncf.io": foreign, "cilium.io": foreign, "istio.io": foreign,
	"projectcalico.org": foreign, "antrea.io": foreign, "kubevirt.io": foreign, "route.openshift.io": foreign,
	"network.openshift.io": foreign, "nmstate.io": foreign, "multicluster.x-k8s.io": foreign, "linkerd.io": foreign,
	"kuma.io": foreign, "consul.hashicorp.com": foreign, "submariner.io": foreign, "kubeovn.io": foreign,
	"networking.gke.io": foreign, "networking.k8s.aws": foreign, "vpcresources.k8s.aws": foreign, "extensions": foreign,
	"traefik.io": foreign, "projectcontour.io": foreign, "metallb.io": foreign, "serving.knative.dev": foreign,
	"apps.openshift.io": foreign, "argoproj.io/Rollout": foreign, "apps.kruise.io": foreign,
}

func classOf(group, kind string) class {
	if c, ok := kindClass[group+"/"+kind]; ok {
		return c
	}
	for g := group; g != ""; {
		if c, ok := kindClass[g]; ok {
			return c
		}
		_, parent, ok := strings.Cut(g, ".")
		if !ok || !strings.Contains(parent, ".") {
			break
		}
		g = parent
	}
	return unknownKind
}

// other counts or reports an object of a kind that nothing here reads.
func (r *reader) other(o *manifest.Object) {
	if o.Group() == manifest.KustomizeGroup {
		r.kustomization(o)
		return
	}
	switch classOf(o.Group(), o.Kind) {
	case harmless:
		r.counted[o.Kind]++
	case foreign:
		r.touches = append(r.touches, r.touchOf(o))
		r.notUnderstood(CodeForeign, o.KeyPos("kind"), fmt.Sprintf("%s (%s) changes who reaches whom, and Weir does not understand it", o.Ref(), o.APIVersion))
	default:
		r.touches = append(r.touches, r.touchOf(o))
		r.notUnderstood(CodeUnknown, o.KeyPos("kind"), fmt.Sprintf("%s (%s) is of a kind that Weir does not know", o.Ref(), o.APIVersion))
	}
}

// notUnderstood reports what could make the plan wrong (S33).
func (r *reader) notUnderstood(code diag.Code, pos diag.Position, message string) {
	r.notUnderstoodBut(code, pos, message, "leave it out of the input, or give --lenient to go on without it: what it touches is then unknown")
}

func (r *reader) notUnderstoodBut(code diag.Code, pos diag.Position, message, hint string) {
	d := diag.Diagnostic{Code: code, Severity: diag.Error, Pos: pos, Message: message, Hint: hint}
	if r.options.Lenient {
		d.Severity, d.Hint = diag.Warning, "what it may touch is unknown, and shown so"
	}
	r.diags.Add(d)
}

// networkAnnotations attach a pod to networks beside the cluster's own.
var networkAnnotations = []string{"k8s.v1.cni.cncf.io/networks", "v1.multus-cni.io/default-network", "k8s.ovn.org/pod-networks"}

// networkLabels move a namespace's pods to another network.
var networkLabels = []string{"k8s.ovn.org/primary-user-defined-network"}

func (r *reader) checkNetworks(o *manifest.Object, path string, annotations map[string]string) {
	for _, a := range networkAnnotations {
		if annotations[a] != "" {
			r.touches = append(r.touches, touch{object: "annotation " + a + " of " + o.Ref(),
				namespaces: inNamespace(o.NamespaceOr(r.options.Namespace)), owner: o.Name})
			r.notUnderstood(CodeNetworks, o.KeyPos(path+"["+a+"]"),
				fmt.Sprintf("%s attaches to further networks (%s), which Weir does not understand", o.Ref(), a))
		}
	}
}
