// Package apiserver runs a real etcd and kube-apiserver for tests, and tests with them that Weir's kinds are what a
// cluster's API server makes of them.
package apiserver
