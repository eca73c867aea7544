package callboard

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"callboard.dev/sdk/go/internal/session"
	"golang.org/x/net/netutil"
)

const (
	// maxProbes is how many connections may be open at once. Others wait until they are accepted.
	maxProbes = 64
	// maxProbeHeader is the most bytes of a request's header, to which net/http adds 4 KiB.
	maxProbeHeader = 4 << 10
	// probeTimeout is how long a request may take to come, and its answer to leave.
	probeTimeout = 5 * time.Second

	healthPath    = "/healthz"
	readinessPath = "/readyz"
)

// health answers probes by HTTP: whether the agent goes on, and whether it takes tasks. A nil health is that of an agent that nobody
// wants to probe.
type health struct {
	listener net.Listener
	server   *http.Server
	serving  sync.WaitGroup
	// stands asks the session, through its lock.
	stands func() session.Standing
}

// listenForProbes listens at an address; probes that come before serve wait for it. It gives nil for an address that is empty.
func listenForProbes(address string) (*health, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("health %q can't be listened at, give host:port: %w", address, err)
	}
	h := &health{listener: listener}
	h.server = &http.Server{
		Handler:           h,
		ReadHeaderTimeout: probeTimeout,
		ReadTimeout:       probeTimeout,
		WriteTimeout:      probeTimeout,
		MaxHeaderBytes:    maxProbeHeader,
		// Else net/http would answer to OPTIONS * by itself.
		DisableGeneralOptionsHandler: true,
	}
	h.server.SetKeepAlivesEnabled(false)
	return h, nil
}

// address is where it listens.
func (h *health) address() string {
	if h == nil {
		return ""
	}
	return h.listener.Addr().String()
}

// serve answers probes in the background until close.
func (h *health) serve(stands func() session.Standing, log *slog.Logger) {
	if h == nil {
		return
	}
	h.stands = stands
	h.server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	h.serving.Go(func() {
		err := h.server.Serve(netutil.LimitListener(h.listener, maxProbes))
		if !errors.Is(err, http.ErrServerClosed) {
			log.Error("probes of the agent's health are not answered any more", "error", err)
		}
	})
}

// close ends listening, and every connection.
func (h *health) close() {
	if h == nil {
		return
	}
	_ = h.server.Close()
	_ = h.listener.Close()
	h.serving.Wait()
}

// ServeHTTP answers one probe.
func (h *health) ServeHTTP(to http.ResponseWriter, request *http.Request) {
	code, word := h.answer(request.Method, request.URL.Path)
	to.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if code == http.StatusMethodNotAllowed {
		to.Header().Set("Allow", http.MethodGet)
	}
	to.WriteHeader(code)
	_, _ = io.WriteString(to, word)
}

func (h *health) answer(method, path string) (code int, word string) {
	switch {
	case path != healthPath && path != readinessPath:
		return http.StatusNotFound, "not found"
	case method != http.MethodGet:
		return http.StatusMethodNotAllowed, "method not allowed"
	}
	// An agent whose lock is never let go of doesn't go on: then this doesn't return, and the probe fails by its own timeout.
	standing := h.stands()
	if path == healthPath {
		return http.StatusOK, "ok"
	}
	return readiness(standing)
}

// readiness says in a word whether the agent takes tasks.
func readiness(standing session.Standing) (code int, word string) {
	switch {
	case standing.Stopped:
		return http.StatusServiceUnavailable, "stopped"
	case standing.Draining:
		return http.StatusServiceUnavailable, "draining"
	case standing.Attached:
		return http.StatusOK, "attached"
	}
	return http.StatusServiceUnavailable, "connecting"
}
