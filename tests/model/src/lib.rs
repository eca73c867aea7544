//! A model of the protocol of leases, epochs and fencing, checked exhaustively: two replicas on one store, three agents.
//!
//! **What is real.** Every commit of the model is a decision of the real rules: [`callboard_core::decide`] on real rows, then the
//! rows that it changed. The model has no copy of a rule of tasks, leases, sessions and dispatch.
//!
//! **What is modelled.** What stands around the rules, as small as it can be: the replicas' volatile state (which streams are
//! open here, what is about to be pushed, whether the row of one's own is renewed), the agents' SDK (what it holds, what has no
//! receipt), and the streams between them, whose frames wait, arrive in order, and are lost when the stream is. The engine
//! ([`crates/engine`](../../../crates/engine)) is built after it; what it is to do is said where it stands: see [`replica`].
//!
//! **Time** is what may happen next. A timer that runs may fire at any moment, so what holds here holds for every choice of
//! times. Only what one is promised of another's clock is kept: a replica that could not renew its row stops pushing *before*
//! another may take it for dead.
//!
//! **State** is stored small ([`rows`]): the fields that rules read, without times, versions and texts. Rows are made of it for
//! each decision, and read back from what was decided; a row that has more in it than fits fails the check ([`store`]).
//! Agents are alike, and so are epochs but for their order: states that differ by such names alone are one ([`symmetry`]).
//!
//! **Ending.** Faults are bounded, so every run is finite: [`graph`] shows that no state comes twice, and that wherever a run
//! stops because nothing is left to happen, every task has ended.

pub mod action;
pub mod agent;
pub mod fault;
pub mod graph;
pub mod model;
pub mod properties;
pub mod replica;
pub mod rows;
pub mod state;
pub mod store;
pub mod symmetry;
