//go:build linux

package progrun_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/datapath/internal/kerneltest"
	"github.com/weir-mesh/weir/datapath/internal/world"
	"github.com/weir-mesh/weir/datapath/progrun"
)

// The world of these tests: pod web on the node, pod db elsewhere, the node's own address, a service, the internet.
const (
	web4, web6   = "10.1.0.2", "fd00:1::2"
	local4       = "10.1.0.3" // another pod of the node
	db4, db6     = "10.2.0.9", "fd00:2::9"
	node4, node6 = "192.168.7.1", "fd00:7::1"
	vip4, vip6   = "10.96.0.10", "fd00:96::10"
	world4       = "198.51.100.7"
	world6       = "2001:db8:5::7"
)

// numbers of the fixture's decisions and rules, by what they are for.
type fixture struct {
	*world.World
	web                                              int
	deny, allow, auth, redirect, audit, expiring     uint16
	allowRule, authRule, auditRule, expireRule       int32
	db, local, host, socket, translated, outside     uint32
	frontend, selfFrontend, closedFrontend, authOnly uint32
	egress, ingress                                  *world.Table
}

func newFixture(generation uint64) *fixture {
	f := &fixture{World: world.New(generation)}
	f.allowRule, f.authRule = f.Rule("web.cue:3"), f.Rule("web.cue:9")
	f.auditRule, f.expireRule = f.Rule("web.cue:12"), f.Rule("web.cue:15")
	f.deny = f.Simple(plan.Deny, -1)
	f.allow = f.Simple(plan.Allow, f.allowRule)
	f.auth = f.Decision(plan.ProjectedDecision{Verdict: plan.Allow, Auth: plan.AuthRequired, Rule: f.authRule, AuditVerdict: plan.Allow, AuditRule: f.authRule, Log: true})
	f.redirect = f.Decision(plan.ProjectedDecision{Verdict: plan.Redirect, Rule: f.allowRule, AuditVerdict: plan.Redirect, AuditRule: f.allowRule})
	f.audit = f.Decision(plan.ProjectedDecision{Verdict: plan.Allow, Rule: f.allowRule, AuditVerdict: plan.Deny, AuditRule: f.auditRule, AuditDiffers: true})
	f.expiring = f.Decision(plan.ProjectedDecision{Verdict: plan.Allow, Rule: f.expireRule, AuditVerdict: plan.Allow, AuditRule: f.expireRule, NotAfter: 2000, Then: uint32(f.deny)})

	f.egress, f.ingress = f.Table(f.deny), f.Table(f.deny)
	f.web, _ = f.Pod("shop/web", f.egress, f.ingress, web4, web6)
	_, f.local = f.Pod("shop/local", f.egress, f.ingress, local4)
	f.db = f.Peer(plan.PodPeer, "shop/db")
	f.Address(db4, f.db)
	f.Address(db6, f.db)
	f.host, f.socket = f.Peer(plan.HostPeer, "host"), f.Peer(plan.OwnHostPeer, "own-node")
	f.translated, f.outside = f.Peer(plan.TranslatedPeer, "translated"), f.Peer(plan.WorldPeer, "198.51.100.0/24")
	f.Address(node4, f.translated, world.Own(f.socket, f.host))
	f.Address(node6, f.translated, world.Own(f.socket, f.host))
	f.Address("198.51.100.0/24", f.outside)
	f.Address("2001:db8:5::/48", f.outside)
	f.Address("10.0.0.0/8", 0)
	f.frontend = f.Frontend("shop/db:5432", ir.TCP, 5432, false, vip4, vip6)
	f.selfFrontend = f.Frontend("shop/web:80", ir.TCP, 80, false, vip4)
	f.closedFrontend = f.Frontend("shop/closed:81", ir.TCP, 81, false, vip4)
	f.authOnly = f.Frontend("shop/auth:82", ir.TCP, 82, true, vip4)

	f.egress.Port(f.db, ir.TCP, 5432, f.allow).Port(f.db, ir.TCP, 443, f.auth).Port(f.db, ir.TCP, 80, f.redirect).
		Port(f.db, ir.UDP, 53, f.allow).Port(f.db, ir.SCTP, 3868, f.allow).Port(f.db, ir.ICMPv4, 8<<8, f.allow).
		Port(f.db, ir.ICMPv6, 128<<8, f.allow).Port(f.db, ir.OtherProtocol, 47, f.allow).
		Port(f.db, ir.TCP, 6000, f.audit).Port(f.db, ir.TCP, 7000, f.expiring).
		Port(f.local, ir.TCP, 443, f.auth).All(f.outside, f.allow).Port(f.host, ir.TCP, 6443, f.allow)
	f.egress.Frontends[f.frontend] = f.allow
	f.egress.Frontends[f.authOnly] = f.auth
	f.ingress.Port(f.db, ir.TCP, 8080, f.allow).Port(f.local, ir.TCP, 443, f.auth).Port(f.db, ir.TCP, 443, f.auth).
		Port(f.socket, ir.TCP, 8081, f.allow).Port(f.translated, ir.TCP, 8082, f.allow)
	f.P.Endpoints[f.web].SelfFrontends = map[uint32]uint16{f.selfFrontend: f.allow}
	return f
}

