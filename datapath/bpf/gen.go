// Package bpf holds the classifier's source and what clang made of it. `make generate` rebuilds the objects with the
// pinned compiler; a test rebuilds them and compares the bytes.
package bpf

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -go-package bpf -tags linux -target amd64,arm64 -cc clang-19 -strip llvm-strip-19 -output-stem weir Weir weir.c -- -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -mcpu=v3
