package callboard_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/testserver"
)

// known makes an agent that the server knows, and that is not attached.
func known(t *testing.T, client *callboard.Client) string {
	t.Helper()
	name := unique("ann")
	must[[]*callboardv1.Assignment](t)(client.Claim(limited(t), name, []string{"idle"}, nil))
	return name
}

func bodies(t *testing.T, client *callboard.Client, name string) []any {
	t.Helper()
	var found []any
	for _, message := range all(t, client.ListMessages(limited(t), name)) {
		found = append(found, must[any](t)(callboard.Decode[any](message.GetPayload())))
	}
	return found
}

// listening is an agent that tells of its messages.
func listening(t *testing.T, server *testserver.Server, name string) (*callboard.Agent, chan *callboard.Message) {
	t.Helper()
	told := make(chan *callboard.Message, 200)
	agent := newAgent(t, callboard.AgentOptions{Name: name, Address: server.Address})
	callboard.Handle(agent, unique("idle"), nothing, nil)
	agent.OnMessage(func(_ context.Context, message *callboard.Message) error {
		told <- message
		return nil
	})
	return agent, told
}

func TestWhatIsSentWaitsInOrderUntilItIsAcknowledged(t *testing.T) {
	client, ctx := clientOf(t, testserver.Start(t)), limited(t)
	ann := known(t, client)
	for number, body := range []any{"text", []byte("\x00\xff"), map[string]int{"page": 3}, ""} {
		options := &callboard.MessageOptions{Headers: map[string]string{"correlation_id": "c"}}
		receipt := must[*callboardv1.MessageReceipt](t)(client.SendMessage(ctx, ann, body, options))
		expect(t, receipt.GetSequence() == int64(number+1), "in order", receipt)
	}
	found := all(t, client.ListMessages(ctx, ann))
	expect(t, len(found) == 4 && found[1].GetTo().GetAgent() == ann && found[1].GetPrincipal() == "anonymous", "what waits", found)
	expect(t, found[1].GetHeaders()["correlation_id"] == "c" && found[1].GetExpiresAt().AsTime().Sub(found[1].GetSentAt().AsTime()) == 7*24*time.Hour, "as sent", found[1])
	count := must[int](t)(client.AcknowledgeMessages(ctx, ann, found[0].GetId(), found[2].GetId(), found[2].GetId()))
	expect(t, count == 2 && must[int](t)(client.AcknowledgeMessages(ctx, ann, found[0].GetId())) == 0, "a second time is fine", count)
	left := bodies(t, client, ann)
	expect(t, len(left) == 2 && string(left[0].([]byte)) == "\x00\xff" && left[1] == "", "the others", left)
}

func TestAWatchOfMessagesGivesWhatWaitsAndThenEachThatComes(t *testing.T) {
	client, ctx := clientOf(t, testserver.Start(t)), limited(t)
	ann := known(t, client)
	for number := range 120 {
		must[*callboardv1.MessageReceipt](t)(client.SendMessage(ctx, ann, number, nil))
	}
	expect(t, len(bodies(t, client, ann)) == 120, "a list longer than a page is whole")
	seen := 0
	for message, err := range client.WatchMessages(ctx, ann) {
		check(t, err)
		seen++
		expect(t, message.GetSequence() == int64(seen), "in order", message.GetSequence())
		if seen == 120 {
			go func() { _, _ = client.SendMessage(ctx, ann, "late", nil) }()
		}
		if seen == 121 {
			break
		}
	}
	expect(t, seen == 121, "the late one, too", seen)
}

func TestMessagesThatMayNotBeSentAreRefused(t *testing.T) {
	client, ctx := clientOf(t, testserver.Start(t)), limited(t)
	ann := known(t, client)
	once := &callboard.MessageOptions{RequestID: "once"}
	first := must[*callboardv1.MessageReceipt](t)(client.SendMessage(ctx, ann, "hello", once))
	again := must[*callboardv1.MessageReceipt](t)(client.SendMessage(ctx, ann, "hello", once))
	expect(t, first.GetMessageId() == again.GetMessageId(), "once", again)
	for _, one := range []struct {
		to      string
		body    any
		options *callboard.MessageOptions
		reason  string
	}{
		{ann, "hullo", once, "REQUEST_ID_REUSED"},
		{"nobody", "x", nil, "AGENT_NOT_FOUND"},
		{"", "x", nil, "INVALID_FIELD"},
		{ann, strings.Repeat("x", callboard.MaxPayload+1), nil, "PAYLOAD_TOO_LARGE"},
		{ann, make(chan int), nil, "INVALID_FIELD"},
		{ann, "x", &callboard.MessageOptions{TTL: 31 * 24 * time.Hour}, "INVALID_FIELD"},
		{ann, "x", &callboard.MessageOptions{Headers: map[string]string{"callboard.topic": "x"}}, "INVALID_FIELD"},
	} {
		_, err := client.SendMessage(ctx, one.to, one.body, one.options)
		expect(t, reasonOf(err) == one.reason, one.reason, err)
	}
	for _, err := range client.ListMessages(ctx, "nobody") {
		expect(t, errors.Is(err, callboard.ErrNotFound), "unknown", err)
	}
}

