// Package callboard is the Go SDK of Callboard, a gRPC control plane for AI agents: clients give it tasks, agents attach and do them,
// and every task comes to an end that is durable, whatever crashes on the way.
//
// An [Agent] does tasks: give it handlers with [Handle], then [Agent.Run] it. A [Client] submits tasks, follows them and steers them.
// Options are structs, nil for the defaults. A field that is zero takes its default, also when it was set to zero: where zero means
// something else, a field or a method of its own says it ([Agent.DrainWithin], a nil *float64). What every SDK does alike stands in
// sdk/SPEC.md of the project.
//
// Tasks that belong together are a workflow ([Client.CreateWorkflow]): it is created at once, waited for, cancelled and retried as a whole.
//
// A handler can do a part of its work once for all attempts ([Step]), give out work and wait for it without holding its slot
// ([StartChild], [RunChild]), and give output that others watch while it works ([Context.Output], [Client.WatchOutput]). An [Interceptor]
// stands around every task.
package callboard
