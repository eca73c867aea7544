package callboard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Settings.

func with(variables map[string]string) lookup {
	return func(name string) string { return variables[name] }
}

func TestAddresses(t *testing.T) {
	parsed, err := parseAddresses("http://a:7470, https://b ,http://[::1]:1/")
	if err != nil || len(parsed) != 3 {
		t.Fatal(parsed, err)
	}
	one, two, three := parsed[0], parsed[1], parsed[2]
	if one.target() != "dns:///a:7470" || one.secure || one.isLoopback() {
		t.Error(one)
	}
	if two.target() != "dns:///b:443" || !two.secure {
		t.Error(two)
	}
	if three.target() != "dns:///[::1]:1" || !three.isLoopback() {
		t.Error(three)
	}
	if plain, err := parseAddress("http://127.0.0.1"); err != nil || plain.port != 80 || !plain.isLoopback() {
		t.Error(plain, err)
	}
}

func TestWrongAddressesAreRefusedByName(t *testing.T) {
	for _, text := range []string{
		" ", " , ", "localhost:7470", "ftp://a", "http://", "http://a/b", "http://a?b", "http://a:x", "http://a:0", "http://a:70000", "http://u@a",
	} {
		_, err := NewClient(&ClientOptions{Address: text})
		if !errors.Is(err, ErrInvalidArgument) || !strings.Contains(err.Error(), fmt.Sprintf("address %q", strings.TrimSpace(text))) && !strings.Contains(err.Error(), fmt.Sprintf("%q", text)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestOptionsWinOverTheEnvironmentOverDefaults(t *testing.T) {
	environment := with(map[string]string{
		"CALLBOARD_ADDRESS": "http://env:1", "CALLBOARD_NAMESPACE": "env", "CALLBOARD_AGENT_NAME": "e",
	})
	for option, host := range map[string]string{"http://option:1": "option", "": "env"} {
		if found, err := resolveAddresses(option, environment); err != nil || found[0].host != host {
			t.Error(option, found, err)
		}
	}
	if found, err := resolveAddresses("", with(nil)); err != nil || found[0].url != defaultAddress {
		t.Error(found, err)
	}
	if resolveNamespace("", environment) != "env" || resolveNamespace("", with(nil)) != "default" || resolveNamespace("o", environment) != "o" {
		t.Error("namespace")
	}
	beef := func(into []byte) { copy(into, "\xbe\xef") }
	if resolveName("", "t", environment, beef) != "e" || resolveName("o", "t", environment, beef) != "o" {
		t.Error("name")
	}
	if name := resolveName("", strings.Repeat("t", 200), with(nil), beef); len(name) != longestName || !strings.HasSuffix(name, "-beef") {
		t.Error(name)
	}
}

// Credentials.

const secret = "callboard_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"

func parsed(t *testing.T, text string) address {
	t.Helper()
	one, err := parseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return one
}

func TestATokenGivenInCodeWinsOverTheEnvironment(t *testing.T) {
	loopback, file := parsed(t, "http://127.0.0.1:7470"), filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	variables := map[string]string{"CALLBOARD_TOKEN": "from-environment"}
	for _, one := range []struct {
		given       *Credentials
		environment map[string]string
		want        string
	}{
		{nil, variables, "from-environment"},
		{&Credentials{Token: "given"}, variables, "given"},
		{&Credentials{TokenFile: file}, variables, "from-file"},
		{nil, map[string]string{"CALLBOARD_TOKEN_FILE": file}, "from-file"},
		{nil, nil, ""},
	} {
		id, err := resolveIdentity(one.given, with(one.environment))
		if err != nil || id.tokenFor(loopback) != one.want {
			t.Error(one.want, err)
		}
	}
}

func TestTwoTokensNoTokenAndHalfACertificateAreRefused(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		given       Credentials
		environment map[string]string
		named       string
	}{
		{Credentials{Token: "a", TokenFile: "b"}, nil, "one of them"},
		{Credentials{}, map[string]string{"CALLBOARD_TOKEN": "a", "CALLBOARD_TOKEN_FILE": "b"}, "one of them"},
		{Credentials{Token: "two words"}, nil, "token holds no token"},
		{Credentials{Token: "a\nb"}, nil, "token holds no token"},
		{Credentials{TokenFile: empty}, nil, "token_file"},
		{Credentials{TokenFile: empty + "none"}, nil, "can't be read"},
		{Credentials{}, map[string]string{"CALLBOARD_CA": empty + "none"}, "ca "},
		{Credentials{CA: empty}, nil, "no certificate"},
		{Credentials{}, map[string]string{"CALLBOARD_CLIENT_CERT": empty}, "client_key is missing"},
		{Credentials{ClientKey: empty}, nil, "client_cert is missing"},
		{Credentials{ClientKey: empty, ClientCert: empty}, nil, "no pair"},
		{Credentials{}, map[string]string{"CALLBOARD_ALLOW_PLAINTEXT": "maybe"}, "CALLBOARD_ALLOW_PLAINTEXT"},
	} {
		if _, err := resolveIdentity(&one.given, with(one.environment)); err == nil || !strings.Contains(err.Error(), one.named) {
			t.Errorf("%s: %v", one.named, err)
		}
	}
}

func TestATokenIsNotToldWhereItCanBeReadOnTheWay(t *testing.T) {
	loopback, remote, secure := parsed(t, "http://127.0.0.1:7470"), parsed(t, "http://callboard.example:7470"), parsed(t, "https://callboard.example")
	careful, err := resolveIdentity(&Credentials{Token: secret}, with(nil))
	if err != nil || careful.check(loopback, secure) != nil {
		t.Fatal(err)
	}
	refused := careful.check(secure, remote)
	if refused == nil || !strings.Contains(refused.Error(), "AllowPlaintext") || !strings.Contains(refused.Error(), remote.url) || strings.Contains(refused.Error(), secret) {
		t.Error(refused)
	}
	if careful.tokenFor(remote) != "" || careful.tokenFor(secure) != secret {
		t.Error("nor where a server sends its agents to")
	}
	bold, err := resolveIdentity(&Credentials{Token: secret}, with(map[string]string{"CALLBOARD_ALLOW_PLAINTEXT": "true"}))
	if err != nil || bold.check(remote) != nil || bold.tokenFor(remote) != secret {
		t.Error(err)
	}
	if _, err := NewClient(&ClientOptions{Address: remote.url, Credentials: &Credentials{Token: secret}}); err == nil {
		t.Error("a client")
	}
	if _, err := NewAgent(&AgentOptions{Address: remote.url, Credentials: &Credentials{Token: secret}}); err == nil {
		t.Error("an agent")
	}
}

func TestATokenFileIsReadAgain(t *testing.T) {
	loopback, file := parsed(t, "http://localhost"), filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old")
	id, err := resolveIdentity(&Credentials{TokenFile: file}, with(nil))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	id.now = func() time.Time { return now }
	id.readAt = now
	write("new")
	if got := id.tokenFor(loopback); got != "old" {
		t.Error("too soon:", got)
	}
	unauthenticated := &Error{Code: codes.Unauthenticated}
	if !id.isRenewed(unauthenticated, "old") || id.isRenewed(unauthenticated, "new") || id.isRenewed(&Error{Code: codes.NotFound}, "old") {
		t.Error("read again when it was refused")
	}
	write("newer")
	now = now.Add(rereadAfter)
	if got := id.tokenFor(loopback); got != "newer" {
		t.Error(got)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	now = now.Add(rereadAfter)
	if got := id.tokenFor(loopback); got != "newer" {
		t.Error("the last one that could be read:", got)
	}
}

func TestATokenIsNotShown(t *testing.T) {
	given := Credentials{Token: secret}
	client, err := NewClient(&ClientOptions{Credentials: &given})
	if err != nil {
		t.Fatal(err)
	}
	options := AgentOptions{Credentials: &given}
	agent, err := NewAgent(&options)
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%v %+v %#v %v %+v %+v", given, &given, given, client, options, agent.options)
	if strings.Contains(shown, secret) {
		t.Error(shown)
	}
}

// Errors.

func TestAnErrorHasWhatTheDetailsSay(t *testing.T) {
	said := detailed(t, codes.InvalidArgument, "task.type is empty",
		&errdetails.ErrorInfo{Reason: "INVALID_FIELD", Domain: errorDomain},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "task.type", Description: "is empty"}}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)})
	got := fromGRPC(said)
	if !errors.Is(got, ErrInvalidArgument) || errors.Is(got, ErrNotFound) || got.Reason != "INVALID_FIELD" || got.Violations[0].Field != "task.type" {
		t.Error(got)
	}
	if got.RetryAfter == nil || *got.RetryAfter != 1500*time.Millisecond || !got.isRetryable() {
		t.Error(got.RetryAfter)
	}
	if got.Error() != "InvalidArgument INVALID_FIELD: task.type is empty" || status.Code(got) != codes.InvalidArgument {
		t.Error(got.Error())
	}
	elsewhere := fromGRPC(detailed(t, codes.Internal, "x", &errdetails.ErrorInfo{Reason: "X", Domain: "elsewhere"}))
	if elsewhere.Reason != "" || elsewhere.isRetryable() {
		t.Error(elsewhere)
	}
	if late := (&Error{Code: codes.DeadlineExceeded}); !errors.Is(late, context.DeadlineExceeded) || !errors.Is(late, ErrDeadlineExceeded) {
		t.Error(late)
	}
	if !errors.Is(&Error{Code: codes.Canceled}, context.Canceled) || !(&Error{Code: codes.Unavailable}).isRetryable() {
		t.Error("kinds")
	}
}