func TestAgentsWriteToEachOther(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	answering := newAgent(t, callboard.AgentOptions{Name: "ann", Address: server.Address})
	callboard.Handle(answering, "idle", nothing, nil)
	answering.OnMessage(func(ctx context.Context, message *callboard.Message) error {
		number, err := callboard.Decode[int](message.Payload())
		if err != nil {
			return err
		}
		_, err = message.Send(ctx, message.Agent(), []int{number}, &callboard.MessageOptions{TTL: time.Minute})
		return err
	})
	asking, told := listening(t, server, "bob")
	callboard.Handle(asking, "tell", func(ctx context.Context, _ any, task *callboard.Context) (int, error) {
		for number := range 100 {
			if _, err := task.Send(ctx, "ann", number, nil); err != nil {
				return number, err
			}
		}
		_, err := task.Send(ctx, "nobody", "x", nil)
		if !errors.Is(err, callboard.ErrNotFound) {
			return -1, err
		}
		return 100, nil
	}, nil)
	attached(t, answering)
	attached(t, asking)
	sent := must[int](t)(callboard.Run[int](ctx, client, callboard.NewTask{Type: "tell"}, nil))
	expect(t, sent == 100, "sent", sent)
	for number := range 100 {
		answer := receive(t, told)
		got := must[[]int](t)(callboard.Decode[[]int](answer.Payload()))
		expect(t, slices.Equal(got, []int{number}) && answer.Agent() == "ann", "in order", got)
	}
	drained(t, asking, answering)
	expect(t, len(bodies(t, client, "ann")) == 0 && len(bodies(t, client, "bob")) == 0, "all acknowledged")
}

func TestAMessageWhoseHandlerFailedComesAgainBeforeLaterOnes(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	told, tries := make(chan string, 10), 0
	agent := newAgent(t, callboard.AgentOptions{Name: "ann", Address: server.Address})
	callboard.Handle(agent, "idle", nothing, nil)
	agent.OnMessage(func(_ context.Context, message *callboard.Message) error {
		text, err := callboard.Decode[string](message.Payload())
		told <- text
		if tries++; tries == 1 {
			panic("not yet")
		}
		return err
	})
	attached(t, agent)
	for _, text := range []string{"first", "second"} {
		must[*callboardv1.MessageReceipt](t)(client.SendMessage(ctx, "ann", text, nil))
	}
	for _, want := range []string{"first", "first", "second"} {
		got := receive(t, told)
		expect(t, got == want, want, got)
	}
	drained(t, agent)
	expect(t, len(bodies(t, client, "ann")) == 0, "acknowledged")
}

func TestNoMessageIsLostOrHandledTwiceByAnAgentThatOutlivesTheServer(t *testing.T) {
	server := testserver.Start(t)
	agent, told := listening(t, server, "ann")
	attached(t, agent)
	client, ctx := clientOf(t, server), limited(t)
	for number := range 20 {
		must[*callboardv1.MessageReceipt](t)(client.SendMessage(ctx, "ann", number, nil))
		if number == 4 || number == 14 {
			server.Kill()
			until(t, "the loss of the stream", func() bool { return !agent.Attached() })
			server.Start()
			check(t, agent.WaitAttached(ctx))
		}
	}
	for number := range 20 {
		got := must[int](t)(callboard.Decode[int](receive(t, told).Payload()))
		expect(t, got == number, "in order", got, number)
	}
	drained(t, agent)
	expect(t, len(told) == 0 && len(bodies(t, client, "ann")) == 0, "each once")
}

func TestAMessageThatWasNotAcknowledgedComesToTheNextProcess(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	first, began := newAgent(t, callboard.AgentOptions{Name: "ann", Address: server.Address}), make(chan string, 1)
	callboard.Handle(first, "idle", nothing, nil)
	first.OnMessage(func(ctx context.Context, message *callboard.Message) error {
		began <- message.ID()
		<-ctx.Done()
		return ctx.Err()
	})
	attached(t, first)
	must[*callboardv1.MessageReceipt](t)(client.SendMessage(ctx, "ann", "hello", nil))
	delivered := receive(t, began)
	check(t, first.Stop())
	second, told := listening(t, server, "ann")
	attached(t, second)
	expect(t, receive(t, told).ID() == delivered, "at least once, with the id to deduplicate by")
	drained(t, second)
}
