//go:build linux

package encode

import (
	"reflect"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/weir-mesh/weir/datapath/bpf"
)

// TestLayout compares the Go structures with the C ones through the object's BTF, field by field.
func TestLayout(t *testing.T) {
	spec, err := bpf.LoadWeir()
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{
		"weir_root": Root{}, "weir_pair": pair{}, "weir_wide_key": wideKey{}, "weir_wide": wideEntry{}, "weir_own": ownRecord{},
		"weir_table": tableRecord{}, "weir_endpoint": endpointRecord{}, "weir_decision": decisionRecord{},
		"weir_count": Count{}, "weir_event": Event{}, "weir_event_budget": Budget{}, "weir_ct_key": CtKey{}, "weir_ct": CtValue{},
	} {
		var c *btf.Struct
		if err := spec.Types.TypeByName(name, &c); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		g := reflect.TypeOf(v)
		if uintptr(c.Size) != g.Size() || len(c.Members) != g.NumField() {
			t.Errorf("%s: %d bytes and %d fields in C, %d and %d in Go", name, c.Size, len(c.Members), g.Size(), g.NumField())
			continue
		}
		for i, m := range c.Members {
			f := g.Field(i)
			size, err := btf.Sizeof(m.Type)
			if err != nil {
				t.Fatal(err)
			}
			if uintptr(m.Offset.Bytes()) != f.Offset || uintptr(size) != f.Type.Size() {
				t.Errorf("%s.%s is at %d with %d bytes, in Go %s at %d with %d", name, m.Name, m.Offset.Bytes(), size, f.Name, f.Offset, f.Type.Size())
			}
			if c, g := plain(m.Name), plain(f.Name); c != g && !synonyms[c+" "+g] {
				t.Errorf("%s.%s is called %s in Go", name, m.Name, f.Name)
			}
		}
	}
}

func plain(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// synonyms are fields whose Go name is no transliteration.
var synonyms = map[string]bool{"lport localport": true, "rport remoteport": true}
