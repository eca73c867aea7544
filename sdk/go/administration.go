package callboard

import (
	"context"
	"iter"
	"time"

	"callboard.dev/sdk/go/callboardv1"
)

// GetAgent gives one agent.
func (c *Client) GetAgent(ctx context.Context, name string) (*callboardv1.Agent, error) {
	request := &callboardv1.GetAgentRequest{Namespace: c.namespace, Name: name}
	response, err := call[callboardv1.GetAgentResponse](ctx, c, callboardv1.AgentService_GetAgent_FullMethodName, request, 0)
	return response.GetAgent(), err
}

// ListAgentsOptions say which agents are wanted: those that fit all that is set.
type ListAgentsOptions struct {
	// States: in any of these.
	States []callboardv1.AgentState
	// AgentType is what kind of agent.
	AgentType string
	// PageSize is how many agents a call fetches. Default 100; at most 1,000.
	PageSize int
}

// ListAgents gives all agents that fit, by name. Pages are fetched as needed. It ends behind an error.
func (c *Client) ListAgents(ctx context.Context, options *ListAgentsOptions) iter.Seq2[*callboardv1.Agent, error] {
	chosen := ListAgentsOptions{}
	if options != nil {
		chosen = *options
	}
	return pages(func(token string) ([]*callboardv1.Agent, string, error) {
		request := &callboardv1.ListAgentsRequest{
			Namespace: c.namespace, States: chosen.States, AgentType: chosen.AgentType,
			PageSize: int32(chosen.PageSize), PageToken: token,
		}
		page, err := call[callboardv1.ListAgentsResponse](ctx, c, callboardv1.AgentService_ListAgents_FullMethodName, request, 0)
		return page.GetAgents(), page.GetNextPageToken(), err
	})
}

// Cordon gives an agent no new tasks until [Client.Uncordon]. It keeps those that it has.
func (c *Client) Cordon(ctx context.Context, name string, options *CommandOptions) (*callboardv1.Agent, error) {
	request := &callboardv1.CordonAgentRequest{Namespace: c.namespace, Name: name, RequestId: options.requestID()}
	response, err := call[callboardv1.CordonAgentResponse](ctx, c, callboardv1.AgentService_CordonAgent_FullMethodName, request, 0)
	return response.GetAgent(), err
}

// Uncordon ends a cordon.
func (c *Client) Uncordon(ctx context.Context, name string, options *CommandOptions) (*callboardv1.Agent, error) {
	request := &callboardv1.UncordonAgentRequest{Namespace: c.namespace, Name: name, RequestId: options.requestID()}
	response, err := call[callboardv1.UncordonAgentResponse](ctx, c, callboardv1.AgentService_UncordonAgent_FullMethodName, request, 0)
	return response.GetAgent(), err
}

// RemoveAgent forgets an agent. Its session ends, and its tasks are requeued.
func (c *Client) RemoveAgent(ctx context.Context, name string, options *CommandOptions) error {
	request := &callboardv1.RemoveAgentRequest{Namespace: c.namespace, Name: name, RequestId: options.requestID()}
	_, err := call[callboardv1.RemoveAgentResponse](ctx, c, callboardv1.AgentService_RemoveAgent_FullMethodName, request, 0)
	return err
}

// NamespaceSettings are what applies to every task of a namespace. What is zero takes its default.
type NamespaceSettings struct {
	// MaxLanes is how many distinct lanes may exist. Default 1,000; at most 10,000.
	MaxLanes int
	// MaxLiveTasks is how many tasks may be live at once. Default 1,000,000; at most 100,000,000.
	MaxLiveTasks int64
	// Retry is the retry policy of tasks that have none.
	Retry RetryPolicy
	// StartToClose is the start-to-close timeout of tasks that have none. Default 300 s.
	StartToClose time.Duration
	// Limits are what tasks with a limit key may do at once, or in a time. At most 1,000, each Key once.
	Limits []Limit
}

