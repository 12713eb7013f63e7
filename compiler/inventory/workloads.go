package inventory

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/source/manifest"
)

// template is a workload's pod template.
type template struct {
	workload Workload
	pod      Pod
	finished bool
}

// podObject is a Pod object that is not finished.
type podObject struct {
	*corev1.Pod
	object *manifest.Object
	owner  Workload
}

func (r *reader) workload(o *manifest.Object) {
	ns := r.namespaceOf(o)
	w := workloadObject{path: "spec.template"}
	read := w.read(r, o)
	if named := r.namedIn(o, w.path+".spec", &w.template.Spec); !read || !named {
		return
	}
	t := template{workload: Workload{Kind: o.Kind, Namespace: ns, Name: o.Name}, finished: w.finished}
	// Only these two kinds are steps on the way; a Deployment that an operator owns is what people call the workload.
	if c := controller(w.meta.OwnerReferences); c != nil && (o.Kind == "ReplicaSet" || o.Kind == "Job") {
		r.owners[t.workload] = Workload{Kind: c.Kind, Namespace: ns, Name: c.Name}
	}
	t.pod = newPod(ns, o.Name, w.template.Labels, &w.template.Spec)
	t.pod.Declared, t.pod.Replicas, t.pod.Pos = true, 1, o.Pos("metadata.name")
	if w.replicas != nil {
		t.pod.Replicas = *w.replicas
	}
	r.checkNetworks(o, w.path+".metadata.annotations", w.template.Annotations)
	r.templates = append(r.templates, t)
}

// workloadObject is what the kinds with a pod template have in common.
type workloadObject struct {
	meta     metav1.ObjectMeta
	template corev1.PodTemplateSpec
	path     string // of the template
	replicas *int32
	finished bool
}

func (w *workloadObject) read(r *reader, o *manifest.Object) bool {
	switch o.Kind {
	case "Deployment":
		var d appsv1.Deployment
		ok := decode(r, o, &d)
		w.meta, w.template, w.replicas = d.ObjectMeta, d.Spec.Template, d.Spec.Replicas
		return ok
	case "StatefulSet":
		var d appsv1.StatefulSet
		ok := decode(r, o, &d)
		w.meta, w.template, w.replicas = d.ObjectMeta, d.Spec.Template, d.Spec.Replicas
		return ok
	case "DaemonSet":
		var d appsv1.DaemonSet
		ok := decode(r, o, &d)
		w.meta, w.template = d.ObjectMeta, d.Spec.Template
		return ok
	case "ReplicaSet":
		var d appsv1.ReplicaSet
		ok := decode(r, o, &d)
		w.meta, w.template, w.replicas = d.ObjectMeta, d.Spec.Template, d.Spec.Replicas
		return ok
	case "ReplicationController":
		var d corev1.ReplicationController
		ok := decode(r, o, &d)
		if w.meta, w.replicas = d.ObjectMeta, d.Spec.Replicas; d.Spec.Template != nil {
			w.template = *d.Spec.Template
		}
		return ok
	case "Job":
		var d batchv1.Job
		ok := decode(r, o, &d)
		w.meta, w.template, w.replicas, w.finished = d.ObjectMeta, d.Spec.Template, d.Spec.Parallelism, jobFinished(&d)
		return ok
	default: // CronJob
		var d batchv1.CronJob
		ok := decode(r, o, &d)
		w.path = "spec.jobTemplate.spec.template"
		w.meta, w.template, w.replicas = d.ObjectMeta, d.Spec.JobTemplate.Spec.Template, d.Spec.JobTemplate.Spec.Parallelism
		return ok
	}
}

func jobFinished(j *batchv1.Job) bool {
	for _, c := range j.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

// controller is the owner that manages the object. A static pod's owner is its node, which is no workload.
func controller(refs []metav1.OwnerReference) *metav1.OwnerReference {
	for i := range refs {
		if refs[i].Controller != nil && *refs[i].Controller && refs[i].Kind != "Node" {
			return &refs[i]
		}
	}
	if len(refs) == 1 && refs[0].Controller == nil && refs[0].Kind != "Node" {
		return &refs[0]
	}
	return nil
}

// top is the workload that a person wrote: the Deployment of a ReplicaSet, the CronJob of a Job.
func (r *reader) top(w Workload) Workload {
	if up, ok := r.owners[w]; ok {
		return up
	}
	return w
}

func newPod(ns, name string, labels map[string]string, spec *corev1.PodSpec) Pod {
	p := Pod{Namespace: ns, Name: name, Labels: labels, ServiceAccount: spec.ServiceAccountName, HostNetwork: spec.HostNetwork}
	if p.ServiceAccount == "" {
		p.ServiceAccount = spec.DeprecatedServiceAccount
	}
	if p.ServiceAccount == "" {
		p.ServiceAccount = "default"
	}
	for i := range spec.Containers {
		p.Ports = appendPorts(p.Ports, spec.Containers[i].Ports)
	}
	for i := range spec.InitContainers {
		// Only an init container that keeps running (a sidecar, KEP-753) serves ports.
		c := &spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			p.Ports = appendPorts(p.Ports, c.Ports)
		}
	}
	return p
}

