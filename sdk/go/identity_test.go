package callboard_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/internal/testserver"
	"google.golang.org/grpc/codes"
)

// authority signs certificates.
type authority struct {
	t         *testing.T
	directory string
	ca        string
	signer    *x509.Certificate
	key       *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, directory: t.TempDir()}
	a.key = must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	a.signer = template("authority")
	a.signer.IsCA, a.signer.KeyUsage, a.signer.BasicConstraintsValid = true, x509.KeyUsageCertSign, true
	a.ca = a.write("ca", "CERTIFICATE", must[[]byte](t)(x509.CreateCertificate(rand.Reader, a.signer, a.signer, a.key.Public(), a.key)))
	return a
}

func template(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

// issue signs a certificate for an address or a DNS name, and gives the files of it and of its key.
func (a *authority) issue(name string) (certificate, key string) {
	a.t.Helper()
	private := must[*ecdsa.PrivateKey](a.t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	asked := template(name)
	asked.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if ip := net.ParseIP(name); ip != nil {
		asked.IPAddresses = []net.IP{ip}
	} else {
		asked.DNSNames = []string{name}
	}
	signed := must[[]byte](a.t)(x509.CreateCertificate(rand.Reader, asked, a.signer, private.Public(), a.key))
	encoded := must[[]byte](a.t)(x509.MarshalPKCS8PrivateKey(private))
	return a.write(name, "CERTIFICATE", signed), a.write(name+"-key", "PRIVATE KEY", encoded)
}

func (a *authority) write(name, kind string, content []byte) string {
	path := filepath.Join(a.directory, name+".pem")
	check(a.t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600))
	return path
}

func (a *authority) server() []string {
	certificate, key := a.issue("127.0.0.1")
	return []string{"--tls-cert", certificate, "--tls-key", key, "--tls-client-ca", a.ca}
}

func guarded(t *testing.T, identities *testserver.Identities, arguments ...string) *testserver.Server {
	t.Helper()
	return testserver.Start(t, append([]string{"--identities", identities.Path}, arguments...)...)
}

func as(t *testing.T, server *testserver.Server, credentials callboard.Credentials) *callboard.Client {
	t.Helper()
	return newClient(t, &callboard.ClientOptions{Address: server.Address, Credentials: &credentials})
}

func echoing(t *testing.T, server *testserver.Server, name string, credentials callboard.Credentials) *callboard.Agent {
	t.Helper()
	agent := newAgent(t, callboard.AgentOptions{Name: name, Address: server.Address, Credentials: &credentials})
	callboard.Handle(agent, "echo", func(_ context.Context, in any, _ *callboard.Context) (any, error) { return in, nil }, nil)
	return agent
}

func echo(value string) callboard.NewTask { return callboard.NewTask{Type: "echo", Input: value} }

func TestWhoAsksIsToldByTokenFileAndCertificate(t *testing.T) {
	signs, identities := newAuthority(t), testserver.NewIdentities(t)
	token := identities.Token("ann", "agent", "submitter")
	identities.Certificate("cert-ann", "ann.example", "agent", "submitter")
	server := guarded(t, identities, signs.server()...)
	file := filepath.Join(t.TempDir(), "token")
	check(t, os.WriteFile(file, []byte(token+"\n"), 0o600))
	certificate, key := signs.issue("ann.example")
	ctx := limited(t)
	for principal, given := range map[string]callboard.Credentials{
		"ann":      {Token: token, CA: signs.ca},
		"cert-ann": {ClientCert: certificate, ClientKey: key, CA: signs.ca},
	} {
		client := as(t, server, given)
		receipt := must[*callboard.TaskReceipt](t)(client.Create(ctx, echo("x"), nil))
		task := must[*callboard.Task](t)(client.Get(ctx, receipt.GetTaskId()))
		expect(t, task.GetCreatedBy() == principal, principal, task)
		agent := echoing(t, server, unique(principal), given)
		attached(t, agent)
		got := must[string](t)(callboard.Run[string](ctx, client, echo("on"), nil))
		expect(t, got == "on", "an agent, too", got)
		drained(t, agent)
	}
	must[*callboard.TaskReceipt](t)(as(t, server, callboard.Credentials{TokenFile: file, CA: signs.ca}).Create(ctx, echo("x"), nil))
	_, err := as(t, server, callboard.Credentials{CA: signs.ca}).Create(ctx, echo("x"), nil)
	var refused *callboard.Error
	expect(t, errors.As(err, &refused) && refused.Code == codes.Unauthenticated && refused.Reason == "CREDENTIALS_MISSING", "nobody", err)
	stranger := as(t, server, callboard.Credentials{Token: token, CA: newAuthority(t).ca})
	for timeout := 500 * time.Millisecond; timeout < long; timeout *= 2 {
		// A busy machine may not even have connected by then, which says nothing of the certificate.
		if _, err = stranger.WithTimeout(timeout).Create(ctx, echo("x"), nil); !errors.Is(err, callboard.ErrDeadlineExceeded) {
			break
		}
	}
	expect(t, errors.Is(err, callboard.ErrUnavailable) && strings.Contains(err.Error(), "certificate"), "another authority's server", err)
}

func TestAnAgentThatIsNotLetInEndsWithTheReason(t *testing.T) {
	identities := testserver.NewIdentities(t)
	submitter := identities.Token("ci", "submitter")
	server := guarded(t, identities)
	for reason, given := range map[string]callboard.Credentials{
		"CREDENTIALS_INVALID": {Token: "callboard_unknown"}, "ROLE_NOT_ALLOWED": {Token: submitter}, "CREDENTIALS_MISSING": {},
	} {
		err := echoing(t, server, "worker", given).Run(limited(t))
		expect(t, reasonOf(err) == reason, reason, err)
	}
}

func TestAnAgentsNameIsItsPrincipals(t *testing.T) {
	identities := testserver.NewIdentities(t)
	ann, bob := identities.Token("ann", "agent", "submitter"), identities.Token("bob", "agent", "submitter")
	server := guarded(t, identities)
	first := echoing(t, server, "worker", callboard.Credentials{Token: ann})
	attached(t, first)
	err := echoing(t, server, "worker", callboard.Credentials{Token: bob}).Run(limited(t))
	expect(t, reasonOf(err) == "NOT_YOUR_AGENT" && errors.Is(err, callboard.ErrPermissionDenied), "another's", err)
	expect(t, first.Attached(), "the first goes on")
	drained(t, first)
}

func TestWhoIsRevokedLosesItsStreamsAndOthersGoOn(t *testing.T) {
	identities := testserver.NewIdentities(t)
	loses, keeps := identities.Token("loses", "agent", "viewer"), identities.Token("keeps", "agent")
	submitter := identities.Token("ci", "submitter")
	server := guarded(t, identities)
	agent := newAgent(t, callboard.AgentOptions{Name: "loses", Address: server.Address, Credentials: &callboard.Credentials{Token: loses}})
	told := make(chan string, 2)
	callboard.Handle(agent, "stuck", func(ctx context.Context, _ any, _ *callboard.Context) (any, error) {
		told <- "began"
		<-ctx.Done()
		told <- "stopped"
		return nil, ctx.Err()
	}, nil)
	attached(t, agent)
	other := echoing(t, server, "keeps", callboard.Credentials{Token: keeps})
	attached(t, other)
	client, loser, ctx := as(t, server, callboard.Credentials{Token: submitter}), as(t, server, callboard.Credentials{Token: loses}), limited(t)
	stuck := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: "stuck"}, nil)).GetTaskId()
	expect(t, receive(t, told) == "began", "began")
	var ended error
	for event, err := range loser.Watch(&callboard.WatchOptions{TaskID: stuck}).Events(ctx) {
		if ended = err; err == nil && callboard.EventName(event) == "CREATED" {
			identities.Revoke(loses)
		}
	}
	expect(t, reasonOf(ended) == "CREDENTIALS_INVALID", "its watch ends", ended)
	err := agent.Wait(ctx)
	expect(t, reasonOf(err) == "CREDENTIALS_INVALID", "its agent ends", err)
	expect(t, receive(t, told) == "stopped", "its handler is told")
	got := must[string](t)(callboard.Run[string](ctx, client, echo("on"), nil))
	expect(t, other.Attached() && got == "on", "others go on", got)
	drained(t, other)
}

