package callboard

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	defaultAddress   = "http://127.0.0.1:7470"
	defaultNamespace = "default"
	defaultTimeout   = 30 * time.Second
	defaultType      = "agent"
	longestName      = 128
)

// lookup gives a variable of the environment; empty when it is unset.
type lookup func(name string) string

// address is one server to try.
type address struct {
	url    string
	host   string
	port   int
	secure bool
}

// target is what gRPC is asked to connect to.
func (a address) target() string {
	return "dns:///" + net.JoinHostPort(a.host, strconv.Itoa(a.port))
}

// isLoopback says whether it is on this machine: then no proxy stands between.
func (a address) isLoopback() bool {
	if a.host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(a.host)
	return err == nil && ip.IsLoopback()
}

// parseAddresses reads a comma-separated list of URLs.
func parseAddresses(text string) ([]address, error) {
	var addresses []address
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		parsed, err := parseAddress(part)
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, parsed)
	}
	if len(addresses) == 0 {
		return nil, invalid("address", fmt.Sprintf("address %q is empty: give one like %s", text, defaultAddress))
	}
	return addresses, nil
}

func parseAddress(text string) (address, error) {
	wrong := func(fault string) (address, error) {
		return address{}, invalid("address", fmt.Sprintf("address %q %s: give one like %s", text, fault, defaultAddress))
	}
	scheme, _, found := strings.Cut(text, "://")
	if !found {
		return wrong("has no scheme")
	}
	scheme = strings.ToLower(scheme)
	if scheme != "http" && scheme != "https" {
		return wrong(fmt.Sprintf("has the scheme %q, not http or https", scheme))
	}
	parsed, err := url.Parse(text)
	if err != nil {
		return wrong("is not a URL")
	}
	if parsed.Hostname() == "" {
		return wrong("has no host")
	}
	if parsed.Path != "" && parsed.Path != "/" || parsed.RawQuery != "" || parsed.ForceQuery || parsed.Fragment != "" || parsed.User != nil {
		return wrong("has more than scheme, host and port")
	}
	result := address{url: text, host: strings.ToLower(parsed.Hostname()), port: 80, secure: scheme == "https"}
	if result.secure {
		result.port = 443
	}
	if parsed.Port() != "" {
		result.port, err = strconv.Atoi(parsed.Port())
		if err != nil || result.port < 1 || result.port > 65535 {
			return wrong("has no port from 1 to 65535")
		}
	}
	return result, nil
}

// resolveAddresses takes the option, else the environment, else the default.
func resolveAddresses(option string, environment lookup) ([]address, error) {
	return parseAddresses(first(option, environment("CALLBOARD_ADDRESS"), defaultAddress))
}

// resolveNamespace takes the option, else the environment, else the default.
func resolveNamespace(option string, environment lookup) string {
	return first(option, environment("CALLBOARD_NAMESPACE"), defaultNamespace)
}

// resolveName takes the option, else the environment, else makes up a name that no other agent has.
func resolveName(option, agentType string, environment lookup, random func([]byte)) string {
	if name := first(option, environment("CALLBOARD_AGENT_NAME")); name != "" {
		return name
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "host"
	}
	digits := make([]byte, 2)
	random(digits)
	suffix := fmt.Sprintf("-%d-%s", os.Getpid(), hex.EncodeToString(digits))
	// What makes the name unique stands at its end.
	start := agentType + "-" + strings.Map(nameRune, host)
	return start[:min(len(start), longestName-len(suffix))] + suffix
}

// nameRune replaces what the name of an agent may not have.
func nameRune(r rune) rune {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_', r == '.':
		return r
	}
	return '-'
}

// first gives the first text that is not empty.
func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
