package callboard_test

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/testserver"
	"google.golang.org/protobuf/types/known/durationpb"
)

// worker starts an agent that does what its input says, and gives its task type.
func worker(t *testing.T, server *testserver.Server) string {
	t.Helper()
	taskType := unique("work")
	agent := newAgent(t, callboard.AgentOptions{AgentType: "worker", Slots: 8, Skills: []string{"do"}, Address: server.Address})
	callboard.Handle(agent, taskType, func(ctx context.Context, in any, task *callboard.Context) (any, error) {
		switch in {
		case "fail":
			return nil, &callboard.TaskError{Message: "no", Type: "No", NonRetryable: true, Details: map[string]string{"why": "so"}}
		case "checkpoint":
			saved, found, err := callboard.Checkpoint[map[string]int](task)
			if found || err != nil {
				return saved, err
			}
			if err := task.SaveCheckpoint(ctx, map[string]int{"step": task.Attempt()}); err != nil {
				return nil, err
			}
			return nil, errors.New("halfway")
		case "dependencies":
			dependencies, err := task.Dependencies(ctx)
			var found []any
			for _, one := range dependencies {
				value, err := callboard.Decode[any](one.GetResult())
				if err != nil {
					return nil, err
				}
				found = append(found, []any{callboard.StateName(one.GetState()), value})
			}
			return found, err
		case "large":
			return strings.Repeat("x", callboard.MaxPayload+1), nil
		case "stuck":
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return map[string]any{"got": in, "tags": task.Metadata(), "headers": task.Headers()}, nil
	}, nil)
	attached(t, agent)
	return taskType
}

func reasonOf(err error) string {
	var refused *callboard.Error
	if errors.As(err, &refused) {
		return refused.Reason
	}
	return ""
}

func TestEveryOptionOfATaskArrives(t *testing.T) {
	client, ctx := clientOf(t, testserver.Start(t)), limited(t)
	create := func(task callboard.NewTask) (*callboard.TaskReceipt, error) { return client.Create(ctx, task, nil) }
	first := must[*callboard.TaskReceipt](t)(create(callboard.NewTask{Type: "t", Input: ""}))
	soon := time.Now().Add(time.Hour)
	asked := callboard.NewTask{
		Type: "t", Input: []byte{0}, Description: "about", Key: "key", KeyConflict: callboardv1.KeyConflictPolicy_KEY_CONFLICT_POLICY_FAIL,
		Skills: []string{"s"}, Tools: []string{"t"}, Role: "lead", Assignee: "ann", PreferredAgent: "ann", Affinity: map[string]string{"zone": "a"},
		Priority: callboard.PriorityHigh,
		DependsOn: []callboard.Dependency{{
			TaskID: first.GetTaskId(), OnFailure: callboard.OnFailureFail,
		}},
		Retry: callboard.RetryPolicy{
			MaxAttempts: 5, InitialBackoff: 2 * time.Second, Multiplier: 3, MaxBackoff: 30 * time.Second, NonRetryableTypes: []string{"Fatal"},
		},
		Timeouts: callboard.Timeouts{
			ScheduleToStart: time.Second, StartToClose: 2 * time.Second, ScheduleToClose: 3 * time.Second, Heartbeat: 4 * time.Second,
		},
		Deadline: soon, StartAt: soon, Hold: true, Tags: []string{"x", "y"},
		Metadata: map[string]string{"m": "1"}, Headers: map[string]string{"traceparent": "00"},
		FairnessKey: "bob", LimitKeys: []string{"model", "tenant/bob"},
	}
	task := must[*callboard.Task](t)(client.Get(ctx, must[*callboard.TaskReceipt](t)(create(asked)).GetTaskId()))
	spec := task.GetSpec()
	expect(t, string(spec.GetInput().GetBinary()) == "\x00" && spec.GetDescription() == "about" && spec.GetKey() == "key", "what", spec)
	expect(t, len(task.GetWaitingFor()) == 3 && task.GetCreatedBy() == "anonymous" && spec.GetHold(), "waits", task)
	needs := spec.GetRequirements()
	expect(t, slices.Equal(needs.GetSkills(), []string{"s"}) && slices.Equal(needs.GetTools(), []string{"t"}) && needs.GetRole() == "lead", "needs", needs)
	expect(t, needs.GetAssignee() == "ann" && needs.GetPreferredAgent() == "ann" && needs.GetAffinity()["zone"] == "a", "needs", needs)
	expect(t, spec.GetPriority() == callboard.PriorityHigh && slices.Equal(spec.GetTags(), []string{"x", "y"}), "how urgent", spec)
	expect(t, spec.GetDependencies()[0].GetTaskId() == first.GetTaskId() && spec.GetDependencies()[0].GetOnFailure() == 2, "after", spec)
	policy, limits := spec.GetRetryPolicy(), spec.GetTimeouts()
	expect(t, policy.GetMaxAttempts() == 5 && policy.GetMultiplier() == 3 && slices.Equal(policy.GetNonRetryableTypes(), []string{"Fatal"}), "retries", policy)
	expect(t, policy.GetInitialBackoff().GetSeconds() == 2 && policy.GetMaxBackoff().GetSeconds() == 30, "backoff", policy)
	for want, got := range []*durationpb.Duration{nil, limits.GetScheduleToStart(), limits.GetStartToClose(), limits.GetScheduleToClose(), limits.GetHeartbeat()} {
		expect(t, got.GetSeconds() == int64(want), "limits", limits)
	}
	expect(t, spec.GetMetadata()["m"] == "1" && spec.GetHeaders()["traceparent"] == "00", "maps", spec)
	expect(t, spec.GetDeadline().AsTime().Unix() == soon.Unix() && spec.GetStartAt().AsTime().Unix() == soon.Unix(), "times", spec)
	expect(t, spec.GetFairnessKey() == "bob" && slices.Equal(spec.GetLimitKeys(), []string{"model", "tenant/bob"}), "turns and limits", spec)
	_, err := create(asked)
	expect(t, errors.Is(err, callboard.ErrAlreadyExists) && reasonOf(err) == "KEY_EXISTS", "taken", err)
	asked.KeyConflict = 0
	expect(t, must[*callboard.TaskReceipt](t)(create(asked)).GetExisting(), "the existing one")
}

func TestTasksAreRunFollowedAndRetried(t *testing.T) {
	server := testserver.Start(t)
	client, ctx, work := clientOf(t, server), limited(t), worker(t, server)
	type answer struct {
		Got           any
		Tags, Headers map[string]string
	}
	done := must[answer](t)(callboard.Run[answer](ctx, client, callboard.NewTask{
		Type: work, Input: []int{1}, Metadata: map[string]string{"m": "1"}, Headers: map[string]string{"h": "2"},
	}, nil))
	expect(t, len(done.Got.([]any)) == 1 && done.Tags["m"] == "1" && done.Headers["h"] == "2", "done", done)
	quick := callboard.RetryPolicy{InitialBackoff: time.Millisecond}
	steps := must[map[string]int](t)(callboard.Run[map[string]int](ctx, client, callboard.NewTask{Type: work, Input: "checkpoint", Retry: quick}, nil))
	expect(t, steps["step"] == 1, "from the checkpoint", steps)

	failing := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: work, Input: "fail"}, nil)).GetTaskId()
	task := must[*callboard.Task](t)(client.Wait(ctx, failing))
	failure := task.GetFailure()
	expect(t, task.GetState() == callboard.StateFailed && failure.GetType() == "No" && !failure.GetRetryable(), "failed", task)
	expect(t, failure.GetDetails().GetText() == `{"why":"so"}`, "details", failure)
	_, err := callboard.Result[any](ctx, client, failing)
	var failed *callboard.TaskFailed
	expect(t, errors.As(err, &failed) && failed.Task.GetId() == failing && strings.Contains(err.Error(), "No: no"), "no result", err)
	expect(t, must[*callboard.TaskReceipt](t)(client.Retry(ctx, failing, nil)).GetRun() == 2, "the next run")
	expect(t, must[*callboard.Task](t)(client.Wait(ctx, failing)).GetRun() == 2, "ended again")

	for input, kind := range map[any]string{"large": "InvalidResult", callboard.Text("{", "application/json"): "InvalidInput"} {
		task := must[*callboard.Task](t)(client.RunUntilEnded(ctx, callboard.NewTask{Type: work, Input: input}, nil))
		expect(t, task.GetFailure().GetType() == kind && !task.GetFailure().GetRetryable() && task.GetAttempt() == 1, kind, task)
	}

	receipts := must[[]*callboard.TaskReceipt](t)(client.CreateAll(ctx, []callboard.NewTask{{Type: work, Input: 1}, {Type: work, Input: "fail"}}, nil))
	one, two := receipts[0].GetTaskId(), receipts[1].GetTaskId()
	skipped := must[*callboard.Task](t)(client.RunUntilEnded(ctx, callboard.NewTask{Type: work, Input: "dependencies", DependsOn: callboard.After(two)}, nil))
	expect(t, skipped.GetState() == callboard.StateSkipped, "skipped", skipped)
	both := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: work, Input: "dependencies", DependsOn: callboard.After(one)}, nil)).GetTaskId()
	results := must[[][]any](t)(callboard.Result[[][]any](ctx, client, both))
	expect(t, len(results) == 1 && results[0][0] == "COMPLETED", "results of dependencies", results)
	found := all(t, client.DependencyResults(ctx, both))
	expect(t, len(found) == 1 && found[0].GetTaskId() == one, "the same by a call", found)

	var history, watched []string
	for _, event := range all(t, client.History(ctx, one)) {
		history = append(history, callboard.EventName(event))
	}
	watch := client.Watch(&callboard.WatchOptions{TaskID: one, UntilEnded: true})
	for _, event := range all(t, watch.Events(ctx)) {
		watched = append(watched, callboard.EventName(event))
	}
	expect(t, history[0] == "CREATED" && history[len(history)-1] == "COMPLETED" && slices.Equal(history, watched), "events", history, watched)
	expect(t, watch.Cursor() != "" && len(all(t, watch.Events(ctx))) == 0, "it has ended")
}

