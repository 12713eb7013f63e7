package analyze

import (
	"net/netip"
	"testing"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// namesWorld has names that are told apart by kind, namespace or family.
func namesWorld() resolve.Input {
	pod := func(ns, name, kind, owner, addr string) inventory.Pod {
		return inventory.Pod{Namespace: ns, Name: name, Workload: inventory.Workload{Kind: kind, Namespace: ns, Name: owner}, ServiceAccount: owner,
			Labels: map[string]string{"app": owner}, Addrs: []netip.Addr{netip.MustParseAddr(addr)}}
	}
	inv := &inventory.Inventory{
		Namespaces: []inventory.Namespace{{Name: "a"}, {Name: "b"}},
		Pods: []inventory.Pod{pod("a", "web-1", "Deployment", "web", "10.0.0.1"), pod("a", "web-2", "Deployment", "web", "10.0.0.2"),
			pod("b", "web-9", "Deployment", "web", "10.0.0.9"), pod("a", "db-0", "StatefulSet", "db", "10.0.0.3"), pod("a", "db-x", "Job", "db", "10.0.0.4")},
		Services: []inventory.Service{{Namespace: "a", Name: "loose", Headless: true}, {Namespace: "a", Name: "alias", Headless: true, ExternalName: "db.example.com"}, {Namespace: "a", Name: "front", ClusterIPs: []netip.Addr{netip.MustParseAddr("10.9.0.1")},
			Ports: []inventory.ServicePort{{Name: "http", Space: ir.TCP, Port: 80, Backends: []inventory.Backend{{Pod: ir.NamespacedName{Namespace: "a", Name: "web-1"}, Port: 8080}}}}}},
	}
	return resolve.Input{Inventory: inv, Now: now, Config: inventory.Config{Present: true, TrustDomain: "t",
		PodRanges: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}, ServiceRanges: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24")},
		Enrolled: []ir.Selector{{Namespace: "a"}}}}
}

// TestResolveInNamespace takes names as kubectl does, in the namespace that was given.
func TestResolveInNamespace(t *testing.T) {
	n := namesOf(t, namesWorld())
	n.Namespace = "b"
	for name, want := range map[string]string{"web": "b/web", "deploy/web": "b/web", "Deployment/web": "b/web", "pod/web-9": "b/pod/web-9", "po/web-9": "b/pod/web-9",
		"web-2": "a/web-2", "a/web": "a/web", "svc/front": `"b/service/front" is no workload, pod, service or entity here: did you mean a/service/front?`} {
		got, err := n.Resolve(name)
		if text := textOf(got, err); text != want {
			t.Errorf("%s: %s, want %s", name, text, want)
		}
	}
	n.Namespace = "a"
	for name, want := range map[string]string{"service/front": "a/service/front", "svc/front": "a/service/front", "web": "a/web",
		"front": `"a/front" is a service, not a workload: did you mean a/service/front?`} {
		got, err := n.Resolve(name)
		if text := textOf(got, err); text != want {
			t.Errorf("%s: %s, want %s", name, text, want)
		}
	}
}

func textOf(t *Target, err error) string {
	if err != nil {
		return err.Error()
	}
	return t.Name
}