func appendPorts(out []NamedPort, ports []corev1.ContainerPort) []NamedPort {
	for _, p := range ports {
		if space, ok := spaceOf(p.Protocol); ok && p.ContainerPort > 0 && p.ContainerPort <= 65535 {
			out = append(out, NamedPort{Name: p.Name, Space: space, Number: uint16(p.ContainerPort)})
		}
	}
	return out
}

// spaceOf reads a protocol; empty is TCP, as everywhere in the API.
func spaceOf(p corev1.Protocol) (ir.Space, bool) {
	switch p {
	case "", corev1.ProtocolTCP:
		return ir.TCP, true
	case corev1.ProtocolUDP:
		return ir.UDP, true
	case corev1.ProtocolSCTP:
		return ir.SCTP, true
	}
	return 0, false
}

func (r *reader) pod(o *manifest.Object) {
	ns := r.namespaceOf(o)
	p := &corev1.Pod{}
	read := decode(r, o, p)
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return // a finished pod does not exist (S1)
	}
	if named := r.namedIn(o, "spec", &p.Spec); !read || !named {
		return
	}
	po := podObject{Pod: p, object: o, owner: Workload{Kind: "Pod", Namespace: ns, Name: o.Name}}
	if c := controller(p.OwnerReferences); c != nil {
		// The API requires a kind; a hand-written owner without one still groups its pods.
		po.owner = Workload{Kind: cmp.Or(c.Kind, "Pod"), Namespace: ns, Name: c.Name}
	}
	r.checkNetworks(o, "metadata.annotations", p.Annotations)
	r.podObjects = append(r.podObjects, po)
}

// pods fills the inventory's pods: those that run, and the templates that none of them stands for.
func (r *reader) pods() {
	running := map[Workload][]map[string]string{}
	names := map[ir.NamespacedName]bool{}
	for i := range r.podObjects {
		po := &r.podObjects[i]
		ns := po.owner.Namespace
		p := newPod(ns, po.object.Name, po.Labels, &po.Spec)
		p.Workload, p.Node, p.Replicas, p.Pos = r.top(po.owner), po.Spec.NodeName, 1, po.object.Pos("metadata.name")
		p.Addrs = r.podAddrs(po)
		running[p.Workload] = append(running[p.Workload], p.Labels)
		names[ir.NamespacedName{Namespace: ns, Name: p.Name}] = true
		r.inv.Pods = append(r.inv.Pods, p)
	}
	given := map[Workload]bool{}
	for i := range r.templates {
		given[r.templates[i].workload] = true
	}
	for i := range r.templates {
		t := &r.templates[i]
		top := r.top(t.workload)
		// What an owner that is here too declares, the owner's own template says.
		if t.finished || top != t.workload && (given[top] || t.pod.Replicas == 0) || standsFor(running[top], t.pod.Labels) {
			continue
		}
		p := t.pod
		p.Workload = top
		if key := (ir.NamespacedName{Namespace: p.Namespace, Name: p.Name}); names[key] {
			p.Name += "-" + strings.ToLower(t.workload.Kind)
		} else {
			names[key] = true
		}
		r.inv.Pods = append(r.inv.Pods, p)
	}
}

// standsFor reports whether one of the running pods came from a template with these labels: in the middle of a
// rollout the new template has no pods yet and is a replica class of its own.
func standsFor(running []map[string]string, labels map[string]string) bool {
	for _, have := range running {
		found := true
		for k, v := range labels {
			if w, ok := have[k]; !ok || w != v {
				found = false
				break
			}
		}
		if found {
			return true
		}
	}
	return false
}

func (r *reader) podAddrs(po *podObject) []netip.Addr {
	var out []netip.Addr
	add := func(path, ip string) {
		if a, ok := r.addr(po.object, path, ip); ok {
			out = appendAddr(out, a)
		}
	}
	for i, ip := range po.Status.PodIPs {
		add(fmt.Sprintf("status.podIPs[%d].ip", i), ip.IP)
	}
	switch ip := po.Status.PodIP; {
	case ip == "" || slices.Contains(po.Status.PodIPs, corev1.PodIP{IP: ip}): // the first of them, as the API has it
	case len(po.Status.PodIPs) == 0:
		add("status.podIP", ip)
	default:
		r.addr(po.object, "status.podIP", ip) // what the list does not have is not used, and no less wrong for that
	}
	return out
}