// SettingsOf gives the settings that a namespace has, to be changed and given to [Client.UpdateNamespace], which replaces them all:
//
//	space, err := client.GetNamespace(ctx, "default")
//	...
//	settings := callboard.SettingsOf(space)
//	settings.Limits = append(settings.Limits, callboard.Limit{Key: "model/large", MaxConcurrent: new(4)})
//	space, err = client.UpdateNamespace(ctx, "default", settings, nil)
func SettingsOf(space *callboardv1.Namespace) *NamespaceSettings {
	settings := space.GetSettings()
	policy := settings.GetRetryPolicy()
	return &NamespaceSettings{
		MaxLanes:     int(settings.GetMaxLanes()),
		MaxLiveTasks: settings.GetMaxLiveTasks(),
		Retry: RetryPolicy{
			MaxAttempts:       int(policy.GetMaxAttempts()),
			InitialBackoff:    policy.GetInitialBackoff().AsDuration(),
			Multiplier:        policy.GetMultiplier(),
			MaxBackoff:        policy.GetMaxBackoff().AsDuration(),
			NonRetryableTypes: policy.GetNonRetryableTypes(),
		},
		StartToClose: settings.GetStartToClose().AsDuration(),
		Limits:       limitsOf(settings.GetLimits()),
	}
}

func (s *NamespaceSettings) proto() *callboardv1.NamespaceSettings {
	if s == nil {
		return &callboardv1.NamespaceSettings{}
	}
	return &callboardv1.NamespaceSettings{
		MaxLanes:     int32(s.MaxLanes),
		MaxLiveTasks: s.MaxLiveTasks,
		RetryPolicy:  s.Retry.proto(),
		StartToClose: duration(s.StartToClose),
		Limits:       protoLimits(s.Limits),
	}
}

// CreateNamespace creates a namespace; nil settings mean the defaults.
func (c *Client) CreateNamespace(
	ctx context.Context, name string, settings *NamespaceSettings, options *CommandOptions,
) (*callboardv1.Namespace, error) {
	request := &callboardv1.CreateNamespaceRequest{Name: name, Settings: settings.proto(), RequestId: options.requestID()}
	response, err := call[callboardv1.CreateNamespaceResponse](
		ctx, c, callboardv1.NamespaceService_CreateNamespace_FullMethodName, request, 0)
	return response.GetNamespace(), err
}

// GetNamespace gives one namespace with its settings.
func (c *Client) GetNamespace(ctx context.Context, name string) (*callboardv1.Namespace, error) {
	request := &callboardv1.GetNamespaceRequest{Name: name}
	response, err := call[callboardv1.GetNamespaceResponse](ctx, c, callboardv1.NamespaceService_GetNamespace_FullMethodName, request, 0)
	return response.GetNamespace(), err
}

// ListNamespaces gives all namespaces, by name. Pages are fetched as needed. It ends behind an error.
func (c *Client) ListNamespaces(ctx context.Context) iter.Seq2[*callboardv1.Namespace, error] {
	return pages(func(token string) ([]*callboardv1.Namespace, string, error) {
		request := &callboardv1.ListNamespacesRequest{PageToken: token}
		page, err := call[callboardv1.ListNamespacesResponse](
			ctx, c, callboardv1.NamespaceService_ListNamespaces_FullMethodName, request, 0)
		return page.GetNamespaces(), page.GetNextPageToken(), err
	})
}

// UpdateNamespace replaces all settings of a namespace, its limits with them: what is not given is the default then. [SettingsOf] gives
// those that it has.
func (c *Client) UpdateNamespace(
	ctx context.Context, name string, settings *NamespaceSettings, options *CommandOptions,
) (*callboardv1.Namespace, error) {
	request := &callboardv1.UpdateNamespaceRequest{Name: name, Settings: settings.proto(), RequestId: options.requestID()}
	response, err := call[callboardv1.UpdateNamespaceResponse](
		ctx, c, callboardv1.NamespaceService_UpdateNamespace_FullMethodName, request, 0)
	return response.GetNamespace(), err
}

// LogFilter gives the filter of the log of the server that answers. It is for principals with all namespaces.
func (c *Client) LogFilter(ctx context.Context) (string, error) {
	request := &callboardv1.GetLogFilterRequest{}
	response, err := call[callboardv1.GetLogFilterResponse](ctx, c, callboardv1.AdminService_GetLogFilter_FullMethodName, request, 0)
	return response.GetFilter(), err
}

// SetLogFilter sets the filter of the log of the server that answers, until that server ends: info,callboard_engine=debug. It gives
// the filter before and after; when a first try was carried out unheard, before is already the new one.
func (c *Client) SetLogFilter(ctx context.Context, filter string) (*callboardv1.SetLogFilterResponse, error) {
	request := &callboardv1.SetLogFilterRequest{Filter: filter}
	return call[callboardv1.SetLogFilterResponse](ctx, c, callboardv1.AdminService_SetLogFilter_FullMethodName, request, 0)
}