func TestResolve(t *testing.T) {
	n := namesOf(t, namesWorld())
	for name, want := range map[string]struct {
		kind TargetKind
		name string
		err  string
	}{
		"a/web":                           {kind: WorkloadTarget, name: "a/web"},
		"a/deployment/web":                {kind: WorkloadTarget, name: "a/web"},
		"a/Job/db":                        {kind: WorkloadTarget, name: "a/Job/db"},
		"a/web-1":                         {kind: PodTarget, name: "a/web-1"},
		"web-2":                           {kind: PodTarget, name: "a/web-2"},
		"a/service/front":                 {kind: ServiceTarget, name: "a/service/front"},
		"front.a.svc":                     {kind: ServiceTarget, name: "a/service/front"},
		"10.0.0.1":                        {kind: AddressTarget, name: "10.0.0.1"},
		"10.9.0.1":                        {kind: AddressTarget, name: "10.9.0.1"},
		"spiffe://t/ns/a/sa/web":          {kind: SPIFFETarget, name: "spiffe://t/ns/a/sa/web"},
		"api.example.com":                 {kind: DNSTarget, name: "api.example.com"},
		"world":                           {kind: EntityTarget, name: "world"},
		"a/db":                            {err: `"a/db" is several workloads: did you mean a/Job/db or a/StatefulSet/db?`},
		"web":                             {err: `"web" is in several namespaces: did you mean a/web or b/web?`},
		"a/front":                         {err: `"a/front" is a service, not a workload: did you mean a/service/front?`},
		"a/wbe":                           {err: `"a/wbe" is no workload, pod, service or entity here: did you mean a/web?`},
		"c/web":                           {err: `"c/web" is no workload, pod, service or entity here: did you mean a/web or b/web?`},
		"kube-apiserver":                  {err: `"kube-apiserver" is nowhere in this inventory: no address of it is known`},
		"spiffe://t/ns/a/sa/wbe":          {err: `"spiffe://t/ns/a/sa/wbe" is the identity of no workload: did you mean spiffe://t/ns/a/sa/web?`},
		"999.1.1.1":                       {err: `"999.1.1.1" is no address`},
		"1.2.3":                           {err: `"1.2.3" is no address`},
		"front/web":                       {err: `"front/web" is no workload, pod, service or entity here: did you mean a/web or b/web?`},
		"a/service/loose":                 {err: `"a/service/loose" is headless: a connection to it goes straight to one of its pods: ask about their workload`},
		"a/svc/alias":                     {err: `"a/service/alias" is only a name for db.example.com: ask about that`},
		"alias.a.svc":                     {err: `"a/service/alias" is only a name for db.example.com: ask about that`},
		"a/loose":                         {err: `"a/loose" is a service, not a workload: did you mean a/service/loose?`},
		"1.2.3.":                          {err: `"1.2.3." is no address`},
		"3.example.com":                   {kind: DNSTarget, name: "3.example.com"},
		"example.c3":                      {kind: DNSTarget, name: "example.c3"},
		"front.a":                         {kind: ServiceTarget, name: "a/service/front"},
		"Front.A.Svc.":                    {kind: ServiceTarget, name: "a/service/front"},
		"front.a.svc.cluster.local":       {kind: ServiceTarget, name: "a/service/front"},
		"loose.a":                         {err: `"a/service/loose" is headless: a connection to it goes straight to one of its pods: ask about their workload`},
		"front.a.":                        {kind: DNSTarget, name: "front.a"},
		"web.a.":                          {kind: DNSTarget, name: "web.a"},
		"svc.example.com":                 {kind: DNSTarget, name: "svc.example.com"},
		"_dmarc.example.com":              {kind: DNSTarget, name: "_dmarc.example.com"},
		"qqqqqqq.a.svc":                   {err: `"a/service/qqqqqqq" is no workload, pod, service or entity here`},
		"nobody.a":                        {err: `"nobody.a" is no name of a service in namespace a; a name in the world that is written so ends with a dot`},
		"web-1.front.a":                   {err: `"web-1.front.a" is no name of a service in namespace a; a name in the world that is written so ends with a dot: did you mean a/web-1?`},
		"a.web":                           {err: `"a.web" is no name of a service here; a name in the world that is written so ends with a dot: did you mean a/web?`},
		"web.a":                           {err: `"web.a" is no name of a service in namespace a; a name in the world that is written so ends with a dot: did you mean a/web?`},
		"web-1.loose.a.svc.cluster.local": {err: `"web-1.loose.a.svc.cluster.local" is the name of a pod behind a service: ask about the pod: did you mean a/web-1?`},
		"x.loose.a.svc":                   {err: `"x.loose.a.svc" is the name of a pod behind a service: ask about the pod`},
		"10-0-0-1.a.pod.cluster.local.":   {err: `"10-0-0-1.a.pod.cluster.local." is the name of a pod's address: ask about the address, or the pod: did you mean 10.0.0.1?`},
		"fd00--1.a.pod":                   {err: `"fd00--1.a.pod" is the name of a pod's address: ask about the address, or the pod: did you mean fd00::1?`},
		"web.cluster.local":               {err: `"web.cluster.local" names nothing in the cluster: a service's name is <service>.<namespace>.svc.cluster.local`},
		"front.a.svc.corp.example":        {err: `"front.a.svc.corp.example" is a name in a cluster, with a domain that is not known here: ask about ns/service/name, or the pod: did you mean a/service/front?`},
		"10-0-0-1.a.pod.corp.example":     {err: `"10-0-0-1.a.pod.corp.example" is a name in a cluster, with a domain that is not known here: ask about ns/service/name, or the pod`},
		"10.0.0.1:8080":                   {err: `"10.0.0.1:8080" is an address and a port: the port has a place of its own: did you mean 10.0.0.1?`},
		"[fd00::1]:80":                    {err: `"[fd00::1]:80" is an address and a port: the port has a place of its own: did you mean fd00::1?`},
		"fe80::1%eth0":                    {err: `"fe80::1%eth0" is an address with a zone, which says something on one machine only: did you mean fe80::1?`},
		"example.com:443":                 {err: `"example.com:443" is a host and a port: the port has a place of its own: did you mean example.com?`},
		"web-1:80":                        {err: `"web-1:80" is a host and a port: the port has a place of its own: did you mean web-1?`},
		"foo bar.baz":                     {err: `"foo bar.baz" is no DNS name: letters, digits and inner hyphens make a label`},
		"-a.example.com":                  {err: `"-a.example.com" is no DNS name: letters, digits and inner hyphens make a label`},
		"a..example.com":                  {err: `"a..example.com" is no DNS name: a label is empty`},
		"*.example.com":                   {err: `"*.example.com" is no DNS name: letters, digits and inner hyphens make a label`},
		"x/y/z/w":                         {err: `"x/y/z/w" is no workload, pod, service or entity here`},
		"":                                {err: `"" is no name`},
	} {
		got, err := n.Resolve(name)
		switch {
		case err != nil && err.Error() != want.err:
			t.Errorf("%q: %v, want %s", name, err, want.err)
		case err == nil && want.err != "":
			t.Errorf("%q: resolved to %s, want the error %s", name, got.Name, want.err)
		case err == nil && (got.Kind != want.kind || got.Name != want.name):
			t.Errorf("%q: kind %d %s, want %d %s", name, got.Kind, got.Name, want.kind, want.name)
		}
	}
}