func TestTasksAreSteered(t *testing.T) {
	server := testserver.Start(t)
	client, ctx, work := clientOf(t, server), limited(t), worker(t, server)
	held := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: work, Input: "x", Hold: true}, nil)).GetTaskId()
	urgent, nobody, tags := callboard.PriorityUrgent, "nobody", []string{"new"}
	must[*callboard.TaskReceipt](t)(client.Update(ctx, held, &callboard.UpdateOptions{Priority: &urgent, Assignee: &nobody, Tags: &tags}))
	spec := must[*callboard.Task](t)(client.Get(ctx, held)).GetSpec()
	expect(t, spec.GetPriority() == urgent && slices.Equal(spec.GetTags(), tags) && spec.GetRequirements().GetAssignee() == nobody, "updated", spec)
	short, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
	defer cancel()
	_, err := client.Wait(short, held)
	expect(t, errors.Is(err, callboard.ErrDeadlineExceeded) && errors.Is(err, context.DeadlineExceeded) && strings.Contains(err.Error(), "not ended"), "late", err)
	anybody, never := "", time.Time{}
	must[*callboard.TaskReceipt](t)(client.Update(ctx, held, &callboard.UpdateOptions{Assignee: &anybody, Deadline: &never}))
	must[*callboard.TaskReceipt](t)(client.Release(ctx, held, nil))
	must[any](t)(callboard.Result[any](ctx, client, held))
	_, err = client.Hold(ctx, held, &callboard.ReasonOptions{Reason: "why not"})
	expect(t, errors.Is(err, callboard.ErrFailedPrecondition) && reasonOf(err) == "TASK_STATE", "ended", err)
	_, err = client.Update(ctx, held, nil)
	expect(t, errors.Is(err, callboard.ErrInvalidArgument), "nothing to change", err)
	stuck := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: work, Input: "stuck"}, nil)).GetTaskId()
	for event, err := range client.Watch(&callboard.WatchOptions{TaskID: stuck}).Events(ctx) {
		check(t, err)
		if callboard.EventName(event) == "STARTED" {
			break
		}
	}
	must[*callboard.TaskReceipt](t)(client.Cancel(ctx, stuck, nil))
	expect(t, must[*callboard.Task](t)(client.Wait(ctx, stuck)).GetState() == callboard.StateCancelled, "cancelled")
}

