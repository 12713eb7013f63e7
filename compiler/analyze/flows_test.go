package analyze

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/compiler/resolve"
)

func namesOf(tb testing.TB, in resolve.Input) *Names {
	tb.Helper()
	p, _ := resolve.Compile(in)
	n, err := NewNames(p)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// TestFlowsKeepOrder holds that answers come in the order of the lines, whatever worker had them, and that a line that
// can't be answered says why and is counted.
func TestFlowsKeepOrder(t *testing.T) {
	n := namesOf(t, worldOf(rand.New(rand.NewPCG(1, 1))))
	var in, want strings.Builder
	for i := range 5 * chunkLines {
		fmt.Fprintf(&in, "{\"from\":\"ns0/a\",\"to\":\"ns1/b\",\"protocol\":\"TCP\",\"port\":%d,\"id\":%d}\n", i%65535+1, i)
		fmt.Fprintf(&want, "%d ", i)
	}
	in.WriteString("\n{\"from\":\"ns0/z\",\"to\":\"ns1/b\",\"protocol\":\"TCP\",\"port\":1}\n[]\n")
	var out bytes.Buffer
	bad, err := n.Flows(context.Background(), &out, strings.NewReader(in.String()), 4)
	if err != nil || bad != 2 {
		t.Fatalf("bad %d, err %v; want 2 bad lines", bad, err)
	}
	var got strings.Builder
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for _, l := range lines[:5*chunkLines] {
		_, id, _ := strings.Cut(l, `"id":`)
		id, _, _ = strings.Cut(id, ",")
		got.WriteString(id + " ")
	}
	if got.String() != want.String() {
		t.Fatal("the answers are not in the order of the lines")
	}
	for i, part := range []string{`did you mean ns0/a, ns0/b or ns0/c?`, "not a JSON object"} {
		if l := lines[5*chunkLines+i]; !strings.Contains(l, part) {
			t.Errorf("%s: want %q in it", l, part)
		}
	}
}

// TestFlowLines holds the form of single lines.
func TestFlowLines(t *testing.T) {
	n := namesOf(t, resolve.Input{Inventory: worldOf(rand.New(rand.NewPCG(1, 1))).Inventory, Now: now})
	for in, want := range map[string]string{
		`{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80}`:                                               `{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"verdict":"allow","egress":"allow","ingress":"allow","rule":"default","authentication":"none"}`,
		`{"to":"ns1/b","from":"10.0.0.1","port":80,"protocol":"TCP","verdict":"deny","rule":"old"}`:              `{"from":"10.0.0.1","port":80,"protocol":"TCP","to":"ns1/b","verdict":"allow","egress":"allow","ingress":"allow","rule":"default","authentication":"none"}`,
		`{"from":"ns0/a","to":"ns0/a","protocol":"TCP","port":80}`:                                               `{"from":"ns0/a","to":"ns0/a","protocol":"TCP","port":80,"verdict":"allow","egress":"allow","ingress":"allow","rule":"self","authentication":"none"}`,
		`{"from":"ns0/a","to":"ns1/b","port":80}`:                                                                `{"from":"ns0/a","to":"ns1/b","port":80,"error":"a flow needs a protocol: TCP, UDP, SCTP, ICMP, ICMPv6 or IP"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"TCP"}`:                                                         `{"from":"ns0/a","to":"ns1/b","protocol":"TCP","error":"TCP needs a port"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":70000}`:                                            `{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":70000,"error":"\"70000\" is no port: 1 to 65535, or the name of a container port"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"ICMP","icmp":{"type":8}}`:                                      `{"from":"ns0/a","to":"ns1/b","protocol":"ICMP","icmp":{"type":8},"verdict":"allow","egress":"allow","ingress":"allow","rule":"default","authentication":"none"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"htttp":{"method":"GET"},"id":7}`:               `{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"htttp":{"method":"GET"},"id":7,"error":"\"htttp\" is no field of a flow: did you mean http?"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"http":{"pth":"/a"}}`:                           `{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"http":{"pth":"/a"},"error":"\"pth\" is no field of a flow: did you mean path?"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"verdict":"deny","zones":"x"}`:                  `{"from":"ns0/a","port":80,"protocol":"TCP","to":"ns1/b","zones":"x","error":"\"zones\" is no field of a flow: it has from, to, protocol, port, protocolNumber, icmp, http and id"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"icmp":{"type":8}}`:                             `{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"icmp":{"type":8},"error":"icmp needs protocol ICMP or ICMPv6, not TCP"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"ICMP","port":80,"icmp":{"type":8}}`:                            `{"from":"ns0/a","to":"ns1/b","protocol":"ICMP","port":80,"icmp":{"type":8},"error":"ICMP has no ports: use icmp"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"ICMP","icmp":{"code":1}}`:                                      `{"from":"ns0/a","to":"ns1/b","protocol":"ICMP","icmp":{"code":1},"error":"ICMP needs icmp: {\"type\": …}"}`,
		`{"from":"ns0/a","to":"ns1/b","protocolNumber":47,"port":80}`:                                            `{"from":"ns0/a","to":"ns1/b","protocolNumber":47,"port":80,"error":"protocolNumber goes with from and to only"}`,
		`{"from":"ns0/a","to":"ns1/b","protocolNumber":47,"icmp":{"type":8}}`:                                    `{"from":"ns0/a","to":"ns1/b","protocolNumber":47,"icmp":{"type":8},"error":"protocolNumber goes with from and to only"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80.5}`:                                             `{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80.5,"error":"port must be a whole number, not 80.5"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":true}`:                                             `{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":true,"error":"port must be a number, or the name of a container port"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"http":{"path":"a"}}`:                           `{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"http":{"path":"a"},"error":"http.path \"a\" is no path: it starts with \"/\" and has no spaces"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"http":{"method":"get"}}`:                       `{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"http":{"method":"get"},"error":"http.method \"get\" is no method"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"http":{"headers":{"a b":"c"}}}`:                `{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"http":{"headers":{"a b":"c"}},"error":"http.headers: \"a b\" is no header's name"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"http":{"host":"a","headers":{"Host":"b"}}}`:    `{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"http":{"host":"a","headers":{"Host":"b"}},"error":"a request has one host: it is given twice"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"http":{"headers":{"host":"a","HOST":"b"}}}`:    `{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"http":{"headers":{"host":"a","HOST":"b"}},"error":"a request has one host: it is given twice"}`,
		`{"from":["ns0/a"],"to":"ns1/b"}`:                                                                        `{"from":["ns0/a"],"to":"ns1/b","error":"from must be a string, not a list"}`,
		`{"from":"ns0/a","to":5}`:                                                                                `{"from":"ns0/a","to":5,"error":"to must be a string, not a number"}`,
		`{"from":"ns0/a","to":"ns1/b","icmp":{"type":300}}`:                                                      `{"from":"ns0/a","to":"ns1/b","icmp":{"type":300},"error":"icmp.type must be a whole number from 0 to 255, not the number 300"}`,
		`{"from":"ns0/a","to":"ns1/b","http":"GET"}`:                                                             `{"from":"ns0/a","to":"ns1/b","http":"GET","error":"http must be an object, not a string"}`,
		`{"from":"ns0/a","to":"ns1/b","http":{"method":true}}`:                                                   `{"from":"ns0/a","to":"ns1/b","http":{"method":true},"error":"http.method must be a string, not true or false"}`,
		`{"from":"ns0/a","to":"ns1/b","http":{"headers":{"a":1}}}`:                                               `{"from":"ns0/a","to":"ns1/b","http":{"headers":{"a":1}},"error":"http.headers must be an object of strings: there is a number"}`,
		`{"from":"ns0/a","to":"ns1/b","http":{"claims":{"p":5}}}`:                                                `{"from":"ns0/a","to":"ns1/b","http":{"claims":{"p":5}},"error":"http.claims must be an object with an object of claims for each provider: there is a number"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"port":81}`:                                     `{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"port":81,"error":"\"port\" is given twice"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"From":"x"}`:                                    `{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"From":"x","error":"\"From\" is given twice"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"http":{"path":"/a","path":"/"}}`:               `{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"http":{"path":"/a","path":"/"},"error":"\"path\" is given twice"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"http":{"claims":{"p":{"sub":"a","sub":"b"}}}}`: `{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"http":{"claims":{"p":{"sub":"a","sub":"b"}}},"error":"\"sub\" is given twice"}`,
		`{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"id":{"a":1,"a":2},"http":{"headers":{"a":"1","a":"2"},"claims":{"p":{"sub":"a"},"q":{"sub":"b","p":"c"}}}}`: `{"from":"ns0/a","to":"ns1/b","protocol":"TCP","port":80,"id":{"a":1,"a":2},"http":{"headers":{"a":"1","a":"2"},"claims":{"p":{"sub":"a"},"q":{"sub":"b","p":"c"}}},"verdict":"allow","egress":"allow","ingress":"allow","rule":"default","authentication":"none"}`,
		`{"from":"ns0/a","to":"own-node","protocol":"TCP","port":1}`:    `{"from":"ns0/a","to":"own-node","protocol":"TCP","port":1,"error":"own-node is only where a connection comes from (S5)"}`,
		`{"from":"ns0/a","to":"2001:db8::1","protocol":"TCP","port":1}`: `{"from":"ns0/a","to":"2001:db8::1","protocol":"TCP","port":1,"error":"ns0/a and 2001:db8::1 have no address family in common"}`,
	} {
		var out bytes.Buffer
		if _, err := n.Flows(context.Background(), &out, strings.NewReader(in), 1); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSuffix(out.String(), "\n"); got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
}

// TestFlowsThatAreNone holds that a line that is no flow gets an object with its number, and that the run goes on.
func TestFlowsThatAreNone(t *testing.T) {
	n := namesOf(t, worldOf(rand.New(rand.NewPCG(1, 1))))
	long := `{"from":"` + strings.Repeat("x", 2*maxLine) + `"}`
	in := "null\n\n{\n" + long + "\n\"x\"\n" + `{"from":"ns0/a","to":"ns0/a","protocol":"TCP","port":80}`
	want := []string{
		`{"line":1,"error":"not a JSON object of a flow"}`,
		`{"line":3,"error":"not a JSON object of a flow: unexpected end of JSON input"}`,
		`{"line":4,"error":"longer than 1048576 bytes"}`,
		`{"line":5,"error":"not a JSON object of a flow"}`,
		`{"from":"ns0/a","to":"ns0/a","protocol":"TCP","port":80,"verdict":"allow","egress":"allow","ingress":"allow","rule":"self","authentication":"none"}`,
	}
	var out bytes.Buffer
	bad, err := n.Flows(context.Background(), &out, strings.NewReader(in), 2)
	if err != nil || bad != 4 {
		t.Errorf("bad %d, err %v; want 4 bad lines", bad, err)
	}
	if got := strings.TrimSuffix(out.String(), "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func BenchmarkFlows(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	n := namesOf(b, worldOf(r))
	var in bytes.Buffer
	for range 10_000 {
		fmt.Fprintf(&in, "{\"from\":\"ns%d/a\",\"to\":\"ns%d/b\",\"protocol\":\"TCP\",\"port\":%d}\n", r.IntN(3), r.IntN(3), 1+r.IntN(65535))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Flows(context.Background(), &bytes.Buffer{}, bytes.NewReader(in.Bytes()), 1); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/line")
}