func detailed(t *testing.T, code codes.Code, message string, details ...protoadapt.MessageV1) error {
	t.Helper()
	said, err := status.New(code, message).WithDetails(details...)
	if err != nil {
		t.Fatal(err)
	}
	return said.Err()
}

// Failures.

type brokenText struct{}

func (brokenText) Error() string { panic("no text") }

func TestAnErrorBecomesAFailureWithItsCauses(t *testing.T) {
	inner := &fs.PathError{Op: "open", Path: "x", Err: errors.New("gone")}
	failure := failureOf(fmt.Errorf("reading: %w", inner))
	if failure.GetType() != "error" || failure.GetMessage() != "reading: open x: gone" || !failure.GetRetryable() {
		t.Error(failure)
	}
	if failure.GetCause().GetType() != "PathError" || failure.GetCause().GetCause().GetMessage() != "gone" || failure.GetCause().GetCause().GetCause() != nil {
		t.Error(failure.GetCause())
	}
	joined := failureOf(errors.Join(io.EOF, inner))
	if joined.GetCause().GetMessage() != "EOF" {
		t.Error(joined)
	}
	deep := errors.New("0")
	for number := range 12 {
		deep = fmt.Errorf("%d: %w", number, deep)
	}
	depth := 0
	for at := failureOf(deep).GetCause(); at != nil; at = at.GetCause() {
		depth++
	}
	if depth != maxCauses {
		t.Error("at most eight deep:", depth)
	}
}