func TestARequestIDMakesARepetitionSafe(t *testing.T) {
	client, ctx := clientOf(t, testserver.Start(t)), limited(t)
	once := &callboard.CommandOptions{RequestID: "once"}
	first := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: "t", Input: "x"}, once))
	again := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: "t", Input: "x"}, once))
	expect(t, first.GetTaskId() == again.GetTaskId(), "the same", again)
	_, err := client.Create(ctx, callboard.NewTask{Type: "t", Input: "y"}, once)
	expect(t, reasonOf(err) == "REQUEST_ID_REUSED", "another", err)
}

func TestTasksAreClaimedAndEndedByCalls(t *testing.T) {
	client, ctx := clientOf(t, testserver.Start(t)), limited(t)
	var tasks []string
	for number := range 3 {
		tasks = append(tasks, must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: "t", Input: number}, nil)).GetTaskId())
	}
	claims := must[[]*callboardv1.Assignment](t)(client.Claim(ctx, "ann", []string{"t"}, &callboard.ClaimOptions{
		Slots: 5, MaxTasks: 5, Lease: 30 * time.Second, Wait: time.Second,
		Resources: map[string]float64{"gpu": 2}, BuildID: "b1", Labels: map[string]string{"zone": "a"},
	}))
	expect(t, len(claims) == 3, "three", claims)
	for number, claim := range claims {
		expect(t, must[int](t)(callboard.Decode[int](claim.GetSpec().GetInput())) == number, "in order", claim)
	}
	profile := must[*callboardv1.Agent](t)(client.GetAgent(ctx, "ann")).GetProfile()
	expect(t, profile.GetResources()["gpu"] == 2 && profile.GetBuildId() == "b1" && profile.GetSdk() == "go", "who", profile)
	half := 0.5
	lease := must[*callboardv1.HeartbeatTaskResponse](t)(client.Heartbeat(ctx, claims[0].GetAttempt(), &callboard.HeartbeatOptions{
		Progress: &callboard.Progress{Fraction: &half, Phase: "executing", Message: "half"}, Checkpoint: []int{1},
	}))
	expect(t, lease.GetLeaseExpiresAt() != nil && !lease.GetCancelRequested(), "extended", lease)
	task := must[*callboard.Task](t)(client.Get(ctx, tasks[0]))
	expect(t, task.GetState() == callboard.StateRunning && task.GetProgress() == 0.5 && task.GetPhase() == "executing", "runs", task)
	must[*callboard.TaskReceipt](t)(client.Complete(ctx, claims[0].GetAttempt(), map[string]bool{"fine": true}, nil))
	expect(t, must[map[string]bool](t)(callboard.Result[map[string]bool](ctx, client, tasks[0]))["fine"], "completed")
	must[*callboard.TaskReceipt](t)(client.Fail(ctx, claims[1].GetAttempt(), &callboard.TaskError{Message: "broken", Type: "Broken", NonRetryable: true}, nil))
	expect(t, must[*callboard.Task](t)(client.Get(ctx, tasks[1])).GetFailure().GetType() == "Broken", "failed")
	lease = must[*callboardv1.HeartbeatTaskResponse](t)(client.Heartbeat(ctx, claims[2].GetAttempt(), nil))
	expect(t, !lease.GetCancelRequested(), "not yet", lease)
	must[*callboard.TaskReceipt](t)(client.Cancel(ctx, tasks[2], nil))
	lease = must[*callboardv1.HeartbeatTaskResponse](t)(client.Heartbeat(ctx, claims[2].GetAttempt(), nil))
	expect(t, lease.GetCancelRequested(), "told", lease)
	must[*callboard.TaskReceipt](t)(client.Complete(ctx, claims[2].GetAttempt(), "late", nil))
	expect(t, must[*callboard.Task](t)(client.Get(ctx, tasks[2])).GetState() == callboard.StateCancelled, "whatever still arrives")
	_, err := client.Complete(ctx, claims[0].GetAttempt(), "again", nil)
	expect(t, errors.Is(err, callboard.ErrFailedPrecondition), "stale", err)
	nobodys := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: "u"}, nil)).GetTaskId()
	must[*callboard.TaskReceipt](t)(client.Complete(ctx, &callboardv1.Attempt{TaskId: nobodys}, "done", &callboard.EndOptions{Agent: "ann"}))
	expect(t, must[string](t)(callboard.Result[string](ctx, client, nobodys)) == "done", "claimed and completed")
	none := must[[]*callboardv1.Assignment](t)(client.Claim(ctx, "ann", []string{"t"}, nil))
	expect(t, len(none) == 0, "none is left", none)
}