var epoch = time.Unix(1000, 0)

func start(t testing.TB, p *plan.Projection, o progrun.Options) *progrun.Runner {
	t.Helper()
	kerneltest.Need(t)
	r, err := progrun.NewWith(p, epoch, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func flow(remote string, s ir.Space, number uint16) progrun.Flow {
	f := progrun.Flow{Local: netip.MustParseAddr(web4), Remote: netip.MustParseAddr(remote), Space: s, Number: number,
		LocalPort: 40000, RemotePort: number}
	if f.Remote.Is6() {
		f.Local = netip.MustParseAddr(web6)
	}
	return f
}

// inbound is a TCP flow that the other end opens.
func inbound(remote string, port uint16) progrun.Flow {
	f := flow(remote, ir.TCP, port)
	f.LocalPort, f.RemotePort = port, 40000
	return f
}

// TestFlows runs first packets in both directions, every space and family (S5, S8, S13, S20, S25, S27, S30).
func TestFlows(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	own := func(f progrun.Flow) progrun.Flow { f.OwnSocket = true; return f }
	const noDecision = 0xffff
	for _, c := range []struct {
		name     string
		hook     progrun.Hook
		flow     progrun.Flow
		drop     datapath.Drop
		decision uint16
	}{
		{"TCP to a pod", progrun.FromPod, flow(db4, ir.TCP, 5432), 0, f.allow},
		{"TCP to a pod, IPv6", progrun.FromPod, flow(db6, ir.TCP, 5432), 0, f.allow},
		{"the port below", progrun.FromPod, flow(db4, ir.TCP, 5431), datapath.DropPolicy, f.deny},
		{"the port above", progrun.FromPod, flow(db4, ir.TCP, 5433), datapath.DropPolicy, f.deny},
		{"the port in another protocol", progrun.FromPod, flow(db4, ir.UDP, 5432), datapath.DropPolicy, f.deny},
		{"UDP", progrun.FromPod, flow(db4, ir.UDP, 53), 0, f.allow},
		{"SCTP", progrun.FromPod, flow(db4, ir.SCTP, 3868), 0, f.allow},
		{"ICMP echo", progrun.FromPod, flow(db4, ir.ICMPv4, 8<<8), 0, f.allow},
		{"ICMP timestamp", progrun.FromPod, flow(db4, ir.ICMPv4, 13<<8), datapath.DropPolicy, f.deny},
		{"ICMPv6 echo", progrun.FromPod, flow(db6, ir.ICMPv6, 128<<8), 0, f.allow},
		{"ICMP error without a flow", progrun.FromPod, flow(db4, ir.ICMPv4, 3<<8|3), datapath.DropPolicy, f.deny},
		{"GRE", progrun.FromPod, flow(db4, ir.OtherProtocol, 47), 0, f.allow},
		{"ESP", progrun.FromPod, flow(db4, ir.OtherProtocol, 50), datapath.DropPolicy, f.deny},
		{"authentication to another node (S20)", progrun.FromPod, flow(db4, ir.TCP, 443), datapath.DropTunnelMissing, f.auth},
		{"authentication on the node (S20)", progrun.FromPod, flow(local4, ir.TCP, 443), 0, f.auth},
		{"authentication from another node (S20)", progrun.ToPod, inbound(db4, 443), datapath.DropTunnelMissing, f.auth},
		{"authentication from the node (S20)", progrun.ToPod, inbound(local4, 443), 0, f.auth},
		{"a waypoint's connection (S25)", progrun.FromPod, flow(db4, ir.TCP, 80), datapath.DropWaypointMissing, f.redirect},
		{"an audit rule (S30)", progrun.FromPod, flow(db4, ir.TCP, 6000), 0, f.audit},
		{"the internet", progrun.FromPod, flow(world4, ir.TCP, 1), 0, f.allow},
		{"the internet, IPv6", progrun.FromPod, flow(world6, ir.UDP, 65535), 0, f.allow},
		{"the block's last address", progrun.FromPod, flow("198.51.100.255", ir.TCP, 1), 0, f.allow},
		{"behind the block (S3)", progrun.FromPod, flow("198.51.101.0", ir.TCP, 1), datapath.DropPolicy, f.deny},
		{"before the block (S3)", progrun.FromPod, flow("198.51.99.255", ir.TCP, 1), datapath.DropPolicy, f.deny},
		{"an unknown pod address (S3)", progrun.FromPod, flow("10.2.0.10", ir.TCP, 5432), datapath.DropPolicy, f.deny},
		{"the node as destination (S5)", progrun.FromPod, flow(node4, ir.TCP, 6443), 0, f.allow},
		{"a service (S27)", progrun.FromPod, flow(vip4, ir.TCP, 5432), 0, f.allow},
		{"a service, IPv6 (S27)", progrun.FromPod, flow(vip6, ir.TCP, 5432), 0, f.allow},
		{"a service's other protocol (S27)", progrun.FromPod, flow(vip4, ir.UDP, 5432), datapath.DropServicePort, noDecision},
		{"a service that is denied (S27)", progrun.FromPod, flow(vip4, ir.TCP, 81), datapath.DropPolicy, f.deny},
		{"a port that the service lacks (S27)", progrun.FromPod, flow(vip4, ir.TCP, 5433), datapath.DropServicePort, noDecision},
		{"a ping to a service (S27)", progrun.FromPod, flow(vip4, ir.ICMPv4, 8<<8), datapath.DropServicePort, noDecision},
		{"the pod's own service (S6, S27)", progrun.FromPod, flow(vip4, ir.TCP, 80), 0, f.allow},
		{"a service of this node only (S20)", progrun.FromPod, flow(vip4, ir.TCP, 82), 0, f.auth},
		{"a service address as source (S27)", progrun.ToPod, inbound(vip4, 8080), datapath.DropPolicy, f.deny},
		{"from a pod", progrun.ToPod, inbound(db4, 8080), 0, f.allow},
		{"from a pod, IPv6", progrun.ToPod, inbound(db6, 8080), 0, f.allow},
		{"from nobody", progrun.ToPod, inbound("203.0.113.1", 8080), datapath.DropPolicy, f.deny},
		{"a socket of the node (S5)", progrun.ToPod, own(inbound(node4, 8081)), 0, f.allow},
		{"a socket of the node, IPv6 (S5)", progrun.ToPod, own(inbound(node6, 8081)), 0, f.allow},
		{"translated, at the socket's port (S5)", progrun.ToPod, inbound(node4, 8081), datapath.DropPolicy, f.deny},
		{"translated (S5)", progrun.ToPod, inbound(node4, 8082), 0, f.allow},
		{"a socket, at the translated port (S5)", progrun.ToPod, own(inbound(node4, 8082)), datapath.DropPolicy, f.deny},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := r.Flow(c.hook, f.web, c.flow)
			if err != nil {
				t.Fatal(err)
			}
			if got.Drop != c.drop {
				t.Errorf("dropped for %q, want %q", got.Drop, c.drop)
			}
			if got.Decided != (c.decision != noDecision) {
				t.Fatalf("decided: %v", got.Decided)
			}
			if !got.Decided {
				return
			}
			d := f.P.Decisions[c.decision]
			if uint16(got.Decision) != c.decision || got.Rule != d.Rule || got.AuditRule != d.AuditRule || got.Verdict != d.Verdict || got.Audit != d.AuditVerdict {
				t.Errorf("got %+v, want decision %d %+v", got, c.decision, d)
			}
			if got.Generation != 1 {
				t.Errorf("generation %d", got.Generation)
			}
		})
	}
}