func TestATaskErrorFailsWithJustThat(t *testing.T) {
	own := &TaskError{
		Message: "m", Type: "T", NonRetryable: true, RetryAfter: 1500 * time.Millisecond, Details: map[string]int{"a": 1},
		Cause: &TaskError{Message: "inner", Type: "Inner", Details: "left out"},
	}
	for _, err := range []error{own, fmt.Errorf("outer: %w", own)} {
		failure := failureOf(err)
		if failure.GetType() != "T" || failure.GetMessage() != err.Error() || failure.GetRetryable() || failure.GetRetryAfter().AsDuration() != own.RetryAfter {
			t.Error(failure)
		}
		if failure.GetDetails().GetText() != `{"a":1}` {
			t.Error(failure.GetDetails())
		}
		if failure.GetCause().GetType() != "Inner" || failure.GetCause().GetDetails() != nil || failure.GetCause().GetCause() != nil {
			t.Error(failure.GetCause())
		}
	}
	plain := failureOf(&TaskError{Message: "m"})
	if plain.GetType() != "TaskError" || !plain.GetRetryable() || plain.GetDetails() != nil || plain.GetRetryAfter() != nil {
		t.Error(plain)
	}
	if kind := failureOf(&TaskError{Type: "callboard.lease_lost"}).GetType(); kind != "TaskError" {
		t.Error("the server's:", kind)
	}
	if kind := failureOf(&TaskError{Type: FailureCancelled}).GetType(); kind != FailureCancelled {
		t.Error(kind)
	}
	if details := failureOf(&TaskError{Details: make(chan int)}).GetDetails().GetText(); !strings.Contains(details, "details is not") {
		t.Error(details)
	}
}

