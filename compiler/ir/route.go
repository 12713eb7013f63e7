package ir

import (
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
)

// Route is one object that says how requests to a service travel.
type Route struct {
	// Kind, Namespace and Name identify the object.
	Kind, Namespace, Name string
	Pos                   diag.Position
	// Created orders routes of equal precedence, oldest first; zero where the source has no age: then names do (S26).
	Created time.Time
	// Service is the service, in the route's namespace, whose requests it is about; Port 0 is every port.
	Service string
	Port    uint16
	// Hosts is nil for any; lower case, exact or with a leading "*.".
	Hosts []string
	Rules []RouteRule
	// Connections caps what a backend of the service gets; zero fields are no cap.
	Connections ConnectionLimits
}

// Object prints "Kind namespace/name".
func (r *Route) Object() string { return r.Kind + " " + r.Namespace + "/" + r.Name }

// RouteRule says what happens to the requests that it matches.
type RouteRule struct {
	Index int
	Name  string
	Pos   diag.Position
	// Matches is nil for every request. Hosts and Claims of a match are unused here.
	Matches []HTTPMatch
	// Backends is nil for the route's own service.
	Backends        []RouteBackend
	Redirect        *Redirect
	Rewrite         *Rewrite
	RequestHeaders  HeaderChanges
	ResponseHeaders HeaderChanges
	Timeouts        Timeouts
	Retries         *Retries
	Mirrors         []Mirror
	RateLimit       *RateLimit
	// MaxBodyBytes is nil for no bound.
	MaxBodyBytes *uint32
	Fault        *Fault
}

// RouteBackend is a service that gets a share of the requests.
type RouteBackend struct {
	Namespace, Service string
	Port               uint16
	Weight             uint32
	Pos                diag.Position
}

// PathChange replaces a path: the whole of it by Full, or the matched prefix by Prefix. Exactly one is set.
type PathChange struct{ Full, Prefix *string }

// Redirect answers with another address; empty fields stay as in the request.
type Redirect struct {
	Scheme, Host string
	Port         uint16
	Path         *PathChange
	Status       int
}

// Rewrite changes a request before a backend sees it.
type Rewrite struct {
	Host string
	Path *PathChange
}

// HeaderChanges changes headers.
type HeaderChanges struct {
	Set, Add []HeaderValue
	Remove   []string
}

// HeaderValue is a header and a value that is taken as it is.
type HeaderValue struct{ Name, Value string }

// Timeouts of a request; nil is unset, zero is no timeout.
type Timeouts struct{ Request, BackendRequest *time.Duration }

// RetryOn is a failure that is tried again.
type RetryOn uint8

// The failures; from RetryCancelled on they are gRPC statuses.
const (
	RetryConnectFailure RetryOn = iota
	RetryReset
	RetryRefusedStream
	RetryCancelled
	RetryDeadlineExceeded
	RetryInternal
	RetryResourceExhausted
	RetryUnavailable
)

func (r RetryOn) String() string {
	return [...]string{"connect-failure", "reset", "refused-stream", "cancelled", "deadline-exceeded", "internal",
		"resource-exhausted", "unavailable"}[r]
}

// Retries says when and how often a request is tried again. Without Codes and On: connect-failure, reset and 503.
type Retries struct {
	Attempts uint32
	Codes    []uint32
	On       []RetryOn
	// Backoff is the wait before the first retry; zero is the proxy's default.
	Backoff time.Duration
	// BudgetPercent bounds retries under way as a share of the requests under way; MinConcurrent are always permitted.
	BudgetPercent uint32
	MinConcurrent uint32
}

// Mirror sends copies of a share of the requests to a backend; its answers are dropped. Percent is 0 to 100.
type Mirror struct {
	Backend RouteBackend
	Percent uint32
}

// RateLimit lets Requests pass in each span Per, Burst at once, in each replica of the waypoint.
type RateLimit struct {
	Requests, Burst uint32
	Per             time.Duration
}

// ConnectionLimits caps what a backend gets from each replica of the waypoint; zero is no cap.
type ConnectionLimits struct{ Max, Pending, Requests uint32 }

// Fault injects delays and aborts until Expires, which is never zero (a fault without an end is an error).
type Fault struct {
	Expires time.Time
	Delay   *FaultDelay
	Abort   *FaultAbort
}

// FaultDelay makes a share of the requests wait.
type FaultDelay struct {
	Duration time.Duration
	Percent  uint32
}

// FaultAbort answers a share of the requests itself: with an HTTP status or, if that is 0, a gRPC status.
type FaultAbort struct {
	Status, GRPCStatus uint32
	Percent            uint32
}

// ReferenceGrant permits routes of one namespace to name services of another (the Gateway API's kind).
type ReferenceGrant struct {
	// From is the namespace of the routes, Namespace that of the services; Service empty permits all of them.
	From, Namespace, Service string
	Pos                      diag.Position
}

// JWTProvider is an issuer of JSON web tokens, with its keys.
type JWTProvider struct {
	Name, Issuer string
	Audiences    []string
	// JWKS is the key set (RFC 7517) as text.
	JWKS string
	Pos  diag.Position
}
