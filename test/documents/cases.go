// Package documents has what the language is tested with: documents that are good, changes that spoil them, and a
// generator of more of both. The tests of schemas judge them in process, those of test/apiserver on a live API server.
package documents

import (
	"maps"
	"slices"
)

// Refusal is a change that every judge refuses: the YAML that is put at a path in a base ("-" takes away what is
// there), and the message. An empty message stands for the API server's own words about types, bounds and patterns.
type Refusal struct{ Base, Path, Value, Message string }

// Bases returns the names of the documents that every judge accepts, sorted; Refusals change one thing in them. Together
// they use every field of the language.
func Bases() []string { return slices.Sorted(maps.Keys(bases)) }

// Kind returns the definition that a base is of.
func Kind(base string) string { return kindOf[base] }

// Refusals returns the changes that every judge refuses.
func Refusals() []Refusal {
	out := slices.Clone(refused)
	for _, p := range rulePlaces {
		for _, r := range refusedRules {
			out = append(out, Refusal{p.base, p.path, r.rule, r.message})
		}
	}
	return out
}

var bases = map[string]string{
	"policy": `
apiVersion: policy.weir.dev/v1alpha1
kind: MeshPolicy
metadata: {name: payments, namespace: shop, labels: {team: a}, annotations: {note: "b c"}, creationTimestamp: "2026-01-02T03:04:05Z"}
spec:
  owner: payments team
  purpose: takes charges
  expires: "2027-01-31"
  mode: audit
  subject:
    matchLabels: {app: payments, empty: ""}
    matchExpressions: [{key: tier, operator: In, values: [a, ""]}, {key: x, operator: Exists}]
    serviceAccounts: [payments]
  isolate: [ingress, egress]
  ingress:
  - action: allow
    name: to payments
    mode: enforce
    from:
    - pods: {matchLabels: {app: checkout}}
      namespaces: {}
      serviceAccounts: [checkout, web/frontend]
      spiffe: ["spiffe://example.org/ns/shop/sa/checkout", "spiffe://example.org/ns/web/*"]
    ports: [{port: 8443, protocol: TCP}, {name: https}]
    http:
    - methods: [POST, GET]
      path: {prefix: /v1/charges}
      hosts: [payments.shop, "*.example.org"]
      headers: [{name: X-Canary, exact: ""}, {name: a, prefix: b}, {name: c, regex: "d+"}, {name: e, present: true}]
      query: [{name: q, exact: "1"}]
      claims: [{provider: idp, name: groups.x, exact: admins}, {provider: a, name: b, prefix: c}, {provider: a, name: b, regex: c}, {provider: a, name: b, present: true}]
    - grpc: {service: shop.v1.Checkout, method: Pay}
    - path: {exact: /}
    - path: {regex: "/a/[0-9]+"}
    expires: "2027-01-31T18:00:00Z"
    log: false
  - action: allow
    authentication: none
    exception: probes
    from: [{entity: own-node}]
    ports:
    - {port: 1, endPort: 65535, protocol: UDP}
    - {name: dns, protocol: UDP}
    - {protocol: SCTP}
    - {protocol: ICMP, icmp: {type: 0, code: 0}}
    - {protocol: ICMPv6, icmp: {type: 255}}
    - {protocolNumber: 47}
    - {protocolNumber: 0}
  egress:
  - action: deny
    to:
    - cidr: {cidr: 10.0.0.0/8, except: [10.1.0.0/16], matchPods: false}
    - cidr: {cidr: "::/0"}
    - dns: "**.example.org"
    - entity: world
  - {action: allow, name: all, mode: audit, http: [{methods: [GET]}], ports: [{port: 80}], log: true}
  - {action: allow, authentication: none, exception: a, expires: "2027-01-31"}
status:
  observedGeneration: 0
  mode: audit
  enforced: 3/3
  rules: 3
  conditions: [{type: Accepted, status: "True", lastTransitionTime: "2026-01-02T03:04:05.5+01:00", reason: Compiled, message: "", observedGeneration: 9007199254740993}]
`,
	"cluster": `
apiVersion: policy.weir.dev/v1alpha1
kind: ClusterMeshPolicy
metadata: {name: baseline}
spec:
  owner: platform
  purpose: what holds everywhere
  expires: "2027-01-31"
  mode: enforce
  tier: admin
  priority: 0
  subject: {namespaces: {matchLabels: {a: b}}, pods: {}, serviceAccounts: [shop/web]}
  ingress: [{action: pass, from: [{serviceAccounts: [shop/web]}]}, {action: allow, from: [{entity: kube-apiserver}]}, {action: allow, name: all, mode: audit, http: [{methods: [GET]}], ports: [{port: 80}], log: true}, {action: allow, authentication: none, exception: a, expires: "2027-01-31"}]
  egress: [{action: deny, to: [{serviceAccounts: [shop/web], namespaces: {matchExpressions: [{key: a, operator: DoesNotExist}]}}]}, {action: allow, name: all, mode: audit, http: [{methods: [GET]}], ports: [{port: 80}], log: true}, {action: allow, authentication: none, exception: a, expires: "2027-01-31"}]
status: {rules: 3}
`,
	"config": `
apiVersion: policy.weir.dev/v1alpha1
kind: MeshConfig
metadata: {name: default}
spec:
  owner: platform
  purpose: one mesh
  trustDomain: example.org
  ranges: {pods: [10.0.0.0/16, "fd00::/48"], nodes: [192.168.0.0/24], services: [10.96.0.0/12]}
  enrolment: [{namespaces: {matchLabels: {weir.dev/mesh: enabled}}, pods: {}}]
  enforceNetworkPolicy: false
  waypoints: {scope: serviceAccount, selectors: [{namespaces: {}}]}
  defaults: {log: all}
  capacity: {maxDecisions: 1, maxClasses: 65535, maxMapMiB: 64}
  jwtProviders: [{name: idp, issuer: "https://idp.example.org", audiences: [shop], jwks: '{"keys":[]}'}]
  kubeAPIServer: {addresses: [192.0.2.1, "2001:db8::1"]}
status: {enforced: 1/1}
`,
	"exception": `
apiVersion: policy.weir.dev/v1alpha1
kind: MeshException
metadata: {name: public-web}
spec:
  owner: web team
  approver: security
  reason: browsers have no SVID
  risk: RISK-12
  expires: "2027-01-31"
  platform: false
  covers: [{kind: MeshPolicy, namespace: web, policy: frontend, rule: from the internet}, {kind: ClusterMeshPolicy}]
status: {conditions: []}
`,
	"platform": `
apiVersion: policy.weir.dev/v1alpha1
kind: MeshException
metadata: {name: cluster-dns}
spec: {owner: platform, approver: security, reason: names, risk: RISK-1, platform: true, covers: [{kind: ClusterMeshPolicy, policy: dns}]}
`,
	"route": `
apiVersion: policy.weir.dev/v1alpha1
kind: MeshRoute
metadata: {name: reviews, namespace: shop}
spec:
  owner: shop team
  purpose: canaries
  service: reviews
  port: 80
  hosts: [reviews.shop]
  connections: {max: 1, pending: 2, requests: 3}
  rules:
  - name: canary
    matches: [{method: GET, path: {prefix: /v1}, headers: [{name: a, exact: b}], query: [{name: c, regex: d}]}]
    backends: [{service: v1, port: 80, weight: 0}, {service: v2, namespace: other, port: 80, weight: 1}]
    rewrite: {host: new.example.org, path: {prefix: /}}
    requestHeaders: {set: [{name: a, value: ""}], add: [{name: b, value: c}], remove: [d]}
    responseHeaders: {remove: [server]}
    timeouts: {request: 0s, backendRequest: 1s}
    retries: {attempts: 1, codes: [503], "on": [reset], backoff: 10ms, budget: {percent: 20, minConcurrent: 0}}
    mirrors: [{backend: {service: shadow, namespace: x, port: 80}, percent: 0}]
    rateLimit: {requests: 10, per: second, burst: 20}
    maxBodyBytes: 0
    fault: {expires: "2026-12-24T00:00:00Z", delay: {duration: 1s, percent: 100}, abort: {status: 503, percent: 1}}
  - matches: [{grpc: {service: a.B}}, {path: {prefix: /old}}]
    timeouts: {request: 2s, backendRequest: 2s}
    fault: {expires: "2026-12-24", abort: {grpcStatus: 14, percent: 0}}
  - matches: [{path: {prefix: /gone}}]
    redirect: {scheme: https, host: example.org, port: 443, path: {prefix: /new}, status: 308}
  - redirect: {path: {full: /}}
status: {}
`,
	"test": `
from: shop/checkout
to: shop/payments
port: 8443
http: {method: POST, path: "/v1/charges?x=1", host: payments, headers: {X-A: ""}, claims: {idp: {groups: a}}}
expect: redirect
authentication: required
`,
	"ping": `{from: 192.0.2.1, to: shop/web, protocol: ICMP, icmp: {type: 8}, expect: allow, authentication: none, exception: ping}`,
	"gre":  `{from: world, to: shop/web, protocolNumber: 47, expect: deny}`,
	"dns":  `{from: shop/web, to: kube-system/dns, name: dns, protocol: UDP, expect: allow}`,
}

