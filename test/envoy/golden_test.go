package envoy

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden holds the tables of each case of testdata, byte for byte and twice, and has the real Envoy accept them.
func TestGolden(t *testing.T) {
	cases, err := filepath.Glob("testdata/*/input")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, input := range cases {
		dir := filepath.Dir(input)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			got := tables(t, input)
			if again := tables(t, input); !bytes.Equal(got, again) {
				t.Fatalf("two runs differ:\n%s", cmp.Diff(string(got), string(again)))
			}
			golden := filepath.Join(dir, "expected.yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s differs (go test ./test/envoy -run Golden -update writes it anew):\n%s", golden, diff)
			}
			_, ws, _ := Compile(t, input)
			for i := range ws {
				Validate(t, ws[i].Bootstrap())
			}
		})
	}
}

// tables renders the findings and all waypoints of a case.
func tables(t testing.TB, dir string) []byte {
	t.Helper()
	_, ws, diags := Compile(t, dir)
	var out bytes.Buffer
	for i := range diags {
		out.WriteString("# " + diags[i].Error() + "\n")
	}
	for i := range ws {
		out.WriteString("--- # waypoint " + ws[i].Name + "\n")
		var tree any
		if err := yaml.Unmarshal(YAML(t, ws[i].Bootstrap()), &tree); err != nil {
			t.Fatal(err)
		}
		short, err := yaml.Marshal(shorten(tree))
		if err != nil {
			t.Fatal(err)
		}
		out.Write(short)
	}
	return out.Bytes()
}

// shorten writes each large block once: a golden file is for reading. What repeats has an id, and later says "as" it.
func shorten(tree any) any {
	times := map[string]int{}
	walk(tree, func(id string, _ map[string]any) bool {
		times[id]++
		return times[id] == 1
	})
	written := map[string]bool{}
	return walk(tree, func(id string, block map[string]any) bool {
		if times[id] > 1 && !written[id] {
			block["~id"] = id
		}
		first := !written[id]
		written[id] = true
		return first
	})
}

// walk visits large blocks from the root, in order of keys, and puts a name in the place of those that visit refuses.
func walk(tree any, visit func(id string, block map[string]any) bool) any {
	switch tree := tree.(type) {
	case []any:
		out := make([]any, len(tree))
		for i := range tree {
			out[i] = walk(tree[i], visit)
		}
		return out
	case map[string]any:
		out := maps.Clone(tree)
		text, _ := json.Marshal(tree)
		if len(text) > 300 {
			if id := fmt.Sprintf("%x", sha256.Sum256(text))[:8]; !visit(id, out) {
				return "as " + id
			}
		}
		for _, k := range slices.Sorted(maps.Keys(tree)) {
			out[k] = walk(tree[k], visit)
		}
		return out
	}
	return tree
}
