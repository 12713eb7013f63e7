package resolve

import (
	"reflect"
	"slices"

	"github.com/weir-mesh/weir/compiler/plan"
)

// maxLean is the longest list of requests of which lean looks for entries that are not needed: it compares each with each.
const maxLean = 256

// sameDeeds reports whether two lists do the same to every request, whoever decided. Where it can't tell it says no.
func sameDeeds(a, b []plan.Entry) bool {
	if equalDeeds(a, b) {
		return true
	}
	if len(a) == 0 || len(b) == 0 || len(a) > maxLean || len(b) > maxLean || !sameQuestions(a, b) {
		return false
	}
	return equalDeeds(lean(a), lean(b))
}

func equalDeeds(a, b []plan.Entry) bool {
	return slices.EqualFunc(a, b, func(x, y plan.Entry) bool {
		return sameDeed(&x.Outcome, &y.Outcome) && (len(x.Conds) == 0 && len(y.Conds) == 0 || reflect.DeepEqual(x.Conds, y.Conds))
	})
}

// sameQuestions reports whether two lists ask for the same query parameters and tokens. A request that gives one of these
// parameters twice is refused, and a token that can't be verified may be, whichever entry asks (S23, S24).
func sameQuestions(a, b []plan.Entry) bool {
	questions := func(entries []plan.Entry) map[[2]string]bool {
		out := map[[2]string]bool{}
		for i := range entries {
			for _, cond := range entries[i].Conds {
				for j := range cond {
					for _, k := range cond[j].Query {
						out[[2]string{"query", k.Key}] = true
					}
					for _, k := range cond[j].Claims {
						out[[2]string{"provider", k.Provider}] = true
					}
				}
			}
		}
		return out
	}
	return reflect.DeepEqual(questions(a), questions(b))
}

// lean returns a list without entries that are never the first to match, and without those behind which the first other
// entry that matches does the same.
func lean(entries []plan.Entry) []plan.Entry {
	var out []plan.Entry
	for _, e := range entries {
		if !slices.ContainsFunc(out, func(before plan.Entry) bool { return plan.Implies(&e, &before) }) {
			out = append(out, e)
		}
	}
	for i := len(out) - 1; i >= 0; i-- {
		for j := i + 1; j < len(out) && sameDeed(&out[i].Outcome, &out[j].Outcome); j++ {
			if plan.Implies(&out[i], &out[j]) {
				out = slices.Delete(out, i, i+1)
				break
			}
		}
	}
	return out
}