func TestATokenIsChangedWhileAnAgentRuns(t *testing.T) {
	identities := testserver.NewIdentities(t)
	file := filepath.Join(t.TempDir(), "token")
	old, submitter := identities.Token("ann", "agent", "viewer"), identities.Token("ci", "submitter")
	check(t, os.WriteFile(file, []byte(old), 0o600))
	server := guarded(t, identities)
	given := callboard.Credentials{TokenFile: file}
	agent := newAgent(t, callboard.AgentOptions{Name: "worker", Address: server.Address, Credentials: &given})
	began, proceed := make(chan int, 2), make(chan struct{})
	callboard.Handle(agent, "slow", func(_ context.Context, _ any, task *callboard.Context) (string, error) {
		began <- task.Attempt()
		<-proceed
		return "done", nil
	}, nil)
	attached(t, agent)
	client, own, ctx := as(t, server, callboard.Credentials{Token: submitter}), as(t, server, given), limited(t)
	slow := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: "slow"}, nil)).GetTaskId()
	receive(t, began)
	epoch, last := agent.SessionEpoch(), ""
	for event, err := range own.Watch(&callboard.WatchOptions{TaskID: slow, UntilEnded: true}).Events(ctx) {
		check(t, err)
		if last == "" {
			check(t, os.WriteFile(file, []byte(identities.Token("ann", "agent", "viewer")), 0o600))
			identities.Revoke(old)
			until(t, "the session with the new token", func() bool { return agent.Attached() && agent.SessionEpoch() > epoch })
			close(proceed)
		}
		last = callboard.EventName(event)
	}
	expect(t, last == "COMPLETED", "who watched went on", last)
	expect(t, must[*callboard.Task](t)(own.Get(ctx, slow)).GetAttempt() == 1, "the same attempt went on")
	drained(t, agent)
}

func TestATokenIsInNoLog(t *testing.T) {
	identities, kept := testserver.NewIdentities(t), &logs{}
	token := identities.Token("ann", "agent", "submitter")
	server := guarded(t, identities, "--log", "trace")
	given := callboard.Credentials{Token: token}
	agent := newAgent(t, callboard.AgentOptions{Address: server.Address, Credentials: &given, Logger: kept.logger()})
	callboard.Handle(agent, "echo", nothing, nil)
	attached(t, agent)
	client, ctx := as(t, server, given), limited(t)
	_, refused := client.Get(ctx, "nonsense")
	server.Kill()
	until(t, "the loss of the stream", func() bool { return !agent.Attached() })
	server.Start()
	check(t, agent.WaitAttached(ctx))
	drained(t, agent)
	shown := kept.String() + server.Log() + fmt.Sprintf("%v %+v %+v %+v", refused, refused, client, agent)
	expect(t, strings.Contains(kept.String(), "attached"), "something is logged")
	expect(t, !strings.Contains(shown, strings.TrimPrefix(token, "callboard_")), "no token is")
}
