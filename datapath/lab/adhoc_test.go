package lab

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/compile"
)

func TestAdhoc(t *testing.T) {
	path := os.Getenv("LABPATH")
	if path == "" {
		t.Skip("LABPATH")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	res, err := compile.Compile(ctx, compile.Options{Paths: strings.Split(path, ","), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range res.Diagnostics {
		t.Log(d)
	}
	nodes := 1
	if os.Getenv("NODES") == "2" {
		nodes = 2
	}
	start := time.Now()
	r, err := Run(ctx, Source{Policies: res.Policies, Inventory: res.Inventory, Config: res.Config, Now: time.Now()}, Options{Nodes: nodes, Out: os.Stdout})
	t.Log(time.Since(start), err)
	if err != nil || r.Failed() {
		t.Fail()
	}
}
