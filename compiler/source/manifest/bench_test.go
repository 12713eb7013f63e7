package manifest

import (
	"fmt"
	"strings"
	"testing"
)

// podList is a minified list as a cluster gives it out, all on one line.
func podList(n int) string {
	var b strings.Builder
	b.WriteString(`{"apiVersion":"v1","kind":"PodList","items":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"metadata":{"name":"p%d","namespace":"ns","labels":{"app":"é","i":"%d"}},"spec":{"containers":[{"name":"c","ports":[{"containerPort":80}]}]},"status":{"phase":"Running","podIP":"10.0.0.1"}}`, i, i)
	}
	b.WriteString("]}")
	return b.String()
}

// A list on one line must cost in proportion to its length, positions included.
func BenchmarkOneLine(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		for _, name := range []string{"l.json", "l.yaml"} {
			text := podList(n)
			if name == "l.yaml" {
				text = " # YAML\n" + text
			}
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				for range b.N {
					objs, diags := Parse(name, []byte(text), Limits{})
					if len(objs) != n || len(diags) > 0 {
						b.Fatal(len(objs), diags)
					}
					for _, o := range objs {
						o.Pos("metadata.name")
					}
				}
			})
		}
	}
}