var kindOf = map[string]string{
	"policy": "MeshPolicy", "cluster": "ClusterMeshPolicy", "config": "MeshConfig", "exception": "MeshException",
	"platform": "MeshException", "route": "MeshRoute", "test": "Test", "ping": "Test", "gre": "Test", "dns": "Test",
}

var refused = []Refusal{
	// S14: an empty list is an error that says so.
	{"policy", "spec.ingress", "[]", `ingress is empty: leave the field out, or write isolate: ["ingress"] to close the subject`},
	{"policy", "spec.egress", "[]", `egress is empty: leave the field out, or write isolate: ["egress"] to close the subject`},
	{"policy", "spec.isolate", "[]", "isolate is empty: leave the field out, or name ingress or egress"},
	{"policy", "spec.isolate", "[egress, egress]", "isolate names a direction twice"},
	{"policy", "spec", "{subject: {}}", "a policy needs ingress, egress or isolate"},
	{"policy", "spec.subject.matchExpressions", "[]", "matchExpressions is empty: leave the field out"},
	{"policy", "spec.subject.serviceAccounts", "[]", "serviceAccounts is empty: leave the field out for any"},
	{"policy", "spec.subject.matchExpressions.0", "{key: a, operator: In}", "In and NotIn need values"},
	{"policy", "spec.subject.matchExpressions.0", "{key: a, operator: NotIn, values: []}", "values is empty: In and NotIn need at least one"},
	{"policy", "spec.subject.matchExpressions.0", "{key: a, operator: DoesNotExist, values: [a]}", "Exists and DoesNotExist take no values"},
	{"policy", "spec.ingress.0.from.0.pods", "{matchExpressions: []}", "matchExpressions is empty: leave the field out"},
	{"policy", "spec.ingress.0.from", "[]", "from is empty: leave the field out for any, or write what you mean"},
	{"policy", "spec.ingress.0.ports", "[]", "ports is empty: leave the field out for any, or write what you mean"},
	{"policy", "spec.ingress.0.http", "[]", "http is empty: leave the field out for any, or write what you mean"},
	{"policy", "spec.egress.0.to", "[]", "to is empty: leave the field out for any, or write what you mean"},
	// Actions, authentication, ends.
	{"policy", "spec.ingress.0.action", "pass", "pass is an action of a ClusterMeshPolicy of the admin tier only"},
	{"policy", "spec.egress.0.action", "pass", "pass is an action of a ClusterMeshPolicy of the admin tier only"},
	{"policy", "spec.egress.0.expires", "'2027-01-01'", "only an allow may expire"},
	{"policy", "spec.egress.0.authentication", "required", "authentication belongs to an allow"},
	{"policy", "spec.ingress.1.exception", "-", "authentication none needs an exception from the register: exception: NAME"},
	{"policy", "spec.ingress.1.authentication", "-", "exception goes with authentication none"},
	{"policy", "spec.ingress.1.authentication", "required", "exception goes with authentication none"},
	// Peers.
	{"policy", "spec.ingress.0.from.0", "{}", "a peer is empty: name pods, namespaces, serviceAccounts, spiffe, a cidr, a dns name or an entity"},
	{"policy", "spec.ingress.0.from.0.cidr", "{cidr: 10.0.0.0/8}", "a peer with a cidr has nothing else: write a second peer"},
	{"policy", "spec.egress.0.to.2.pods", "{}", "a peer with a dns name has nothing else: write a second peer"},
	{"policy", "spec.egress.0.to.3.pods", "{}", "a peer with an entity has nothing else: write a second peer"},
	{"policy", "spec.ingress.0.from.0.serviceAccounts", "[]", "serviceAccounts is empty: leave the field out for any"},
	{"policy", "spec.ingress.0.from.0.spiffe", "[]", "spiffe is empty: leave the field out for any"},
	{"policy", "spec.egress.0.to.0.cidr.except", "[]", "except is empty: leave the field out"},
	{"policy", "spec.ingress.0.from.0", "{dns: a.example.org}", "a dns name is a peer of egress only"},
	{"policy", "spec.egress.0.to.3.entity", "own-node", "own-node is a peer of ingress only"},
	// Ports.
	{"policy", "spec.ingress.1.ports.0.protocol", "-", "a port needs a protocol: TCP, UDP, SCTP, ICMP or ICMPv6"},
	{"policy", "spec.ingress.0.ports.0.protocol", "UDP", "http implies TCP: another protocol can't match"},
	{"policy", "spec.ingress.0.ports.0", "{protocolNumber: 47}", "http implies TCP: another protocol can't match"},
	{"policy", "spec.ingress.1.ports.0.name", "a", "a port has port or name, not both"},
	{"policy", "spec.ingress.1.ports.1.endPort", "9", "endPort needs port"},
	{"policy", "spec.ingress.1.ports.0", "{port: 9, endPort: 8, protocol: TCP}", "endPort is below port"},
	{"policy", "spec.ingress.1.ports.5.protocol", "TCP", "a port has protocol or protocolNumber, not both"},
	{"policy", "spec.ingress.1.ports.5.port", "1", "protocolNumber has no ports"},
	{"policy", "spec.ingress.1.ports.5.protocolNumber", "6", "this protocol has a name: ICMP, TCP, UDP, ICMPv6 or SCTP"},
	{"policy", "spec.ingress.1.ports.5", "{icmp: {type: 1}}", "icmp needs protocol ICMP or ICMPv6"},
	{"policy", "spec.ingress.1.ports.3.protocol", "UDP", "icmp needs protocol ICMP or ICMPv6"},
	{"policy", "spec.ingress.1.ports.3.port", "8", "ICMP has no ports: use icmp"},
	// Requests.
	{"policy", "spec.ingress.0.http.0", "{}", `a request matches nothing in particular: for any request write path: {prefix: "/"}`},
	{"policy", "spec.ingress.0.http.0.methods", "[]", "methods is empty: leave the field out for any"},
	{"policy", "spec.ingress.0.http.0.hosts", "[]", "hosts is empty: leave the field out for any"},
	{"policy", "spec.ingress.0.http.0.headers", "[]", "headers is empty: leave the field out"},
	{"policy", "spec.ingress.0.http.0.query", "[]", "query is empty: leave the field out"},
	{"policy", "spec.ingress.0.http.0.claims", "[]", "claims is empty: leave the field out"},
	{"policy", "spec.ingress.0.http.1.methods", "[POST]", "grpc names the path and the method (POST) itself: leave path and methods out"},
	{"policy", "spec.ingress.0.http.0.path", "{}", "a path needs exact, prefix or regex"},
	{"policy", "spec.ingress.0.http.0.path.exact", "/", "a path has one of exact, prefix and regex"},
	{"policy", "spec.ingress.0.http.0.path.regex", "/", "a path has one of exact, prefix and regex"},
	{"policy", "spec.ingress.0.http.0.headers.0.exact", "-", "a match needs exact, prefix, regex or present"},
	{"policy", "spec.ingress.0.http.0.headers.0.prefix", "a", "a match has one of exact, prefix, regex and present"},
	{"policy", "spec.ingress.0.http.0.headers.1.regex", "a", "a match has one of exact, prefix, regex and present"},
	{"policy", "spec.ingress.0.http.0.headers.2.present", "true", "a match has one of exact, prefix, regex and present"},
	{"policy", "spec.ingress.0.http.0.headers.3.present", "false", ""},
	{"policy", "spec.ingress.0.http.0.claims.0.exact", "-", "a match needs exact, prefix, regex or present"},
	{"policy", "spec.ingress.0.http.0.claims.0.prefix", "a", "a match has one of exact, prefix, regex and present"},
	{"policy", "spec.ingress.0.http.0.claims.0", "{provider: a, name: b, prefix: c, regex: d}", "a match has one of exact, prefix, regex and present"},
	{"policy", "spec.ingress.0.http.0.claims.0", "{provider: a, name: b, regex: c, present: true}", "a match has one of exact, prefix, regex and present"},
	// ClusterMeshPolicy.
	{"cluster", "spec.ingress", "[]", "ingress is empty: leave the field out"},
	{"cluster", "spec.egress", "[]", "egress is empty: leave the field out"},
	{"cluster", "spec", "{tier: admin, priority: 1, subject: {}}", "a policy needs ingress or egress"},
	{"cluster", "spec.tier", "baseline", "pass is an action of the admin tier only"},
	{"cluster", "spec", "{tier: baseline, priority: 1, subject: {}, egress: [{action: pass}]}", "pass is an action of the admin tier only"},
	{"cluster", "spec.subject.serviceAccounts", "[]", "serviceAccounts is empty: leave the field out for any"},
	{"cluster", "spec.subject.serviceAccounts", "[web]", `a service account in a cluster kind is "namespace/name"`},
	{"cluster", "spec.ingress.0.from.0.serviceAccounts", "[web]", `a service account in a cluster kind is "namespace/name"`},
	{"cluster", "spec.egress.0.to.0.serviceAccounts", "[shop/a, web]", `a service account in a cluster kind is "namespace/name"`},
	{"cluster", "spec.ingress.0.expires", "'2027-01-01'", "only an allow may expire"},
	{"cluster", "spec.ingress.0.authentication", "required", "authentication belongs to an allow"},
	{"cluster", "spec.ingress.0.from", "[]", "from is empty: leave the field out for any, or write what you mean"},
	{"cluster", "spec.ingress.0.from", "[{dns: a.b}]", "a dns name is a peer of egress only"},
	{"cluster", "spec.egress.0.to", "[]", "to is empty: leave the field out for any, or write what you mean"},
	{"cluster", "spec.egress.0.to", "[{entity: own-node}]", "own-node is a peer of ingress only"},
	{"cluster", "spec.priority", "1001", ""},
	{"cluster", "spec.priority", "-1", ""},
	{"cluster", "spec.priority", "-", ""},
	// MeshConfig.
	{"config", "metadata.name", "other", "a mesh has one MeshConfig, and its name is default"},
	{"config", "spec.enrolment", "[]", "enrolment is empty: leave the field out for the default"},
	{"config", "spec.jwtProviders", "[]", "jwtProviders is empty: leave the field out"},
	{"config", "spec.ranges.pods", "[]", "pods is empty: leave the field out"},
	{"config", "spec.ranges.nodes", "[]", "nodes is empty: leave the field out"},
	{"config", "spec.ranges.services", "[]", "services is empty: leave the field out"},
	{"config", "spec.waypoints.selectors", "[]", "selectors is empty: leave the field out for any"},
	{"config", "spec.jwtProviders.0.audiences", "[]", "audiences is empty: a token for anyone would do"},
	{"config", "spec.kubeAPIServer.addresses", "[]", "addresses is empty: leave kubeAPIServer out"},
	{"config", "spec.kubeAPIServer.addresses.0", "fe80::1%eth0", ""},
	{"config", "spec.kubeAPIServer.addresses.0", "'::ffff:192.0.2.1'", ""},
	{"config", "spec.kubeAPIServer.addresses.0", "'::ffff:c000:201'", ""},
	{"config", "spec.kubeAPIServer.addresses.0", "192.0.2", ""},
	{"config", "spec.ranges.pods.0", "10.0.0.0/33", ""},
	{"config", "spec.ranges.pods.0", "010.0.0.0/8", ""},
	{"config", "spec.ranges.pods.0", "'::ffff:0:0/96'", ""},
	{"config", "spec.capacity.maxClasses", "0", ""},
	{"config", "spec.trustDomain", "Example.org", ""},
	// MeshException.
	{"exception", "spec.covers", "[]", "covers is empty: name the policies that may use the exception"},
	{"exception", "spec.covers.0", "{rule: a}", "an entry of covers needs kind, namespace or policy"},
	{"exception", "spec.covers.1.namespace", "a", "a ClusterMeshPolicy has no namespace"},
	{"exception", "spec.expires", "-", "an exception needs an end: expires"},
	{"platform", "spec.platform", "-", "an exception needs an end: expires"},
	{"platform", "spec.expires", "'2027-01-01'", "a platform exception has no end: leave expires out"},
	{"exception", "spec.approver", "web team", "owner and approver must differ"},
	{"exception", "spec.expires", "'2027-02-30'", "an end is a date such as 2027-01-31 or a time such as 2027-01-31T18:00:00Z (UTC)"},
	{"exception", "spec.expires", "'2027-01-01T25:00:00Z'", "an end is a date such as 2027-01-31 or a time such as 2027-01-31T18:00:00Z (UTC)"},
	{"exception", "spec.expires", "'2027-01-01T00:00:00+01:00'", ""},
	{"exception", "spec.expires", "tomorrow", ""},
	// MeshRoute.
	{"route", "spec.hosts", "[]", "hosts is empty: leave the field out for any"},
	{"route", "spec.rules", "[]", "rules is empty: a route needs one"},
	{"route", "spec.rules.0.matches", "[]", "matches is empty: leave the field out for any"},
	{"route", "spec.rules.0.backends", "[]", "backends is empty: leave the field out for the route's service"},
	{"route", "spec.rules.0.mirrors", "[]", "mirrors is empty: leave the field out"},
	{"route", "spec.rules.2.backends", "[{service: a, port: 1}]", "a redirect has no backends, rewrite, retries, timeouts or mirrors"},
	{"route", "spec.rules.0.matches", "-", "a prefix can be rewritten only where every match has path: {prefix: ...}"},
	{"route", "spec.rules.0.matches.0.path", "-", "a prefix can be rewritten only where every match has path: {prefix: ...}"},
	{"route", "spec.rules.0.matches.0.path", "{exact: /}", "a prefix can be rewritten only where every match has path: {prefix: ...}"},
	{"route", "spec.rules.2.matches", "-", "a prefix can be replaced only where every match has path: {prefix: ...}"},
	{"route", "spec.rules.2.matches.0", "{method: GET}", "a prefix can be replaced only where every match has path: {prefix: ...}"},
	{"route", "spec.rules.2.matches.0.path", "{regex: a}", "a prefix can be replaced only where every match has path: {prefix: ...}"},
	{"route", "spec.rules.0.matches.0", "{}", "a match matches nothing in particular: for any request leave matches out"},
	{"route", "spec.rules.0.matches.0.headers", "[]", "headers is empty: leave the field out"},
	{"route", "spec.rules.0.matches.0.query", "[]", "query is empty: leave the field out"},
	{"route", "spec.rules.1.matches.0.method", "POST", "grpc names the path and the method (POST) itself: leave path and method out"},
	{"route", "spec.rules.0.rewrite", "{}", "a rewrite needs host or path"},
	{"route", "spec.rules.0.rewrite.path", "{}", "a path change needs full or prefix"},
	{"route", "spec.rules.0.rewrite.path.full", "/", "a path change has full or prefix, not both"},
	{"route", "spec.rules.2.redirect", "{status: 301}", "a redirect needs scheme, host, port or path"},
	{"route", "spec.rules.2.redirect.status", "304", ""},
	{"route", "spec.rules.0.requestHeaders", "{}", "header changes need set, add or remove"},
	{"route", "spec.rules.0.requestHeaders.set", "[]", "set is empty: leave the field out"},
	{"route", "spec.rules.0.requestHeaders.add", "[]", "add is empty: leave the field out"},
	{"route", "spec.rules.0.requestHeaders.remove", "[]", "remove is empty: leave the field out"},
	{"route", "spec.rules.0.requestHeaders.set.0.value", `"a\nb"`, ""},
	{"route", "spec.rules.1.timeouts.backendRequest", "2001ms", "backendRequest is above request"},
	{"route", "spec.rules.1.timeouts.request", "1.5s", ""},
	{"route", "spec.rules.0.retries.codes", "[]", "codes is empty: leave the field out"},
	{"route", "spec.rules.0.retries.on", "[]", "on is empty: leave the field out"},
	{"route", "spec.rules.0.retries.budget", "-", ""},
	{"route", "spec.rules.0.fault", "{expires: '2027-01-01'}", "a fault needs delay or abort"},
	{"route", "spec.rules.0.fault.expires", "-", ""},
	{"route", "spec.rules.0.fault.abort.status", "-", "an abort needs status or grpcStatus"},
	{"route", "spec.rules.0.fault.abort.grpcStatus", "1", "an abort has status or grpcStatus, not both"},
	// Types, bounds, patterns, names.
	{"policy", "spec.ingress.0.ports.0.port", "844300", ""},
	{"policy", "spec.ingress.0.ports.0.port", "0", ""},
	{"policy", "spec.ingress.0.ports.0.port", "'80'", ""},
	{"policy", "spec.ingress.0.ports.1.name", "'8080'", ""},
	{"policy", "spec.ingress.0.ports.1.name", "a--b", ""},
	{"policy", "spec.ingress.0.ports", "{}", ""},
	{"policy", "spec.ingress.0.log", "'no'", ""},
	{"policy", "spec.ingress.0.name", "''", ""},
	{"policy", "spec.mode", "enforced", ""},
	{"policy", "spec.subject", "-", ""},
	{"policy", "spec.subject.matchLabel", "{app: a}", "unknown field"},
	{"policy", "spec.ingress.0.from.0.pod", "{}", "unknown field"},
	{"policy", "spec.ingress.0.from.0._used", "true", "unknown field"},
	{"policy", "spec.subject.matchLabels", "{'a b': c}", "a label's key is an optional DNS prefix and \"/\", then letters, digits, '-', '_' and '.'"},
	{"policy", "spec.subject.matchLabels", "{a: 'b c'}", ""},
	{"policy", "spec.subject.matchLabels", "{a: 1}", ""},
	{"policy", "spec.ingress.0.from.0.spiffe.0", "spiffe://example.org", ""},
	{"policy", "spec.ingress.0.from.0.spiffe.0", "spiffe://example.org/a*", ""},
	{"policy", "spec.ingress.0.from.0.spiffe.0", "'*'", ""},
	{"policy", "spec.egress.0.to.2.dns", "a.*.example.org", ""},
	{"policy", "spec.egress.0.to.2.dns", "'*'", ""},
	{"policy", "spec.egress.0.to.2.dns", "example.org.", ""},
	{"policy", "spec.ingress.0.http.0.path.prefix", "v1", ""},
	{"policy", "spec.ingress.0.http.0.path.prefix", "/v1?x", ""},
	{"policy", "spec.ingress.0.http.0.path.prefix", `/v1\x`, ""},
	{"policy", "spec.ingress.0.http.0.methods.0", "post", ""},
	{"policy", "spec.ingress.0.http.0.hosts.0", "Example.org", ""},
	{"policy", "spec.ingress.0.http.0.headers.0.name", "'a b'", ""},
	{"policy", "status.conditions.0.lastTransitionTime", "'2026-02-30T00:00:00Z'", ""},
	// Tests.
	{"test", "name", "https", "a test has port or name, not both"},
	{"dns", "protocol", "-", "a test needs a protocol: TCP, UDP, SCTP, ICMP or ICMPv6"},
	{"gre", "port", "1", "protocolNumber goes with from, to and expect only"},
	{"ping", "protocol", "UDP", "icmp needs protocol ICMP or ICMPv6"},
	{"ping", "icmp", "-", "a test of ICMP needs icmp: {type: ...}"},
	{"ping", "port", "8", "ICMP has no ports: use icmp"},
	{"dns", "name", "-", "a test needs port or name"},
	{"test", "port", "-", "a test needs port or name"},
	{"test", "protocol", "UDP", "http implies TCP"},
	{"test", "expect", "deny", "a denied flow has no authentication"},
	{"ping", "expect", "deny", "a denied flow needs no exception"},
	{"test", "expect", "allowed", ""},
	{"test", "from", "''", ""},
}

