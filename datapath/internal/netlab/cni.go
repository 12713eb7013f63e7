//go:build linux

package netlab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strings"
)

// plugin is a CNI plugin that makes the pods' veths, and what it leaves on disk.
type plugin struct {
	dir  string
	conf map[string]any
}

// UsePlugin has the pods made from now on connected by one of the real CNI plugins in dir, ptp or bridge, with
// addresses from host-local (CNI specification 1.1).
func (l *Lab) UsePlugin(dir, name string) {
	l.t.Helper()
	subnet := func(block, gateway string) []any { return []any{map[string]any{"subnet": block, "gateway": gateway}} }
	l.plugin = &plugin{dir: dir, conf: map[string]any{
		"cniVersion": "1.1.0", "name": "weirtest", "type": name,
		"bridge": Bridge, "isGateway": true, "hairpinMode": true, // the bridge's
		"ipam": map[string]any{
			"type": "host-local", "dataDir": l.t.TempDir(),
			"ranges": []any{subnet("10.1.0.0/24", Gateway4), subnet("fd00:1::/64", Gateway6)},
			"routes": []any{map[string]any{"dst": "0.0.0.0/0"}, map[string]any{"dst": "::/0"}},
		},
	}}
}

// result is what a plugin answers to ADD.
type result struct {
	Interfaces []struct {
		Name, Sandbox string
	}
	IPs []struct {
		Address string
	}
}

// connect has the plugin connect the pod, which learns the name of its interface.
func (c *plugin) connect(p *Pod) {
	p.lab.t.Helper()
	p.lab.ip(p.ns, "link set lo up")
	conf := cloneWith(c.conf, "args", map[string]any{"cni": map[string]any{"ips": []string{p.Addr4, p.Addr6}}})
	p.added = c.run(p, "ADD", conf)
	var r result
	if err := json.Unmarshal(p.added, &r); err != nil {
		p.lab.t.Fatalf("what %s answers: %v: %s", c.conf["type"], err, p.added)
	}
	p.Interface = ""
	for _, i := range r.Interfaces {
		if i.Sandbox == "" && i.Name != Bridge {
			p.Interface = i.Name
		}
	}
	if p.Interface == "" || len(r.IPs) != 2 || !strings.HasPrefix(r.IPs[0].Address, p.Addr4+"/") || !strings.HasPrefix(r.IPs[1].Address, p.Addr6+"/") {
		p.lab.t.Fatalf("%s did not give %s its veth, %s and %s: %s", c.conf["type"], p.ns, p.Addr4, p.Addr6, p.added)
	}
}

// disconnect has the plugin take the pod's veth away.
func (c *plugin) disconnect(p *Pod) {
	p.lab.t.Helper()
	c.run(p, "DEL", cloneWith(c.conf, "prevResult", json.RawMessage(p.added)))
}

// run runs the plugin in the node's namespace, as a container runtime does there.
func (c *plugin) run(p *Pod, command string, conf map[string]any) []byte {
	l := p.lab
	l.t.Helper()
	in, err := json.Marshal(conf)
	if err != nil {
		l.t.Fatal(err)
	}
	cmd := exec.CommandContext(l.t.Context(), "ip", "netns", "exec", l.node, fmt.Sprintf("%s/%s", c.dir, c.conf["type"]))
	cmd.Env = append(os.Environ(), "CNI_COMMAND="+command, "CNI_CONTAINERID="+p.ns, "CNI_NETNS="+p.NS(), "CNI_IFNAME=eth0", "CNI_PATH="+c.dir)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &errs
	out, err := cmd.Output() // a plugin tells there, too, what went wrong
	if err != nil {
		l.t.Fatalf("%s %s of %s: %v: %s%s", c.conf["type"], command, p.ns, err, out, &errs)
	}
	return out
}

func cloneWith(m map[string]any, key string, value any) map[string]any {
	out := maps.Clone(m)
	out[key] = value
	return out
}
