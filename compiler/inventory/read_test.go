package inventory

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-mesh/weir/compiler/source/manifest"
)

// show prints an inventory, one entry a line.
func show(inv *Inventory) []string {
	var out []string
	for _, n := range inv.Namespaces {
		out = append(out, fmt.Sprintf("namespace %s %s", n.Name, labels(n.Labels)))
	}
	for _, n := range inv.Nodes {
		out = append(out, fmt.Sprintf("node %s %v %v", n.Name, n.Addrs, n.PodCIDRs))
	}
	for _, p := range inv.Pods {
		s := fmt.Sprintf("pod %s/%s of %s/%s %s sa=%s", p.Namespace, p.Name, p.Workload.Kind, p.Workload.Name, labels(p.Labels), p.ServiceAccount)
		if p.Declared {
			s += fmt.Sprintf(" declared x%d", p.Replicas)
		}
		if p.HostNetwork {
			s += " host"
		}
		if len(p.Addrs) > 0 {
			s += fmt.Sprint(" ", p.Addrs)
		}
		for _, np := range p.Ports {
			s += fmt.Sprintf(" %s:%s/%d", np.Name, np.Space, np.Number)
		}
		out = append(out, s)
	}
	for _, s := range inv.Services {
		l := fmt.Sprintf("service %s/%s %v exposed=%t", s.Namespace, s.Name, s.ClusterIPs, s.Exposed)
		for _, p := range s.Ports {
			l += fmt.Sprintf(" %s:%s/%d>", p.Name, p.Space, p.Port)
			for i, b := range p.Backends {
				if i > 0 {
					l += ","
				}
				if b.Addr.IsValid() {
					l += fmt.Sprintf("%s:%d", b.Addr, b.Port)
				} else {
					l += fmt.Sprintf("%s:%d", b.Pod, b.Port)
				}
			}
		}
		out = append(out, l)
	}
	if len(inv.APIServers) > 0 {
		out = append(out, fmt.Sprint("apiservers ", inv.APIServers))
	}
	return out
}

func labels(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+"="+m[k])
	}
	return "{" + strings.Join(out, ",") + "}"
}

func read(t *testing.T, yaml string, options Options) ([]string, Counts, []string) {
	t.Helper()
	objs, diags := manifest.Parse("in.yaml", []byte(yaml), manifest.Limits{})
	if len(diags) != 0 {
		t.Fatal(diags[0].Error())
	}
	inv, counts, found := Read(objs, options)
	var ds []string
	for i := range found {
		ds = append(ds, found[i].Error())
	}
	return show(inv), counts, ds
}

