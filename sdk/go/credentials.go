package callboard

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
)

// rereadAfter is after how long a token file is read again: tokens are changed while programs run.
const rereadAfter = 10 * time.Second

// Credentials say who asks, and how it knows that the server is the right one. What is empty is taken from the environment:
// CALLBOARD_TOKEN, CALLBOARD_TOKEN_FILE, CALLBOARD_CA, CALLBOARD_CLIENT_CERT, CALLBOARD_CLIENT_KEY, CALLBOARD_ALLOW_PLAINTEXT. A
// Token or TokenFile given here wins over both variables; both at once are refused. Nothing shows a token: not the text of a value,
// not an error, not a log.
type Credentials struct {
	// Token is what `callboard token create` prints.
	Token string `json:"-"`
	// TokenFile is a file with the token in its only line. It is read again when it was read more than 10 s ago, and when a call is
	// refused as UNAUTHENTICATED, so that tokens can be changed under running programs. One that can't be read leaves the last
	// token in force.
	TokenFile string
	// CA is a PEM file with the roots that the server's certificate is checked with. Default: the system's.
	CA string
	// ClientCert and ClientKey are PEM files with the client's certificate and key. They come together, and are used with https alone.
	ClientCert, ClientKey string
	// AllowPlaintext lets the token go over http to other machines, where it can be read on the way.
	AllowPlaintext bool
}

// String tells what there is, and no token.
func (c Credentials) String() string {
	var known []string
	for _, one := range []struct{ name, value string }{{"token", c.Token}, {"token file", c.TokenFile}, {"client certificate", c.ClientCert}} {
		if one.value != "" {
			known = append(known, one.name)
		}
	}
	return "Credentials(" + strings.Join(known, ", ") + ")"
}

// GoString is the same as String.
func (c Credentials) GoString() string {
	return c.String()
}

// identity is credentials that were looked at.
type identity struct {
	file           string
	allowPlaintext bool
	roots          *x509.CertPool
	certificates   []tls.Certificate
	now            func() time.Time

	mu     sync.Mutex
	token  string
	readAt time.Time
}

// resolveIdentity takes what is given, else the environment.
func resolveIdentity(given *Credentials, environment lookup) (*identity, error) {
	chosen := Credentials{}
	if given != nil {
		chosen = *given
	}
	if err := chosen.fill(environment); err != nil {
		return nil, err
	}
	id := &identity{file: chosen.TokenFile, allowPlaintext: chosen.AllowPlaintext, now: time.Now}
	if err := id.readCertificates(chosen); err != nil {
		return nil, err
	}
	var err error
	switch {
	case chosen.TokenFile != "":
		id.token, err = readToken(chosen.TokenFile)
		id.readAt = id.now()
	case chosen.Token != "":
		id.token, err = checkToken(chosen.Token, "token")
	}
	return id, err
}

// fill completes credentials from the environment.
func (c *Credentials) fill(environment lookup) error {
	if c.Token != "" && c.TokenFile != "" {
		return invalid("token", "token and token_file are both given: give one of them")
	}
	if c.Token == "" && c.TokenFile == "" {
		c.Token, c.TokenFile = environment("CALLBOARD_TOKEN"), environment("CALLBOARD_TOKEN_FILE")
		if c.Token != "" && c.TokenFile != "" {
			return invalid("token", "CALLBOARD_TOKEN and CALLBOARD_TOKEN_FILE are both set: set one of them")
		}
	}
	c.CA = first(c.CA, environment("CALLBOARD_CA"))
	if c.ClientCert == "" && c.ClientKey == "" {
		c.ClientCert, c.ClientKey = environment("CALLBOARD_CLIENT_CERT"), environment("CALLBOARD_CLIENT_KEY")
	}
	switch value := environment("CALLBOARD_ALLOW_PLAINTEXT"); value {
	case "true", "1":
		c.AllowPlaintext = true
	case "", "false", "0":
	default:
		return invalid("allow_plaintext", fmt.Sprintf("CALLBOARD_ALLOW_PLAINTEXT is %q: set it to true or false", value))
	}
	return nil
}

func (id *identity) readCertificates(from Credentials) error {
	if from.CA != "" {
		roots, err := readFile("ca", from.CA)
		if err != nil {
			return err
		}
		id.roots = x509.NewCertPool()
		if !id.roots.AppendCertsFromPEM(roots) {
			return invalid("ca", fmt.Sprintf("ca %q holds no certificate: give a PEM file", from.CA))
		}
	}
	if (from.ClientCert == "") != (from.ClientKey == "") {
		missing := "client_key"
		if from.ClientCert == "" {
			missing = "client_cert"
		}
		return invalid(missing, missing+" is missing: a client certificate and its key come together")
	}
	if from.ClientCert == "" {
		return nil
	}
	certificate, err := readFile("client_cert", from.ClientCert)
	if err != nil {
		return err
	}
	key, err := readFile("client_key", from.ClientKey)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return invalid("client_cert", fmt.Sprintf("client_cert %q and client_key %q are no pair: %v", from.ClientCert, from.ClientKey, err))
	}
	id.certificates = []tls.Certificate{pair}
	return nil
}

// check refuses addresses that must not have the token.
func (id *identity) check(addresses ...address) error {
	id.mu.Lock()
	defer id.mu.Unlock()
	for _, a := range addresses {
		if id.token != "" && !id.mayTell(a) {
			return invalid("address", fmt.Sprintf("address %q is http:// and not on this machine: the token could be read on the way; "+
				"use https://, or say AllowPlaintext (CALLBOARD_ALLOW_PLAINTEXT=true)", a.url))
		}
	}
	return nil
}

func (id *identity) mayTell(a address) bool {
	return a.secure || a.isLoopback() || id.allowPlaintext
}

// tokenFor gives the token that goes to an address; empty when none does.
func (id *identity) tokenFor(a address) string {
	id.mu.Lock()
	defer id.mu.Unlock()
	if id.file != "" && id.now().Sub(id.readAt) >= rereadAfter {
		id.reread()
	}
	if !id.mayTell(a) {
		return ""
	}
	return id.token
}

// isRenewed says whether what was refused may be tried again: the token that was sent is no good any more, and the file has another.
func (id *identity) isRenewed(err *Error, sent string) bool {
	if err == nil || err.Code != codes.Unauthenticated || id.file == "" || sent == "" {
		return false
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	id.reread()
	return id.token != sent
}

func (id *identity) reread() {
	id.readAt = id.now()
	// It may just be being replaced. The server says when the old one is no good any more.
	if token, err := readToken(id.file); err == nil {
		id.token = token
	}
}

func (id *identity) tls() *tls.Config {
	return &tls.Config{RootCAs: id.roots, Certificates: id.certificates, MinVersion: tls.VersionTLS12}
}

func readToken(path string) (string, error) {
	content, err := readFile("token_file", path)
	if err != nil {
		return "", err
	}
	return checkToken(string(content), fmt.Sprintf("token_file %q", path))
}

func checkToken(token, name string) (string, error) {
	token = strings.TrimSpace(token)
	printable := strings.IndexFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
	if token == "" || !printable {
		return "", invalid("token", name+" holds no token: it must be one line, as `callboard token create` prints it")
	}
	return token, nil
}

func readFile(name, path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		var fault *fs.PathError
		if errors.As(err, &fault) {
			err = fault.Err
		}
		return nil, invalid(name, fmt.Sprintf("%s %q can't be read: %v", name, path, err))
	}
	return content, nil
}
