package schemas_test

import (
	"encoding/json"
	"flag"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/schemas"
	"github.com/weir-mesh/weir/test/documents"
)

var (
	seed  = flag.Uint64("seed", 1, "of the generated documents")
	count = flag.Int("documents", 1500, "how many documents are generated")
)

// TestMain lets garbage wait: the evaluator makes much of it, and a test lives shortly.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// TestGeneratedDocuments: on documents that the language's own definitions generate, good and bad, the judges agree, and
// what they accept comes back unchanged (S14).
func TestGeneratedDocuments(t *testing.T) {
	j := newJudges(t)
	g := documents.NewGenerator(documents.Language(t), *seed)
	accepted, kinds := map[string]int{}, append(kindNames(), "Test")
	for i := range *count {
		kind := kinds[i%len(kinds)]
		doc, err := json.Marshal(g.Document(kind, []int{0, 0, 3, 30}[i%4]))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(doc), ":null") || strings.Contains(string(doc), "[null") {
			continue // TestEveryFieldSurvives has null
		}
		v := j.judge(t, kind, doc)
		ok, agree := v.agree()
		if !agree {
			t.Fatalf("document %d of seed %d: the judges differ:\n%s\n%v", i, *seed, doc, v)
		}
		if ok {
			accepted[kind]++
			j.roundTrips(t, kind, doc)
		}
	}
	t.Logf("accepted of %d: %v", *count, accepted)
	for _, kind := range kinds {
		if n := *count / len(kinds); accepted[kind] < n/30 {
			t.Errorf("of %d documents only %d of kind %s are accepted: the generator tests too little", n, accepted[kind], kind)
		}
	}
}

func kindNames() []string {
	var out []string
	for _, k := range schemas.Kinds() {
		out = append(out, k.Name)
	}
	return out
}