func TestRead(t *testing.T) {
	const running = "status: {phase: Running, podIP: 10.0.0.5}"
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"a deployment before a merge", `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: websa
      initContainers:
      - {name: i, ports: [{containerPort: 1}]}
      - {name: side, restartPolicy: Always, ports: [{name: m, containerPort: 9090}]}
      containers:
      - {name: c, ports: [{name: http, containerPort: 8080}, {containerPort: 53, protocol: UDP}]}
`, []string{"namespace shop {kubernetes.io/metadata.name=shop}",
			"pod shop/web of Deployment/web {app=web} sa=websa declared x3 http:TCP/8080 :UDP/53 m:TCP/9090"}},
		{"a namespace's own labels, and the name label cannot be forged", `
apiVersion: v1
kind: Namespace
metadata: {name: a, labels: {team: x, kubernetes.io/metadata.name: b}}
`, []string{"namespace a {kubernetes.io/metadata.name=a,team=x}"}},
		{"pods stand for templates, through all owners (S1)", `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {metadata: {labels: {app: web}}}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-1, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: u, controller: true}]}
spec: {template: {metadata: {labels: {app: web, pod-template-hash: "1"}}}}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1-a, labels: {app: web, pod-template-hash: "1"}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: u, controller: true}]}
` + running, []string{"namespace default {kubernetes.io/metadata.name=default}",
			"pod default/web-1-a of Deployment/web {app=web,pod-template-hash=1} sa=default [10.0.0.5]"}},
		{"an operator above a workload changes nothing", `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, ownerReferences: [{apiVersion: example.org/v1, kind: Database, name: main, uid: u, controller: true}]}
`, []string{"namespace default {kubernetes.io/metadata.name=default}", "pod default/db of StatefulSet/db {} sa=default declared x1"}},
		{"in the middle of a rollout the new template is a class of its own", `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {metadata: {labels: {app: web, v: "2"}}}}
---
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: web, v: "1"}, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: u, controller: true}]}
` + running, []string{"namespace default {kubernetes.io/metadata.name=default}",
			"pod default/p of Deployment/web {app=web,v=1} sa=default [10.0.0.5]",
			"pod default/web of Deployment/web {app=web,v=2} sa=default declared x1"}},
		{"a replica set whose deployment was not given", `
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-1, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: u, controller: true}]}
spec: {replicas: 2, template: {metadata: {labels: {app: web}}}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-0, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: u, controller: true}]}
spec: {replicas: 0, template: {metadata: {labels: {app: old}}}}
`, []string{"namespace default {kubernetes.io/metadata.name=default}", "pod default/web-1 of Deployment/web {app=web} sa=default declared x2"}},
		{"cron jobs, jobs and finished pods (S1)", `
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec: {jobTemplate: {spec: {template: {metadata: {labels: {app: night}}, spec: {hostNetwork: true}}}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: nightly-1, ownerReferences: [{apiVersion: batch/v1, kind: CronJob, name: nightly, uid: u, controller: true}]}
spec: {template: {metadata: {labels: {app: night}}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: done}
spec: {template: {metadata: {labels: {app: d}}}}
status: {conditions: [{type: Complete, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: done-1, ownerReferences: [{apiVersion: batch/v1, kind: Job, name: done, uid: u, controller: true}]}
status: {phase: Succeeded, podIP: 10.0.0.9}
`, []string{"namespace default {kubernetes.io/metadata.name=default}", "pod default/nightly of CronJob/nightly {app=night} sa=default declared x1 host"}},
		{"static pods, both families, and nodes that only pods know (S3)", `
apiVersion: v1
kind: Pod
metadata: {name: etcd-n1, ownerReferences: [{apiVersion: v1, kind: Node, name: n1, uid: u, controller: true}]}
spec: {nodeName: n1, hostNetwork: true}
status: {phase: Running, hostIP: 192.168.0.1, podIP: 192.168.0.1, podIPs: [{ip: 192.168.0.1}, {ip: "fd00::1"}]}
---
apiVersion: v1
kind: Node
metadata: {name: n2}
spec: {podCIDRs: [10.1.0.0/24, "fd01::/64"], podCIDR: 10.1.0.0/24}
status: {addresses: [{type: InternalIP, address: 192.168.0.2}, {type: Hostname, address: n2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: on-n2}
spec: {nodeName: n2}
status: {phase: Running, hostIP: 192.168.0.2}
`, []string{"namespace default {kubernetes.io/metadata.name=default}", "node n1 [192.168.0.1] []", "node n2 [192.168.0.2] [10.1.0.0/24 fd01::/64]",
			"pod default/etcd-n1 of Pod/etcd-n1 {} sa=default host [192.168.0.1 fd00::1]", "pod default/on-n2 of Pod/on-n2 {} sa=default"}},
		{"an endpoint's reference finds a pod whose address is not known", `
apiVersion: v1
kind: Pod
metadata: {name: a}
---
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s-1, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
ports: [{name: "", port: 8080}]
endpoints: [{addresses: [10.0.0.7], targetRef: {kind: Pod, name: a}}, {addresses: [10.0.0.8], targetRef: {kind: Pod, name: gone}}]
`, []string{"namespace default {kubernetes.io/metadata.name=default}", "pod default/a of Pod/a {} sa=default", "service default/s [10.96.0.1] exposed=false :TCP/80>10.0.0.8:8080,default/a:8080"}},
		{"services by selector and by slices (S27)", `
apiVersion: v1
kind: Pod
metadata: {name: a, labels: {app: web}}
spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}
status: {phase: Running, podIP: 10.0.0.1, conditions: [{type: Ready, status: "False"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b, labels: {app: web}}
spec: {containers: [{name: c, ports: [{name: http, containerPort: 8081}]}]}
status: {phase: Running, podIP: 10.0.0.2}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  clusterIP: 10.96.0.1
  clusterIPs: [10.96.0.1, "fd02::1"]
  externalIPs: [192.0.2.9]
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}, {name: raw, port: 81, protocol: UDP}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints:
- {addresses: [10.0.0.1], conditions: {ready: false}, targetRef: {kind: Pod, name: a}}
- {addresses: [203.0.113.7]}
---
apiVersion: v1
kind: Service
metadata: {name: outside}
spec: {clusterIP: 10.96.0.2, ports: [{port: 443}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: outside}
subsets: [{addresses: [{ip: 203.0.113.8}], notReadyAddresses: [{ip: 10.0.0.2}], ports: [{port: 8443}]}]
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, selector: {app: web}, ports: [{port: 1}]}
---
apiVersion: v1
kind: Service
metadata: {name: alias}
spec: {type: ExternalName, externalName: example.org}
---
apiVersion: v1
kind: Endpoints
metadata: {name: kubernetes}
subsets: [{addresses: [{ip: 192.168.0.1}], ports: [{name: https, port: 6443}]}]
`, []string{"namespace default {kubernetes.io/metadata.name=default}",
			"pod default/a of Pod/a {app=web} sa=default [10.0.0.1] http:TCP/8080", "pod default/b of Pod/b {app=web} sa=default [10.0.0.2] http:TCP/8081",
			"service default/alias [] exposed=false",
			"service default/headless [] exposed=false :TCP/1>default/a:1,default/b:1",
			"service default/outside [10.96.0.2] exposed=false :TCP/443>203.0.113.8:8443,default/b:8443",
			"service default/web [10.96.0.1 fd02::1 192.0.2.9] exposed=true http:TCP/80>203.0.113.7:8080,default/a:8080,default/b:8081 raw:UDP/81>default/a:81,default/b:81",
			"apiservers [192.168.0.1]"}},
		{"two workloads of one name", `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
`, []string{"namespace default {kubernetes.io/metadata.name=default}", "pod default/web of Deployment/web {} sa=default declared x1",
			"pod default/web-statefulset of StatefulSet/web {} sa=default declared x1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _, diags := read(t, tt.in, Options{})
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
			if len(diags) != 0 {
				t.Errorf("findings: %v", diags)
			}
		})
	}
}

