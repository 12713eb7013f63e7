// Package conformance compares Weir's plan with data that others made: cyclonus' truth table and an independent
// analyser's list of connections. docs/conformance.md is its report.
package conformance
