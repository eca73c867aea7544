// Package callboard is the Go SDK of Callboard, a gRPC control plane for AI agents: clients give it tasks, agents attach and do them,
// and every task comes to an end that is durable, whatever crashes on the way.
//
// An [Agent] does tasks: give it handlers with [Handle], then [Agent.Run] it. A [Client] submits tasks, follows them and steers them.
// Options are structs, nil for the defaults. What every SDK does alike stands in sdk/SPEC.md of the project.
package callboard
