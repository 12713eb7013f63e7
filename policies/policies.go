// Package policies holds those of the policies that ship which commands write out.
package policies

import "embed"

// Baseline is what every workload of a mesh needs of the platform: the cluster's DNS, and probes (S18).
//
//go:embed baseline/dns.cue baseline/probes.cue
var Baseline embed.FS