// refusedRules are rules that no direction and no kind of policy accepts.
var refusedRules = []struct{ rule, message string }{
	{"{action: allow, ports: []}", "ports is empty: leave the field out for any, or write what you mean"},
	{"{action: allow, http: []}", "http is empty: leave the field out for any, or write what you mean"},
	{"{action: allow, ports: [{port: 1}]}", "a port needs a protocol: TCP, UDP, SCTP, ICMP or ICMPv6"},
	{"{action: allow, http: [{methods: [GET]}], ports: [{port: 1, protocol: UDP}]}", "http implies TCP: another protocol can't match"},
	{"{action: allow, http: [{methods: [GET]}], ports: [{protocolNumber: 47}]}", "http implies TCP: another protocol can't match"},
	{"{action: allow, authentication: none}", "authentication none needs an exception from the register: exception: NAME"},
	{"{action: deny, expires: '2027-01-01'}", "only an allow may expire"},
	{"{action: deny, authentication: required}", "authentication belongs to an allow"},
	{"{action: allow, exception: a}", "exception goes with authentication none"},
	{"{action: allow, authentication: required, exception: a}", "exception goes with authentication none"},
	{"{action: permit}", ""},
	{"{}", ""},
}

// rulePlaces are where a rule can stand.
var rulePlaces = []struct{ base, path string }{
	{"policy", "spec.ingress.0"}, {"policy", "spec.egress.0"}, {"cluster", "spec.ingress.0"}, {"cluster", "spec.egress.0"},
}
