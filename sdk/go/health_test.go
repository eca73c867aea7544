package callboard_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/internal/testserver"
)

// nowhere is an address where nothing listens.
const nowhere = "http://127.0.0.1:1"

// probe asks an agent, by a connection of its own, and gives the code and the text of the answer.
func probe(t *testing.T, agent *callboard.Agent, method, path string) (code int, text string) {
	t.Helper()
	request := must[*http.Request](t)(http.NewRequestWithContext(limited(t), method, "http://"+agent.HealthAddress()+path, nil))
	answer := must[*http.Response](t)(http.DefaultClient.Do(request))
	defer func() { _ = answer.Body.Close() }()
	expect(t, answer.Header.Get("Content-Type") == "text/plain; charset=utf-8", "plain text", answer.Header)
	expect(t, answer.Close, "closed behind its answer", answer.Header)
	return answer.StatusCode, string(must[[]byte](t)(io.ReadAll(answer.Body)))
}

func isReadiness(t *testing.T, agent *callboard.Agent, code int, word string) bool {
	t.Helper()
	gotCode, gotWord := probe(t, agent, http.MethodGet, "/readyz")
	return gotCode == code && gotWord == word
}

func TestAnAgentAnswersProbes(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	agent := newAgent(t, callboard.AgentOptions{Address: server.Address, Health: "127.0.0.1:0"})
	began, goOn := make(chan struct{}), make(chan struct{})
	callboard.Handle(agent, "t", func(context.Context, any, *callboard.Context) (any, error) {
		close(began)
		<-goOn
		return nil, nil
	}, nil)
	expect(t, agent.HealthAddress() == "", "it listens when it has started", agent.HealthAddress())
	attached(t, agent)
	expect(t, isReadiness(t, agent, http.StatusOK, "attached"), "it takes tasks")

	server.Kill()
	until(t, "the loss of the stream", func() bool { return isReadiness(t, agent, http.StatusServiceUnavailable, "connecting") })
	code, word := probe(t, agent, http.MethodGet, "/healthz")
	expect(t, code == http.StatusOK && word == "ok", "it goes on without a server", code, word)
	server.Start()
	until(t, "another session", func() bool { return isReadiness(t, agent, http.StatusOK, "attached") })

	must[any](t)(client.Create(ctx, callboard.NewTask{Type: "t"}, nil))
	receive(t, began)
	check(t, agent.Drain())
	expect(t, isReadiness(t, agent, http.StatusServiceUnavailable, "draining"), "it takes no more")
	code, word = probe(t, agent, http.MethodGet, "/healthz")
	expect(t, code == http.StatusOK && word == "ok", "it goes on", code, word)
	close(goOn)
	check(t, agent.Wait(ctx))
	_, err := net.Dial("tcp", agent.HealthAddress())
	expect(t, errors.Is(err, syscall.ECONNREFUSED), "it has ended", err)
}

func TestAnAgentAnswersProbesFromItsStartToItsEnd(t *testing.T) {
	t.Setenv("CALLBOARD_HEALTH", "127.0.0.1:0")
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	agent := newAgent(t, callboard.AgentOptions{Address: nowhere + "," + server.Address})
	began, goOn := make(chan struct{}), make(chan struct{})
	callboard.Handle(agent, "t", func(context.Context, any, *callboard.Context) (any, error) {
		close(began)
		<-goOn
		return nil, nil
	}, nil)
	attached(t, agent)
	must[any](t)(client.Create(ctx, callboard.NewTask{Type: "t"}, nil))
	receive(t, began)
	ended := make(chan error, 1)
	go func() { ended <- agent.Stop() }()
	// It waits a while for the handler, which doesn't stop.
	until(t, "its end", func() bool { return isReadiness(t, agent, http.StatusServiceUnavailable, "stopped") })
	close(goOn)
	check(t, receive(t, ended))
}

func TestAnAgentThatNeverAttachedAnswersProbes(t *testing.T) {
	agent := newAgent(t, callboard.AgentOptions{Address: nowhere, Health: "localhost:0"})
	callboard.Handle(agent, "t", nothing, nil)
	check(t, agent.Start(t.Context()))
	expect(t, isReadiness(t, agent, http.StatusServiceUnavailable, "connecting"), "it is about to attach")
	for _, one := range []struct {
		method, path string
		code         int
	}{
		{http.MethodGet, "/healthz?verbose", http.StatusOK},
		{http.MethodGet, "/", http.StatusNotFound},
		{http.MethodGet, "/healthz/", http.StatusNotFound},
		{http.MethodGet, "//healthz", http.StatusNotFound},
		{http.MethodPost, "/metrics", http.StatusNotFound},
		{http.MethodPost, "/healthz", http.StatusMethodNotAllowed},
		{http.MethodHead, "/readyz", http.StatusMethodNotAllowed},
		{http.MethodOptions, "/readyz", http.StatusMethodNotAllowed},
	} {
		code, _ := probe(t, agent, one.method, one.path)
		expect(t, code == one.code, one.method+" "+one.path, code)
	}
	check(t, agent.Stop())
}

func TestAnAddressThatCannotBeListenedAtIsAnErrorOfStarting(t *testing.T) {
	taken := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	defer func() { _ = taken.Close() }()
	for _, address := range []string{taken.Addr().String(), "127.0.0.1", "127.0.0.1:99999", "callboard.invalid:0"} {
		agent := newAgent(t, callboard.AgentOptions{Address: nowhere, Health: address})
		callboard.Handle(agent, "t", nothing, nil)
		err := agent.Run(t.Context())
		expect(t, err != nil && strings.Contains(err.Error(), address), "names the address", err)
		expect(t, agent.Drain() != nil && agent.HealthAddress() == "", "it has not started")
	}
}
