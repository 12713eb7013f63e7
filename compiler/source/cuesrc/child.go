package cuesrc

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/weir-mesh/weir/compiler/source/manifest"
)

// ChildArg is the argument with which a program that gets it must call ChildMain, and nothing else.
const ChildArg = "__eval"

// request is what the parent sends.
type request struct {
	Paths  []string
	Files  []manifest.File
	Memory int64
}

// message is what the child answers: Progress as often as it likes, then one of the others.
type message struct {
	Progress []string
	Bundle   *Bundle
	Failure  string
}

// The child's exit statuses that say why it gave up.
const (
	exitFailed   = 1
	exitOrphaned = 3
	exitMemory   = 4
)

// watchInterval is how often memory is looked at. A Go program gets at most some 100 MB in that time.
const watchInterval = 20 * time.Millisecond

// ChildMain is the child process: it evaluates what the request on stdin asks for and writes the answer to stdout.
// It ends when stdin does, so that it does not outlive its parent. It returns the exit status.
func ChildMain(stdin io.Reader, stdout io.Writer) int {
	var req request
	if err := gob.NewDecoder(stdin).Decode(&req); err != nil {
		return exitFailed
	}
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		os.Exit(exitOrphaned)
	}()
	// Garbage is collected less often than usual, which saves a third of the time, and as often as needed near
	// the limit. A runaway recursion ends at a stack of 256 MiB, before the memory does.
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(req.Memory / 4 * 3)
	debug.SetMaxStack(256 << 20)
	go watchSelf(req.Memory)
	enc := gob.NewEncoder(stdout)
	answer := answerTo(req, func(files []string) { _ = enc.Encode(message{Progress: files}) })
	if err := enc.Encode(answer); err != nil {
		return exitFailed
	}
	return 0
}

func answerTo(req request, progress func([]string)) (m message) {
	defer func() {
		if r := recover(); r != nil { // a defect of CUE's or ours; its stack helps no user
			m = message{Failure: truncateTo(oneLine(fmt.Sprint(r)), 4*maxValue)}
		}
	}()
	b, err := Evaluate(context.Background(), req.Paths, progress, req.Files...)
	if err != nil {
		return message{Failure: err.Error()}
	}
	return message{Bundle: b}
}

// watchSelf ends the process when the Go runtime holds more memory than it may. The parent watches too, where
// the system tells it.
func watchSelf(limit int64) {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	for range time.Tick(watchInterval) {
		metrics.Read(samples)
		if held := samples[0].Value.Uint64() - samples[1].Value.Uint64(); limit > 0 && held > uint64(limit) {
			os.Exit(exitMemory)
		}
	}
}

// receive reads the child's messages until its answer; progress is told which files it works on.
func receive(r io.Reader, progress func([]string)) (*Bundle, error) {
	dec := gob.NewDecoder(r)
	for {
		var m message
		if err := dec.Decode(&m); err != nil {
			return nil, err
		}
		switch {
		case m.Failure != "":
			return nil, errors.New(m.Failure)
		case m.Bundle != nil:
			return m.Bundle, nil
		}
		progress(m.Progress)
	}
}
