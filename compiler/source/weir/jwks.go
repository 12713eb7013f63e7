package weir

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// checkKeySet says what keeps a text from being a set of public keys that can verify a token (RFC 7517); empty where nothing
// does. With a set that is none, no token is ever verified: rules that ask for a claim allow nobody, and deny nobody.
func checkKeySet(text string) string {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal([]byte(text), &set); err != nil {
		return "it is no JSON object with a list of keys"
	}
	if len(set.Keys) == 0 {
		return "it has no keys"
	}
	for i, raw := range set.Keys {
		var k jose.JSONWebKey
		switch err := k.UnmarshalJSON(raw); {
		case err != nil:
			return fmt.Sprintf("keys[%d]: %s", i, strings.TrimPrefix(err.Error(), "go-jose/go-jose: "))
		case !k.IsPublic():
			return fmt.Sprintf("keys[%d] is no public key", i)
		}
	}
	return ""
}