// TestAskFromDNS is S15: a DNS name is only where a connection goes to.
func TestAskFromDNS(t *testing.T) {
	n := namesOf(t, namesWorld())
	q := Question{Port: Port{Space: ir.TCP, Number: 443}}
	var err error
	if q.From, err = n.Resolve("example.com"); err != nil {
		t.Fatal(err)
	}
	if q.To, err = n.Resolve("b/web"); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Ask(q); err == nil || err.Error() != "example.com is a DNS name, which is only where a connection goes to (S15): write an address, or world" {
		t.Errorf("%v", err)
	}
}

// TestAskRequest holds that only TCP carries a request.
func TestAskRequest(t *testing.T) {
	n := namesOf(t, namesWorld())
	q := Question{Port: Port{Space: ir.UDP, Number: 443}, Request: &plan.Request{Method: "GET", Path: "/"}}
	var err error
	if q.From, err = n.Resolve("a/web"); err != nil {
		t.Fatal(err)
	}
	if q.To, err = n.Resolve("b/web"); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Ask(q); err == nil || err.Error() != "a request needs TCP: UDP carries no HTTP" {
		t.Errorf("UDP: %v", err)
	}
	q.Port.Space = ir.TCP
	if _, err := n.Ask(q); err != nil {
		t.Errorf("TCP: %v", err)
	}
}

