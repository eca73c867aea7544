package callboard

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"callboard.dev/sdk/go/internal/backoff"
	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

const (
	// maxMessage is the largest message that is taken.
	maxMessage = 4 << 20
	// A stream may be ahead of its reader by streamWindow, all of a connection's together by connectionWindow, in bytes. With windows
	// that don't change gRPC need not measure the connection, which costs both sides a ping for much of what is received.
	streamWindow     = 1 << 20
	connectionWindow = 4 << 20
	// connectWithin is how long one attempt to connect may take.
	connectWithin = 10 * time.Second
)

// dial gives a connection of its own to one address, opened when it is first used. Retries are ours, and connecting again never
// waits for long.
func dial(to address, id *identity) (*grpc.ClientConn, error) {
	options := []grpc.DialOption{
		grpc.WithUserAgent("callboard-go/" + Version),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connectionWindow),
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: grpcbackoff.Config{
				BaseDelay: backoff.First, Multiplier: 2, Jitter: 0.5, MaxDelay: backoff.Longest,
			},
			MinConnectTimeout: connectWithin,
		}),
	}
	if to.isLoopback() {
		options = append(options, grpc.WithNoProxy())
	}
	if to.secure {
		options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(id.tls())))
	} else {
		options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	return grpc.NewClient(to.target(), options...)
}

// withToken adds what says who asks.
func withToken(ctx context.Context, token string) context.Context {
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// transport is a connection per address, and the address that is in use now.
type transport struct {
	identity  *identity
	addresses []address

	mu          sync.Mutex
	current     int
	connections map[int]*grpc.ClientConn
	closed      bool
}

func newTransport(addresses []address, id *identity) (*transport, error) {
	if err := id.check(addresses...); err != nil {
		return nil, err
	}
	return &transport{identity: id, addresses: addresses, connections: map[int]*grpc.ClientConn{}}, nil
}

// route is where a call goes, and as whom.
type route struct {
	connection *grpc.ClientConn
	turn       int
	token      string
}

// route gives the one that is in use now.
func (t *transport) route() (route, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return route{}, &Error{Code: codes.FailedPrecondition, Message: "the client is closed: make another"}
	}
	to := t.addresses[t.current]
	connection := t.connections[t.current]
	if connection == nil {
		var err error
		if connection, err = dial(to, t.identity); err != nil {
			return route{}, invalid("address", "address "+to.url+" can't be connected to: "+err.Error())
		}
		t.connections[t.current] = connection
	}
	return route{connection, t.current, t.identity.tokenFor(to)}, nil
}

// leave turns to the next address, unless another call did so meanwhile.
func (t *transport) leave(r route) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == r.turn {
		t.current = (t.current + 1) % len(t.addresses)
	}
}

// close ends all connections. Calls that are still under way fail.
func (t *transport) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	var first error
	for _, connection := range t.connections {
		if err := connection.Close(); err != nil && first == nil {
			first = err
		}
	}
	clear(t.connections)
	return first
}

// invoke makes a unary call, with retries until the timeout or the context's end. What it gives then is the last status. When nobody
// answered in that time, the next call begins at the next address.
func (t *transport) invoke(parent context.Context, method string, request, response proto.Message, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(parent, timeout)
	defer cancel()
	var delays backoff.Backoff
	for {
		way, err := t.route()
		if err != nil {
			return err
		}
		err = way.connection.Invoke(withToken(ctx, way.token), method, request, response)
		if err == nil {
			return nil
		}
		failed := fromGRPC(err)
		if t.identity.isRenewed(failed, way.token) {
			continue
		}
		if !failed.isRetryable() || parent.Err() != nil {
			if failed.Code == codes.DeadlineExceeded {
				t.leave(way)
			}
			return failed
		}
		delay := delays.Next(failed.RetryAfter, rand.Float64())
		if deadline, _ := ctx.Deadline(); time.Now().Add(delay).After(deadline) {
			return failed
		}
		if err := sleep(ctx, delay); err != nil {
			return err
		}
		t.leave(way)
	}
}

// sleep waits, unless the context ends before.
func sleep(ctx context.Context, delay time.Duration) error {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	}
}

// contextError gives the end of a context as an error of ours.
func contextError(ctx context.Context) error {
	if ctx.Err() == context.DeadlineExceeded {
		return &Error{Code: codes.DeadlineExceeded, Message: "the time was over before the answer came"}
	}
	return &Error{Code: codes.Canceled, Message: "the context was cancelled: " + context.Cause(ctx).Error()}
}
