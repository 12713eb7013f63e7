package documents

import (
	"fmt"
	"strings"

	"github.com/weir-mesh/weir/schemas"
)

// Large returns the largest MeshPolicies that fit into etcd (1.5 MiB), each full of one thing.
func Large() map[string][]byte {
	pods := `{"pods":{"matchLabels":{"app":"a","weir.dev/long-label-key":"value"}},"namespaces":{"matchExpressions":[{"key":"a","operator":"Exists"}]}}`
	cidr := `{"cidr":{"cidr":"2001:db8:1234:5678::/64","except":["2001:db8:1234:5678::/96","2001:db8:1234:5678:8000::/96"]}}`
	out := map[string][]byte{}
	for name, rule := range map[string]string{
		"pods":     `{"action":"allow","from":[` + strings.Repeat(pods+",", 63) + pods + `],"ports":[{"port":1,"protocol":"TCP"}]}`,
		"cidrs":    `{"action":"allow","from":[` + strings.Repeat(cidr+",", 63) + cidr + `]}`,
		"ports":    `{"action":"allow","ports":[` + strings.Repeat(`{"port":1,"endPort":2,"protocol":"TCP"},`, 63) + `{"protocolNumber":47}]}`,
		"requests": `{"action":"allow","http":[` + strings.Repeat(`{"methods":["GET"],"path":{"prefix":"/a"},"headers":[{"name":"a","exact":"b"}]},`, 31) + `{"path":{"exact":"/"}}]}`,
	} {
		n := min(128, 1500*1024/len(rule))
		out[name] = fmt.Appendf(nil, `{"apiVersion":%q,"kind":"MeshPolicy","metadata":{"name":"a"},"spec":{"subject":{},"ingress":[%s]}}`,
			schemas.APIVersion, strings.Repeat(rule+",", n-1)+rule)
	}
	return out
}
