// Package v1alpha1 holds the Go types of the kinds of policy.weir.dev/v1alpha1 and of tests, generated from the CUE
// definitions beside them. An optional field is nil when it is absent, and only then: absent, empty and zero survive
// every round trip (S14). A required field is no pointer, so a document is checked (schemas.Check) before it is decoded.
package v1alpha1
