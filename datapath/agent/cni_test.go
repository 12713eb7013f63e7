//go:build linux

package agent_test

import (
	"testing"

	"github.com/weir-mesh/weir/datapath/internal/netlab"
	"github.com/weir-mesh/weir/internal/built"
	"github.com/weir-mesh/weir/internal/strict"
)

// TestPlugins enforces on pods that the CNI project's own plugins connect: ptp routes each pod, bridge makes their veths
// the ports of a bridge. One goes and comes back while the agent runs.
func TestPlugins(t *testing.T) {
	dir, err := built.Dir("../..", "cni", "bridge", "host-local", "ptp")
	if err != nil {
		strict.Skip(t, err)
	}
	for _, name := range []string{"ptp", "bridge"} {
		t.Run(name, func(t *testing.T) {
			n := newNodeOn(t, func(l *netlab.Lab) { l.UsePlugin(dir, name) })
			n.write(n.projection(1, 0, open))
			a := n.start()
			a.await(`generation=1 .*attached="\[shop/a shop/b\]" .*missing=\[\]`)
			n.want("connected by "+name, true, false)
			first := n.b.Interface
			n.b.Disconnect()
			a.await(`level=INFO msg="a pod of the plan is gone" pod=shop/b`)
			n.b.Connect()
			if n.b.Interface == first {
				t.Fatalf("the pod came back as %s, which it was", first)
			}
			a.await(`generation=1 .*attached=\[shop/b\] .*missing=\[\]`)
			n.a.IP("neigh flush dev eth0") // ARP holds on to a new entry for a second, and this is quicker
			n.want("come back by "+name, true, false)
		})
	}
}
