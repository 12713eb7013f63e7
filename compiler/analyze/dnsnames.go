package analyze

import (
	"net/netip"
	"strings"
)

// clusterDomain ends the full names of services and pods, unless a cluster was set up with another.
const clusterDomain = ".cluster.local"

// dns resolves a DNS name as a pod's resolver would: the name of a service is that service; any other is somewhere in the world,
// at an address that no rule names. What can't be a name in the world is refused: an answer about it would be about
// nothing.
func (n *Names) dns(text string) (*Target, error) {
	refuse := func(why string, near ...string) (*Target, error) {
		return nil, &NameError{Name: text, Why: why, Near: near}
	}
	if why, near := noDNSName(text); why != "" {
		return refuse(why, near...)
	}
	name, absolute := strings.CutSuffix(strings.ToLower(text), ".")
	short, inside := strings.CutSuffix(name, clusterDomain)
	labels := strings.Split(short, ".")
	last := len(labels) - 1
	switch {
	case labels[last] == "svc" && last == 2, !inside && !absolute && last == 1 && n.isService(labels[1]+"/"+labels[0]):
		return n.service(labels[1], labels[0])
	case labels[last] == "svc" && last > 2:
		return refuse("is the name of a pod behind a service: ask about the pod", n.ifKnown(labels[last-1]+"/"+labels[0])...)
	case labels[last] == "pod" && last > 0:
		return refuse("is the name of a pod's address: ask about the address, or the pod", dashed(labels[0])...)
	case inside:
		return refuse("names nothing in the cluster: a service's name is <service>.<namespace>.svc" + clusterDomain)
	}
	for _, word := range []string{"svc", "pod"} {
		for i := 2; i < len(labels); i++ {
			if labels[i] == word {
				return refuse("is a name in a cluster, with a domain that is not known here: ask about ns/service/name, or the pod", n.ifKnown(labels[1]+"/"+labels[0])...)
			}
		}
	}
	if !absolute && last == 1 && n.has(labels[0]+"/"+labels[1]) {
		return refuse("is no name of a service here; a name in the world that is written so ends with a dot", labels[0]+"/"+labels[1])
	}
	if !absolute && n.isNamespace(labels[last]) {
		return refuse("is no name of a service in namespace "+labels[last]+"; a name in the world that is written so ends with a dot", n.ifKnown(labels[last]+"/"+labels[0])...)
	}
	return &Target{Name: name, Kind: DNSTarget, ends: n.world()}, nil
}

// ifKnown is a name, if it is one here.
func (n *Names) ifKnown(key string) []string {
	if n.has(key) {
		if _, pod := n.pods[key]; !pod && len(n.workloads[key]) == 0 {
			ns, name, _ := strings.Cut(key, "/")
			key = ns + "/service/" + name
		}
		return []string{key}
	}
	return nil
}

// isNamespace reports whether something here is in a namespace.
func (n *Names) isNamespace(ns string) bool {
	for _, k := range n.known {
		if strings.HasPrefix(k, ns+"/") {
			return true
		}
	}
	return false
}

// dashed is the address that a name's label like 10-1-1-2 stands for, if it does.
func dashed(label string) []string {
	for _, separator := range []string{".", ":"} {
		if a, err := netip.ParseAddr(strings.ReplaceAll(label, "-", separator)); err == nil {
			return []string{a.String()}
		}
	}
	return nil
}

// noDNSName says why a text is no DNS name (RFC 1123 section 2.1, RFC 3696 section 2; underscores are in use), and what may
// have been meant.
func noDNSName(text string) (why string, near []string) {
	if a, err := netip.ParseAddrPort(text); err == nil {
		return "is an address and a port: the port has a place of its own", []string{a.Addr().WithZone("").String()}
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return "is an address with a zone, which says something on one machine only", []string{a.WithZone("").String()}
	}
	if host, port, ok := strings.Cut(text, ":"); ok && !strings.Contains(port, ":") {
		return "is a host and a port: the port has a place of its own", []string{host}
	}
	name := strings.TrimSuffix(strings.ToLower(text), ".")
	labels := strings.Split(name, ".")
	if last := labels[len(labels)-1]; last != "" && strings.Trim(last, "0123456789") == "" {
		return "is no address", nil // no DNS name ends in a number
	}
	const longest, longestLabel = 253, 63
	if len(name) > longest {
		return "is no DNS name: it is too long", nil
	}
	for _, l := range labels {
		switch {
		case l == "":
			return "is no DNS name: a label is empty", nil
		case len(l) > longestLabel:
			return "is no DNS name: a label is too long", nil
		case strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || l[0] == '-' || l[len(l)-1] == '-':
			return "is no DNS name: letters, digits and inner hyphens make a label", nil
		}
	}
	return "", nil
}