func TestReadFindings(t *testing.T) {
	header := func(apiVersion, kind string) string {
		return "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata: {name: x, namespace: ns}\n---\n"
	}
	for _, tt := range []struct {
		name, in string
		lenient  bool
		want     []string
		counts   Counts
	}{
		{"kinds that cannot change reachability are counted (S33)", header("v1", "ConfigMap") + header("rbac.authorization.k8s.io/v1", "Role") + header("v1", "Secret"), false, nil,
			Counts{"ConfigMap": 1, "Role": 1, "Secret": 1}},
		{"kinds that change it are named (S33)", header("k8s.ovn.org/v1", "UserDefinedNetwork") + header("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition") +
			header("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy") + header("networking.k8s.io/v1", "Ingress") + header("crd.projectcalico.org/v1", "NetworkPolicy") +
			header("security.istio.io/v1", "AuthorizationPolicy"), false,
			[]string{"in.yaml:2:1: error WEIR5001: UserDefinedNetwork ns/x (k8s.ovn.org/v1) changes who reaches whom, and Weir does not understand it",
				"in.yaml:6:1: error WEIR5001: NetworkAttachmentDefinition ns/x (k8s.cni.cncf.io/v1) changes who reaches whom, and Weir does not understand it",
				"in.yaml:10:1: error WEIR5001: AdminNetworkPolicy ns/x (policy.networking.k8s.io/v1alpha1) changes who reaches whom, and Weir does not understand it",
				"in.yaml:14:1: error WEIR5001: Ingress ns/x (networking.k8s.io/v1) changes who reaches whom, and Weir does not understand it",
				"in.yaml:18:1: error WEIR5001: NetworkPolicy ns/x (crd.projectcalico.org/v1) changes who reaches whom, and Weir does not understand it",
				"in.yaml:22:1: error WEIR5001: AuthorizationPolicy ns/x (security.istio.io/v1) changes who reaches whom, and Weir does not understand it"}, Counts{}},
		{"lenient", header("kubevirt.io/v1", "VirtualMachine") + header("example.org/v1", "Widget"), true,
			[]string{"in.yaml:2:1: warning WEIR5001: VirtualMachine ns/x (kubevirt.io/v1) changes who reaches whom, and Weir does not understand it",
				"in.yaml:6:1: warning WEIR5002: Widget ns/x (example.org/v1) is of a kind that Weir does not know"}, Counts{}},
		{"unknown kinds", header("example.org/v1", "Widget") + header("v1", "Widget") + header("telemetry.istio.io/v1", "Telemetry"), false,
			[]string{"in.yaml:2:1: error WEIR5002: Widget ns/x (example.org/v1) is of a kind that Weir does not know",
				"in.yaml:6:1: error WEIR5002: Widget ns/x (v1) is of a kind that Weir does not know"}, Counts{"Telemetry": 1}},
		{"further networks", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n    k8s.v1.cni.cncf.io/networks: other\n---\n" +
			"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {template: {metadata: {annotations: {k8s.v1.cni.cncf.io/networks: other}}}}\n---\n" +
			"apiVersion: v1\nkind: Namespace\nmetadata: {name: nn, labels: {k8s.ovn.org/primary-user-defined-network: \"\"}}\n", false,
			[]string{"in.yaml:6:5: error WEIR5003: Pod p attaches to further networks (k8s.v1.cni.cncf.io/networks), which Weir does not understand",
				"in.yaml:11:44: error WEIR5003: Deployment d attaches to further networks (k8s.v1.cni.cncf.io/networks), which Weir does not understand",
				"in.yaml:15:31: error WEIR5003: Namespace nn has a network of its own (k8s.ovn.org/primary-user-defined-network), which Weir does not understand"}, Counts{}},
		{"bad addresses and fields", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {hostNetwrok: true}\nstatus: {podIP: 10.0.0}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: q}\nspec: []\n", false,
			[]string{"in.yaml:4:8: warning WEIR1035: unknown field \"hostNetwrok\"", "in.yaml:10:7: error WEIR1034: spec must be a mapping, not a list",
				"in.yaml:5:17: error WEIR1036: \"10.0.0\" is no address"}, Counts{}},
		{"a bad address beside good ones", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nstatus: {podIP: 10.0.0, podIPs: [{ip: 10.0.0.1}]}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: q}\nstatus: {podIP: 10.0.0.2, podIPs: [{ip: 10.0.0.2}, {ip: x}]}\n", false,
			[]string{"in.yaml:4:17: error WEIR1036: \"10.0.0\" is no address", "in.yaml:9:57: error WEIR1036: \"x\" is no address"}, Counts{}},
		{"a kustomization that only lists files is counted", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml, sub]\nimages: [{name: x, newTag: y}]\n", false, nil, Counts{"Kustomization": 1}},
		{"one that changes them or brings others is not understood (S33)", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: prod\nresources: [a.yaml, ../base, 'https://example.org/x?ref=1']\npatches: []\n", false,
			[]string{"in.yaml:3:1: error WEIR5004: kustomize changes what is applied (namespace); the files are read as they stand",
				"in.yaml:5:1: error WEIR5004: kustomize changes what is applied (patches); the files are read as they stand",
				"in.yaml:4:21: error WEIR5004: kustomize brings what is not in this folder (../base)",
				"in.yaml:4:30: error WEIR5004: kustomize brings what is not in this folder (https://example.org/x?ref=1)"}, Counts{}},
		{"lenient", "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnameSuffix: -a\n", true,
			[]string{"in.yaml:3:1: warning WEIR5004: kustomize changes what is applied (nameSuffix); the files are read as they stand"}, Counts{}},
		{"slices that hold names", "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: x, labels: {kubernetes.io/service-name: web}}\naddressType: FQDN\nendpoints: [{addresses: [example.org]}]\n", false,
			[]string{"in.yaml:4:14: error WEIR5001: EndpointSlice x holds names instead of addresses, which Weir does not understand"}, Counts{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, counts, diags := read(t, strings.TrimSuffix(tt.in, "---\n"), Options{Lenient: tt.lenient})
			if d := cmp.Diff(tt.want, diags); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
			if d := cmp.Diff(tt.counts, counts); tt.counts != nil && d != "" {
				t.Errorf("counts: -want +got\n%s", d)
			}
		})
	}
}
