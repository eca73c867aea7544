package callboard

import (
	"context"
	"iter"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// messageWait is how long one fetch of a watch waits: shorter than what proxies leave an idle request.
const messageWait = 50 * time.Second

// MessageOptions are what a message may have.
type MessageOptions struct {
	// Headers are what applications agree on: correlation_id, reply_to. At most 32 entries and 8 KiB.
	Headers map[string]string
	// TTL is how long it may wait for its acknowledgement. Default 7 days; 1 ms to 30 days.
	TTL time.Duration
	// RequestID: see [CommandOptions].
	RequestID string
}

// newMessage gives a message as it goes over the wire, and its request id.
func newMessage(to string, body any, options *MessageOptions) (*callboardv1.NewMessage, string, error) {
	chosen := MessageOptions{}
	if options != nil {
		chosen = *options
	}
	payload, err := encode(body, "message.payload")
	if err != nil {
		return nil, "", err
	}
	return &callboardv1.NewMessage{
		To:      &callboardv1.Address{To: &callboardv1.Address_Agent{Agent: to}},
		Payload: payload,
		Headers: chosen.Headers,
		Ttl:     duration(chosen.TTL),
	}, requestID(chosen.RequestID), nil
}

// SendMessage sends a message to the mailbox of an agent. It is durable when this returns. The error is of the kind [ErrNotFound] when
// the agent is unknown, [ErrResourceExhausted] when its mailbox is full.
func (c *Client) SendMessage(ctx context.Context, to string, body any, options *MessageOptions) (*callboardv1.MessageReceipt, error) {
	message, id, err := newMessage(to, body, options)
	if err != nil {
		return nil, err
	}
	request := &callboardv1.SendMessageRequest{Namespace: c.namespace, Message: message, RequestId: id}
	response, err := call[callboardv1.SendMessageResponse](ctx, c, callboardv1.MessageService_SendMessage_FullMethodName, request, 0)
	return response.GetReceipt(), err
}

func (c *Client) fetchMessages(ctx context.Context, agent string, after int64, wait time.Duration) ([]*callboardv1.Message, error) {
	request := &callboardv1.FetchMessagesRequest{Namespace: c.namespace, Agent: agent, AfterSequence: after, Wait: durationpb.New(wait)}
	response, err := call[callboardv1.FetchMessagesResponse](ctx, c, callboardv1.MessageService_FetchMessages_FullMethodName, request, wait)
	return response.GetMessages(), err
}

// ListMessages gives the messages that wait in an agent's mailbox, oldest first. It takes nothing away. It ends behind an error.
func (c *Client) ListMessages(ctx context.Context, agent string) iter.Seq2[*callboardv1.Message, error] {
	return c.messages(ctx, agent, 0)
}

// WatchMessages gives the messages that wait, and then each that comes, until the context ends. It takes nothing away: acknowledge
// what is handled. It ends behind an error.
func (c *Client) WatchMessages(ctx context.Context, agent string) iter.Seq2[*callboardv1.Message, error] {
	return c.messages(ctx, agent, messageWait)
}

func (c *Client) messages(ctx context.Context, agent string, wait time.Duration) iter.Seq2[*callboardv1.Message, error] {
	return func(yield func(*callboardv1.Message, error) bool) {
		var after int64
		for {
			found, err := c.fetchMessages(ctx, agent, after, wait)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, one := range found {
				after = one.GetSequence()
				if !yield(one, nil) {
					return
				}
			}
			if len(found) == 0 && wait == 0 {
				return
			}
		}
	}
}

// AcknowledgeMessages takes messages out of an agent's mailbox for good, by their ids: 1 to 1,000. It gives how many were there. A
// second time is fine.
func (c *Client) AcknowledgeMessages(ctx context.Context, agent string, ids ...string) (int, error) {
	request := &callboardv1.AcknowledgeMessagesRequest{Namespace: c.namespace, Agent: agent, MessageIds: ids}
	response, err := call[callboardv1.AcknowledgeMessagesResponse](
		ctx, c, callboardv1.MessageService_AcknowledgeMessages_FullMethodName, request, 0)
	return int(response.GetAcknowledged()), err
}
