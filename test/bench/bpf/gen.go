// Package bpf holds the benchmark's programs: Weir's decision beside two other designs.
package bpf

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -go-package bpf -tags linux -target amd64,arm64 -cc clang-19 -strip llvm-strip-19 -output-stem bench Bench bench.c -- -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -mcpu=v3
