// Package inventory is what policies are resolved against: namespaces, pods, nodes and services, read from
// manifests or a cluster, with positions.
package inventory

import (
	"net/netip"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
)

// Inventory is one consistent view of the workloads. The order of entries carries no meaning.
type Inventory struct {
	Namespaces []Namespace
	Pods       []Pod
	Nodes      []Node
	Services   []Service
	// APIServers are the addresses behind the entity kube-apiserver.
	APIServers []netip.Addr
}

// Namespace is a namespace and its labels, kubernetes.io/metadata.name included.
type Namespace struct {
	Name   string
	Labels map[string]string
	Pos    diag.Position
}

// Pod is a running pod, or one replica class declared by a workload's template (S1). Finished pods are left out
// by the reader.
type Pod struct {
	Namespace, Name string
	// Workload is the top owner: the Deployment of a ReplicaSet, the CronJob of a Job; the pod itself when it has none.
	Workload Workload
	Labels   map[string]string
	// ServiceAccount is "default" when unset.
	ServiceAccount string
	Node           string
	// Addrs are the pod's addresses, at most one a family; none before a merge (S4).
	Addrs       []netip.Addr
	HostNetwork bool
	Ports       []NamedPort
	// Declared is true for a template that no running pod stands for. Replicas is what the template asks for.
	Declared bool
	Replicas int32
	// Touched names an object that was not understood and may change who reaches the pod and whom it reaches (S33); empty
	// for none.
	Touched string
	Pos     diag.Position
}

// Workload names the owner of pods: Kind is Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob or Pod.
type Workload struct{ Kind, Namespace, Name string }

// NamedPort is a declared container port; Name may be empty.
type NamedPort struct {
	Name   string
	Space  ir.Space
	Number uint16
}

// Node is a node, its addresses and the pod ranges it was given.
type Node struct {
	Name     string
	Labels   map[string]string
	Addrs    []netip.Addr
	PodCIDRs []netip.Prefix
	Pos      diag.Position
}

// Service is a service with its virtual addresses and the endpoints behind each port, ready or not (S27).
type Service struct {
	Namespace, Name string
	// ClusterIPs is empty for headless services, and before a merge.
	ClusterIPs []netip.Addr
	// Headless services have no address of their own, ever (clusterIP: None, or type ExternalName).
	Headless bool
	// ExternalName is the name in DNS that a service of that type stands for.
	ExternalName string
	Ports        []ServicePort
	// Exposed says that the service has a NodePort, a LoadBalancer or external addresses.
	Exposed bool
	Labels  map[string]string
	Created time.Time
	Pos     diag.Position
}

// ServicePort is one port of a service.
type ServicePort struct {
	Name     string
	Space    ir.Space
	Port     uint16
	NodePort uint16
	Backends []Backend
	// NoBackends says why there is none; empty where there is one.
	NoBackends string
}

// Backend is one endpoint behind a service's port: a pod by namespace and name, or a bare address.
type Backend struct {
	Pod  ir.NamespacedName
	Addr netip.Addr
	Port uint16
}

// Config is what MeshConfig says, with defaults filled in. The zero value is the plain cluster of S16: nothing is
// enrolled.
type Config struct {
	// Present is true when a MeshConfig object was given.
	Present     bool
	TrustDomain string
	// Ranges inside which an address that nothing explains is unknown (S3). Node objects' pod ranges are added.
	PodRanges, NodeRanges, ServiceRanges []netip.Prefix
	// Enrolled selects enrolled pods; nil enrols none.
	Enrolled []ir.Selector
	// EnforceNetworkPolicy attaches the datapath to pods that only NetworkPolicies select (S17).
	EnforceNetworkPolicy bool
	// Waypoint is the scope that a waypoint serves where layer 7 is needed.
	Waypoint WaypointScope
	// Waypoints, when not nil, restricts waypoints to pods that one of the selectors matches.
	Waypoints []ir.Selector
	// LogDenied logs denied connections of enrolled endpoints; LogAllowed allowed ones.
	LogDenied, LogAllowed bool
	// Capacity bounds; zero is the default of package plan.
	MaxDecisions, MaxClasses, MaxMapBytes int
	Pos                                   diag.Position
	// EnrolledPos and WaypointsPos are the places of Enrolled and Waypoints; EnrolledPos is nil for the default.
	EnrolledPos, WaypointsPos []diag.Position `json:"-"` // a digest is of content
	// PodRangesPos, NodeRangesPos and ServiceRangesPos are the places of the ranges.
	PodRangesPos, NodeRangesPos, ServiceRangesPos []diag.Position `json:"-"`
}

// WaypointScope says what one waypoint serves.
type WaypointScope uint8

// The scopes.
const (
	WaypointPerNamespace WaypointScope = iota
	WaypointPerServiceAccount
	WaypointNone
)
