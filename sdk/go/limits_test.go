package callboard_test

import (
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

func (f *fake) CreateNamespace(_ context.Context, request *callboardv1.CreateNamespaceRequest) (*callboardv1.CreateNamespaceResponse, error) {
	f.note(request)
	space := &callboardv1.Namespace{Name: request.GetName(), Settings: request.GetSettings()}
	return &callboardv1.CreateNamespaceResponse{Namespace: space}, nil
}

func (f *fake) UpdateNamespace(_ context.Context, request *callboardv1.UpdateNamespaceRequest) (*callboardv1.UpdateNamespaceResponse, error) {
	f.note(request)
	space := &callboardv1.Namespace{Name: request.GetName(), Settings: request.GetSettings()}
	return &callboardv1.UpdateNamespaceResponse{Namespace: space}, nil
}

func TestLimitsAreSettingsOfANamespace(t *testing.T) {
	server := newFake(t)
	client, ctx := newClient(t, &callboard.ClientOptions{Address: server.address}), limited(t)
	settings := &callboard.NamespaceSettings{MaxLanes: 7, Limits: []callboard.Limit{
		{Key: "model/large", MaxConcurrent: new(4)},
		{Key: "tenant/*", Rate: new(100), RatePeriod: 90 * time.Second},
		{Key: "nothing", MaxConcurrent: new(0), Rate: new(0)},
		{Key: "says nothing"},
	}}
	want := &callboardv1.NamespaceSettings{MaxLanes: 7, Limits: []*callboardv1.Limit{
		{Key: "model/large", MaxConcurrent: new(int32(4))},
		{Key: "tenant/*", Rate: new(int32(100)), RatePeriod: durationpb.New(90 * time.Second)},
		// Zero is the server's to refuse, and no way to have no limit.
		{Key: "nothing", MaxConcurrent: new(int32(0)), Rate: new(int32(0))},
		{Key: "says nothing"},
	}}
	created := must[*callboardv1.Namespace](t)(client.CreateNamespace(ctx, "space", settings, nil))
	updated := must[*callboardv1.Namespace](t)(client.UpdateNamespace(ctx, "space", settings, nil))
	for _, space := range []*callboardv1.Namespace{created, updated} {
		expect(t, proto.Equal(space.GetSettings(), want), "as they were said", space)
	}
	none := must[*callboardv1.Namespace](t)(client.UpdateNamespace(ctx, "space", nil, nil))
	expect(t, len(none.GetSettings().GetLimits()) == 0, "none given, none there", none)
}

func TestTheSettingsThatANamespaceHasAreGivenBackAsTheyAre(t *testing.T) {
	server := newFake(t)
	client, ctx := newClient(t, &callboard.ClientOptions{Address: server.address}), limited(t)
	for _, want := range []*callboardv1.NamespaceSettings{
		{},
		{
			MaxLanes: 7, MaxLiveTasks: 8, StartToClose: durationpb.New(time.Minute), RetryPolicy: &callboardv1.RetryPolicy{
				MaxAttempts: 9, InitialBackoff: durationpb.New(time.Second), Multiplier: 3, MaxBackoff: durationpb.New(time.Hour),
				NonRetryableTypes: []string{"No"},
			},
			Limits: []*callboardv1.Limit{
				{Key: "a", MaxConcurrent: new(int32(4))}, {Key: "b/*", Rate: new(int32(5)), RatePeriod: durationpb.New(time.Minute)},
			},
		},
	} {
		settings := callboard.SettingsOf(&callboardv1.Namespace{Name: "space", Settings: want})
		updated := must[*callboardv1.Namespace](t)(client.UpdateNamespace(ctx, "space", settings, nil))
		expect(t, proto.Equal(updated.GetSettings(), want), "as they were", updated)
	}
}

func TestACountThatIsTooLargeForTheWireIsNoSmallOne(t *testing.T) {
	server := newFake(t)
	client, ctx := newClient(t, &callboard.ClientOptions{Address: server.address}), limited(t)
	// Cut off at 32 bits these would be 1 and 2.
	settings := &callboard.NamespaceSettings{Limits: []callboard.Limit{{Key: "k", MaxConcurrent: new(1<<32 + 1), Rate: new(2 - 1<<32)}}}
	space := must[*callboardv1.Namespace](t)(client.UpdateNamespace(ctx, "space", settings, nil))
	limit := space.GetSettings().GetLimits()[0]
	expect(t, limit.GetMaxConcurrent() == math.MaxInt32 && limit.GetRate() == math.MinInt32, "out of range", limit)
}

func TestWhoeverCreatesATaskSaysItsTurnAndItsLimits(t *testing.T) {
	task := callboard.NewTask{Type: "t", FairnessKey: "ann", LimitKeys: []string{"model/large", "tenant/ann"}}
	says := func(spec *callboardv1.TaskSpec) bool {
		return spec.GetFairnessKey() == "ann" && slices.Equal(spec.GetLimitKeys(), []string{"model/large", "tenant/ann"})
	}
	server := nursery(t)
	server.growth = growing(t).growth
	server.create = func(context.Context, int) (*callboardv1.CreateTaskResponse, error) {
		return &callboardv1.CreateTaskResponse{}, nil
	}
	_, over := onStage(t, server, withChildren, recorded(), func(ctx context.Context, of *callboard.Context) error {
		if _, err := callboard.StartChild(ctx, of, task, nil); err != nil {
			return err
		}
		if _, err := of.Client().AddWorkflowTasks(ctx, "w", []callboard.WorkflowTask{{Name: "a", Task: task}}, nil); err != nil {
			return err
		}
		_, err := of.Client().Create(ctx, task, nil)
		return err
	})
	check(t, receive(t, over))
	server.mu.Lock()
	defer server.mu.Unlock()
	child := server.requests[0].(*callboardv1.CreateChildRequest).GetTask()
	added := server.requests[1].(*callboardv1.AddWorkflowTasksRequest).GetTasks()[0].GetTask()
	created := server.requests[2].(*callboardv1.CreateTaskRequest).GetTask()
	for _, spec := range []*callboardv1.TaskSpec{child, added, created} {
		expect(t, says(spec), "as it was said", spec)
	}
}