func TestListsAgentsAndNamespaces(t *testing.T) {
	server := testserver.Start(t)
	client, ctx, work := clientOf(t, server), limited(t), worker(t, server)
	var created, listed []string
	for number := range 5 {
		receipt := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: work, Input: number, Tags: []string{"listed"}}, nil))
		created = append([]string{receipt.GetTaskId()}, created...)
	}
	for _, task := range all(t, client.List(ctx, &callboard.ListOptions{Tags: []string{"listed"}, PageSize: 2})) {
		listed = append(listed, task.GetId())
	}
	expect(t, slices.Equal(created, listed), "all pages", listed)
	failed := all(t, client.List(ctx, &callboard.ListOptions{Type: work, States: []callboard.TaskState{callboard.StateFailed}}))
	expect(t, len(failed) == 0, "none failed", failed)
	agents := all(t, client.ListAgents(ctx, &callboard.ListAgentsOptions{AgentType: "worker"}))
	expect(t, len(agents) == 1, "one", agents)
	name := agents[0].GetProfile().GetName()
	expect(t, must[*callboardv1.Agent](t)(client.Cordon(ctx, name, nil)).GetCordoned(), "cordoned")
	expect(t, !must[*callboardv1.Agent](t)(client.Uncordon(ctx, name, nil)).GetCordoned(), "uncordoned")
	must[[]*callboardv1.Assignment](t)(client.Claim(ctx, "ann", []string{"none"}, nil))
	check(t, client.RemoveAgent(ctx, "ann", nil))
	_, err := client.GetAgent(ctx, "ann")
	expect(t, errors.Is(err, callboard.ErrNotFound) && reasonOf(err) == "AGENT_NOT_FOUND", "gone", err)
	space := must[*callboardv1.Namespace](t)(client.CreateNamespace(ctx, "space", &callboard.NamespaceSettings{MaxLiveTasks: 1}, nil))
	expect(t, space.GetSettings().GetMaxLiveTasks() == 1, "created", space)
	_, err = client.CreateNamespace(ctx, "space", nil, nil)
	expect(t, errors.Is(err, callboard.ErrAlreadyExists), "twice", err)
	must[*callboardv1.Namespace](t)(client.UpdateNamespace(ctx, "space", &callboard.NamespaceSettings{MaxLiveTasks: 2}, nil))
	expect(t, must[*callboardv1.Namespace](t)(client.GetNamespace(ctx, "space")).GetSettings().GetMaxLiveTasks() == 2, "updated")
	expect(t, len(all(t, client.ListNamespaces(ctx))) == 2, "two")
	elsewhere := newClient(t, &callboard.ClientOptions{Address: server.Address, Namespace: "space"})
	_, err = elsewhere.Get(ctx, created[0])
	expect(t, errors.Is(err, callboard.ErrNotFound), "not there", err)
}

