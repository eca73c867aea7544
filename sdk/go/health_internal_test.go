package callboard

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"callboard.dev/sdk/go/internal/session"
)

// probed listens for probes of an agent that stands so.
func probed(t *testing.T, timeout time.Duration, stands func() session.Standing) *health {
	t.Helper()
	h, err := listenForProbes("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.server.ReadHeaderTimeout, h.server.ReadTimeout = timeout, timeout
	h.serve(stands, slog.New(slog.DiscardHandler))
	t.Cleanup(h.close)
	return h
}

func attachedOne() session.Standing { return session.Standing{Attached: true} }

// connection opens one, and sends something by it.
func connection(t *testing.T, h *health, text string) net.Conn {
	t.Helper()
	opened, err := net.Dial("tcp", h.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	if _, err := io.WriteString(opened, text); err != nil {
		t.Fatal(err)
	}
	return opened
}

// codeOf reads the answer; 0 when there is none within a while.
func codeOf(t *testing.T, from net.Conn, within time.Duration) int {
	t.Helper()
	if err := from.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(from), nil)
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

const wholeProbe = "GET /readyz HTTP/1.1\r\nHost: agent\r\n\r\n"

func TestOnlySoManyConnectionsAreServedAtOnce(t *testing.T) {
	h := probed(t, time.Hour, attachedOne)
	idle := make([]net.Conn, maxProbes)
	for at := range idle {
		idle[at] = connection(t, h, "")
	}
	waiting := connection(t, h, wholeProbe)
	if code := codeOf(t, waiting, 200*time.Millisecond); code != 0 {
		t.Error("one more is served:", code)
	}
	_ = idle[0].Close()
	if code := codeOf(t, waiting, time.Minute); code != http.StatusOK {
		t.Error("and is, when one has gone:", code)
	}
}

func TestASlowProbeIsCut(t *testing.T) {
	h := probed(t, 50*time.Millisecond, attachedOne)
	slow := connection(t, h, "GET /readyz HTTP/1.1\r\nHost: ")
	if err := slow.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(slow); err != nil {
		t.Error("not closed:", err)
	}
}

func TestALargeProbeIsRefused(t *testing.T) {
	h := probed(t, time.Minute, attachedOne)
	large := connection(t, h, "GET /readyz HTTP/1.1\r\nHost: agent\r\nX: "+strings.Repeat("x", maxProbeHeader+(4<<10)))
	if code := codeOf(t, large, time.Minute); code != http.StatusRequestHeaderFieldsTooLarge {
		t.Error(code)
	}
}

func TestAnAgentWhoseLockIsNotLetGoOfIsNotHealthy(t *testing.T) {
	asked, letGo := make(chan struct{}), make(chan struct{})
	h := probed(t, time.Minute, func() session.Standing {
		close(asked)
		<-letGo
		return session.Standing{}
	})
	stuck := connection(t, h, strings.Replace(wholeProbe, readinessPath, healthPath, 1))
	answered := make(chan int, 1)
	go func() { answered <- codeOf(t, stuck, time.Minute) }()
	<-asked
	select {
	case code := <-answered:
		t.Error("answered:", code)
	default:
	}
	close(letGo)
	if code := <-answered; code != http.StatusOK {
		t.Error(code)
	}
}
