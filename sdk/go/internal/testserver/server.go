// Package testserver starts real servers for tests: a `callboard serve` on a port and in a directory of its own.
package testserver

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a server may take to listen, or to end.
const patience = 30 * time.Second

// Binary is the `callboard` binary, which CALLBOARD_BIN names.
func Binary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("CALLBOARD_BIN")
	if path == "" {
		t.Fatal("CALLBOARD_BIN is not set: build the server (cargo build --package callboard-cli), and name the binary")
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("CALLBOARD_BIN: %v; build it", err)
	}
	return path
}

// Server is a server process.
type Server struct {
	// Address is where it listens.
	Address string

	t         testing.TB
	arguments []string
	directory string
	process   *exec.Cmd
}

// Start starts a server. It ends with the test.
func Start(t testing.TB, arguments ...string) *Server {
	t.Helper()
	s := &Server{t: t, arguments: arguments, directory: t.TempDir()}
	s.Start()
	t.Cleanup(func() {
		if s.process != nil {
			s.Stop()
		}
	})
	return s
}

// Start starts it again, on the same port and file as before, and waits until it listens.
func (s *Server) Start() {
	s.t.Helper()
	listen := "127.0.0.1:0"
	if s.Address != "" {
		_, listen, _ = strings.Cut(s.Address, "://")
	}
	database := "sqlite://" + filepath.Join(s.directory, "callboard.db")
	process := exec.Command(Binary(s.t), append([]string{"serve", "--listen", listen, "--database", database}, s.arguments...)...)
	process.Dir = s.directory
	process.Env = Environment()
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	process.Stderr = log
	output, err := process.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		s.t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = process.Process.Kill() })
	said, _ := bufio.NewReader(output).ReadString('\n')
	late.Stop()
	address, listens := strings.CutPrefix(strings.TrimSpace(said), "listening on ")
	if !listens {
		_ = process.Process.Kill()
		_ = process.Wait()
		s.t.Fatalf("the server said %q, not where it listens; its log:\n%s", said, s.Log())
	}
	s.process, s.Address = process, address
}

// Environment is this process's, without settings of the developer's own.
func Environment() []string {
	var kept []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "CALLBOARD_") && !strings.HasPrefix(variable, "RUST_LOG") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// Kill ends it at once.
func (s *Server) Kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	s.process = nil
}

// Stop asks it to end, and waits until it has.
func (s *Server) Stop() {
	_ = s.process.Process.Signal(os.Interrupt)
	late := time.AfterFunc(patience, func() { _ = s.process.Process.Kill() })
	defer late.Stop()
	_ = s.process.Wait()
	s.process = nil
}

// Log is what it has logged.
func (s *Server) Log() string {
	log, err := os.ReadFile(s.logFile())
	if err != nil {
		s.t.Fatal(err)
	}
	return string(log)
}

func (s *Server) logFile() string {
	return filepath.Join(s.directory, "server.log")
}

// Identities is an identity file. A server that reads it takes what changes without a restart.
type Identities struct {
	Path string

	t       testing.TB
	mu      sync.Mutex
	entries map[string]string
}

// NewIdentities makes a file without an entry.
func NewIdentities(t testing.TB) *Identities {
	i := &Identities{Path: filepath.Join(t.TempDir(), "identities.toml"), t: t, entries: map[string]string{}}
	i.write()
	return i
}

// Token adds a token with these roles in the namespace `default`, and gives it.
func (i *Identities) Token(principal string, roles ...string) string {
	return i.TokenIn(principal, `["default"]`, roles...)
}

// TokenIn adds a token for these namespaces, as TOML has them, and gives it.
func (i *Identities) TokenIn(principal, namespaces string, roles ...string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	token := fmt.Sprintf("callboard_%043d", len(i.entries)+1)
	digest := sha256.Sum256([]byte(token))
	i.add(token, "token", principal, fmt.Sprintf("sha256 = %q", hex.EncodeToString(digest[:])), namespaces, roles)
	return token
}

// Certificate adds a client certificate by one of its names.
func (i *Identities) Certificate(principal, name string, roles ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.add(name, "certificate", principal, fmt.Sprintf("name = %q", name), `["default"]`, roles)
}

// Revoke removes a token, or a certificate by its name.
func (i *Identities) Revoke(entry string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.entries[entry] = ""
	i.write()
}

func (i *Identities) add(entry, kind, principal, what, namespaces string, roles []string) {
	quoted := make([]string, len(roles))
	for at, role := range roles {
		quoted[at] = fmt.Sprintf("%q", role)
	}
	i.entries[entry] = fmt.Sprintf("[[%s]]\nprincipal = %q\n%s\nroles = [%s]\nnamespaces = %s\n",
		kind, principal, what, strings.Join(quoted, ", "), namespaces)
	i.write()
}

// write replaces the file, as programs should: nobody reads half of it.
func (i *Identities) write() {
	var all strings.Builder
	for _, entry := range i.entries {
		all.WriteString(entry + "\n")
	}
	if err := os.WriteFile(i.Path+".new", []byte(all.String()), 0o600); err != nil {
		i.t.Fatal(err)
	}
	if err := os.Rename(i.Path+".new", i.Path); err != nil {
		i.t.Fatal(err)
	}
}