// TestAskSelf is S6: a pod reaches itself, and the pods of one workload do not count as one.
func TestAskSelf(t *testing.T) {
	n := namesOf(t, namesWorld()) // namespace a is enrolled and nothing is allowed
	for _, c := range []struct{ from, to, want string }{
		{"a/web-1", "a/web-1", "allow"},
		{"a/web-1", "a/web-2", "deny"},
		{"a/web", "a/web", "deny"},
		{"a/StatefulSet/db", "a/StatefulSet/db", "allow"},
		{"a/web-1", "a/service/front", "allow"}, // its only endpoint is the pod itself (S27)
		{"a/web-2", "a/service/front", "deny"},
		{"b/web", "world", "allow"},
		{"b/web", "a/web", "deny"},
	} {
		q := Question{Port: Port{Space: ir.TCP, Number: 80}}
		var err error
		if q.From, err = n.Resolve(c.from); err != nil {
			t.Fatal(err)
		}
		if q.To, err = n.Resolve(c.to); err != nil {
			t.Fatal(err)
		}
		r, err := n.Ask(q)
		if err != nil || r.Verdict.String() != c.want {
			t.Errorf("%s → %s: %s, %v; want %s", c.from, c.to, r.Verdict, err, c.want)
		}
	}
}

// TestAskDiffer is S4: where the pods behind a name, or the addresses that one may get, get different answers, no one
// answer is given.
func TestAskDiffer(t *testing.T) {
	in := namesWorld()
	cidr := ir.Peer{CIDR: &ir.CIDR{Prefix: netip.MustParsePrefix("10.0.0.1/32"), MatchPods: true}}
	in.Policies = []ir.Policy{{Kind: "P", Namespace: "b", Name: "p", Layer: ir.Orchestrator, Tier: ir.Namespace, Subject: ir.Selector{Namespace: "b"},
		Isolate: [ir.NumDirections]bool{ir.Ingress: true}, Rules: []ir.Rule{{Direction: ir.Ingress, Action: ir.Allow, Peers: []ir.Peer{cidr}}}}}
	in.Config = inventory.Config{PodRanges: in.Config.PodRanges}
	ask := func(in resolve.Input) string {
		n := namesOf(t, in)
		from, _ := n.Resolve("a/web")
		to, _ := n.Resolve("b/web")
		_, err := n.Ask(Question{From: from, To: to, Port: Port{Space: ir.TCP, Number: 80}})
		if err == nil {
			return ""
		}
		return err.Error()
	}
	if got, want := ask(in), "the ends differ: allow for a/web-1 → b/web-9, deny for a/web-2 → b/web-9"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	in.Inventory.Pods[0].Addrs, in.Inventory.Pods[0].Declared = nil, true
	in.Inventory.Pods = append(in.Inventory.Pods[:1:1], in.Inventory.Pods[2:]...)
	if got := ask(in); got != "depends on the pod's address: deny or allow" && got != "depends on the pod's address: allow or deny" {
		t.Errorf("got %q", got)
	}
}

func TestParsePort(t *testing.T) {
	for in, want := range map[string]string{"8443": "TCP 8443", "UDP/53": "UDP 53", "53/udp": "UDP 53", "http": "TCP http", "udp/dns": "UDP dns", "icmp/8": "ICMP type 8 code 0",
		"icmpv6/128/0": "ICMPv6 type 128 code 0", "ip/47": "IP protocol 47", "ip/0": "IP protocol 0"} {
		if got, err := ParsePort(in); err != nil || got.String() != want {
			t.Errorf("%s: %s, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0", "65536", "a b", "x/1", "icmp/300", "ip/256", "tcp/1/2", "-1", "tcp/"} {
		if got, err := ParsePort(in); err == nil {
			t.Errorf("%q was read as %s", in, got)
		}
	}
}

// TestDefaultHost holds that a request without a host is one to the destination.
func TestDefaultHost(t *testing.T) {
	n := namesOf(t, namesWorld())
	for name, want := range map[string]string{"a/web": "web.a", "a/Job/db": "db.a", "a/service/front": "front.a", "10.0.0.1": "10.0.0.1", "api.example.com": "api.example.com"} {
		to, err := n.Resolve(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := (Question{To: to, Request: &plan.Request{}}).withHost().Request.Host; got != want {
			t.Errorf("%s: host %q, want %q", name, got, want)
		}
		if got := (Question{To: to, Request: &plan.Request{Host: "x"}}).withHost().Request.Host; got != "x" {
			t.Errorf("%s: the host that was given became %q", name, got)
		}
	}
}
