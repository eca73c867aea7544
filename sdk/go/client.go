package callboard

import (
	"context"
	"iter"
	"os"
	"time"

	"google.golang.org/protobuf/proto"
)

// ClientOptions say where a client connects, and as whom. What is empty is taken from the environment.
type ClientOptions struct {
	// Address is a comma-separated list of http:// or https:// URLs, tried in turn (CALLBOARD_ADDRESS). Default http://127.0.0.1:7470.
	Address string
	// Namespace is the unit of isolation (CALLBOARD_NAMESPACE). Default "default".
	Namespace string
	// Timeout is how long a call may take, with all its retries, unless its context ends before. Default 30 s. Waits may take longer
	// by what they wait.
	Timeout time.Duration
	// Credentials say who asks.
	Credentials *Credentials
	// Interceptors stand around every task that is submitted; the first is the outermost.
	Interceptors []Interceptor
}

// Client submits tasks, follows them and steers them. It is safe for concurrent use.
//
// Every command carries a request id, so every call is safe to retry, and is retried while the server is unavailable, for at most
// the client's timeout, or until the context ends. The errors of all methods are [*Error]s, unless they say otherwise.
type Client struct {
	transport *transport
	namespace string
	timeout   time.Duration
	// runs carries the tasks that are run, of all clients over these connections.
	runs *runStream
	// borrowed: the connections are another's, who closes them.
	borrowed     bool
	interceptors []Interceptor
}

// NewClient makes a client; nil options mean the environment and the defaults. Nothing is connected before the first call. Close it
// when it is done with.
//
// The error is an [*Error] of the kind [ErrInvalidArgument] that names the option that is wrong.
func NewClient(options *ClientOptions) (*Client, error) {
	chosen := ClientOptions{}
	if options != nil {
		chosen = *options
	}
	addresses, err := resolveAddresses(chosen.Address, os.Getenv)
	if err != nil {
		return nil, err
	}
	id, err := resolveIdentity(chosen.Credentials, os.Getenv)
	if err != nil {
		return nil, err
	}
	transport, err := newTransport(addresses, id)
	if err != nil {
		return nil, err
	}
	if chosen.Timeout < 0 {
		return nil, invalid("timeout", "timeout is "+chosen.Timeout.String()+": give more than 0, or 0 for the default of 30s")
	}
	if chosen.Timeout == 0 {
		chosen.Timeout = defaultTimeout
	}
	return newClient(transport, resolveNamespace(chosen.Namespace, os.Getenv), chosen.Timeout, chosen.Interceptors), nil
}

func newClient(transport *transport, namespace string, timeout time.Duration, interceptors []Interceptor) *Client {
	return &Client{
		transport: transport, namespace: namespace, timeout: timeout, runs: newRunStream(transport, namespace), interceptors: interceptors,
	}
}

// Close ends the connections. Calls that are still under way fail. The client of a handler ends with its agent: closing it does nothing.
func (c *Client) Close() error {
	if c.borrowed {
		return nil
	}
	return c.end()
}

// end is Close, for the owner of the connections.
func (c *Client) end() error {
	c.runs.close()
	return c.transport.close()
}

// Namespace is the namespace that the client works in.
func (c *Client) Namespace() string {
	return c.namespace
}

// WithTimeout gives a client over the same connections whose calls may take so long.
func (c *Client) WithTimeout(timeout time.Duration) *Client {
	other := *c
	other.timeout, other.borrowed = timeout, true
	return &other
}

// CommandOptions are what every command takes.
type CommandOptions struct {
	// RequestID makes a repetition by your program safe: the same request under the same id is carried out once. At most 128
	// characters, remembered for 24 h. Default: a UUIDv7, kept through the retries of the call.
	RequestID string
}

func (o *CommandOptions) requestID() string {
	if o == nil {
		return requestID("")
	}
	return requestID(o.RequestID)
}

// message is a pointer to a T that is a protobuf message.
type message[T any] interface {
	*T
	proto.Message
}

// call makes a unary call. The extra time is what the server may wait.
func call[T any, M message[T]](ctx context.Context, c *Client, method string, request proto.Message, extra time.Duration) (M, error) {
	response := M(new(T))
	if err := c.transport.invoke(ctx, method, request, response, c.timeout+extra); err != nil {
		return nil, err
	}
	return response, nil
}

// pages gives the items of pages one after the other, and fetches pages as needed. It ends behind an error.
func pages[T any](fetch func(token string) (items []T, next string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		token := ""
		for {
			items, next, err := fetch(token)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			token = next
		}
	}
}