func TestWhatTheServerLogsIsShownAndSet(t *testing.T) {
	client, ctx := clientOf(t, testserver.Start(t)), limited(t)
	before := must[string](t)(client.LogFilter(ctx))
	change := must[*callboardv1.SetLogFilterResponse](t)(client.SetLogFilter(ctx, "warn,callboard_engine=debug"))
	expect(t, before == "info" && change.GetPrevious() == before && change.GetFilter() == "warn,callboard_engine=debug", "set", change)
	_, err := client.SetLogFilter(ctx, "debgu")
	expect(t, errors.Is(err, callboard.ErrInvalidArgument) && regexp.MustCompile("debgu").MatchString(err.Error()), "nonsense", err)
}

func TestHandlersHaveAClient(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	agent := newAgent(t, callboard.AgentOptions{Slots: 3, Address: server.Address})
	callboard.Handle(agent, "child", func(_ context.Context, in int, _ *callboard.Context) (int, error) { return 2 * in, nil }, nil)
	callboard.Handle(agent, "parent", func(ctx context.Context, in int, task *callboard.Context) (int, error) {
		defer func() { _ = task.Client().Close() }()
		return callboard.Run[int](ctx, task.Client(), callboard.NewTask{Type: "child", Input: in}, nil)
	}, nil)
	attached(t, agent)
	for range 2 {
		got := must[int](t)(callboard.Run[int](ctx, client, callboard.NewTask{Type: "parent", Input: 21}, nil))
		expect(t, got == 42, "closing it ends nothing of the agent's", got)
	}
	drained(t, agent)
}