func TestLongAndBrokenTextsFitIntoAFailure(t *testing.T) {
	if failureOf(brokenText{}).GetMessage() == "" {
		t.Error("no text")
	}
	if got := len(failureOf(errors.New(strings.Repeat("ü", 20_000))).GetMessage()); got != maxFailureMessage {
		t.Error(got)
	}
	if got := failureOf(errors.New("\xff")).GetMessage(); got != "\ufffd" {
		t.Error(got)
	}
	if got := cut("aü", 2); got != "a" {
		t.Error(got)
	}
	if got := panicked(io.EOF); got.GetType() != "panic" || got.GetMessage() != "EOF" || !got.GetRetryable() {
		t.Error(got)
	}
}

// Handlers, requests.

func TestRegistering(t *testing.T) {
	echo := func(_ context.Context, in string, _ *Context) (string, error) { return in, nil }
	for _, one := range []struct {
		prepare func(*Agent)
		named   string
	}{
		{func(*Agent) {}, "no handlers"},
		{func(a *Agent) { Handle(a, "", echo, nil) }, "task type is empty"},
		{func(a *Agent) { Handle(a, "greet", echo, nil); Handle(a, "greet", echo, nil) }, `"greet" has a handler`},
		{func(a *Agent) {
			a.OnMessage(func(context.Context, *Message) error { return nil })
			a.OnMessage(func(context.Context, *Message) error { return nil })
		}, "handler of messages already"},
	} {
		agent, err := NewAgent(nil)
		if err != nil {
			t.Fatal(err)
		}
		one.prepare(agent)
		if err := agent.Run(t.Context()); err == nil || !strings.Contains(err.Error(), one.named) {
			t.Errorf("%s: %v", one.named, err)
		}
		if err := agent.Drain(); err == nil || !strings.Contains(err.Error(), "not started") {
			t.Error(err)
		}
	}
	for _, slots := range []int{-1, 1001} {
		if _, err := NewAgent(&AgentOptions{Slots: slots}); err == nil || !strings.Contains(err.Error(), "slots") {
			t.Error(err)
		}
	}
	agent, _ := NewAgent(&AgentOptions{Labels: map[string]string{"zone": "a"}})
	Handle(agent, "greet", echo, &HandlerOptions{Description: "greets", InputSchema: `{"type":"string"}`})
	handles := agent.profile().GetHandles()
	if len(handles) != 1 || handles[0].GetType() != "greet" || handles[0].GetInputSchema() != `{"type":"string"}` {
		t.Error(handles)
	}
}

func TestProgressThatWouldBeRefused(t *testing.T) {
	for _, fraction := range []float64{-0.1, 1.1} {
		if _, err := (&Progress{Fraction: &fraction}).proto(); err == nil || !strings.Contains(err.Error(), "fraction") {
			t.Error(err)
		}
	}
	if _, err := (&Progress{Phase: strings.Repeat("x", 129)}).proto(); err == nil || !strings.Contains(err.Error(), "phase") {
		t.Error(err)
	}
	if got, err := (&Progress{Message: strings.Repeat("ü", 1000)}).proto(); err != nil || len(got.GetMessage()) != 1024 {
		t.Error(got, err)
	}
}

func TestRequestIDsBeginWithTheTime(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	if id := requestID(""); !form.MatchString(id) {
		t.Error(id)
	}
	if requestID("mine") != "mine" {
		t.Error("the caller's")
	}
	all := [10]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	if got := uuid7(time.UnixMilli(0x0123456789ab), all); got != "01234567-89ab-7fff-bfff-ffffffffffff" {
		t.Error(got)
	}
	if got := uuid4([16]byte{}); got != "00000000-0000-4000-8000-000000000000" {
		t.Error(got)
	}
}

func TestATaskWithoutAnInputHasTheEmptyString(t *testing.T) {
	spec, err := NewTask{Type: "t"}.spec("task")
	if err != nil || spec.GetInput().GetContentType() != typeText || spec.GetInput().GetText() != "" {
		t.Error(spec, err)
	}
	if _, err := (NewTask{Input: make(chan int)}).spec("task"); err == nil || !strings.Contains(err.Error(), "task.input") {
		t.Error(err)
	}
}

func TestStatesNewerThanTheSDKShowAsNumbers(t *testing.T) {
	if StateName(99) != "99" || StateName(StateRunning) != "RUNNING" {
		t.Error(StateName(99))
	}
}
