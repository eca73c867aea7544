//! One suite that every store passes: what the traits promise, case by case, in terms of the traits alone.
//!
//! A store's tests name the suite once, with a way to make an empty store:
//!
//! ```text
//! conformance!(async || (Arc::new(MyStore::new()) as Arc<dyn Store>, ()));
//! ```
//!
//! Each case becomes a test of its own. What comes beside the store (a temporary folder, say) lives as long as the test.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cloned_ref_to_slice_refs)]

pub mod agents;
pub mod children;
pub mod clusters;
pub mod conditions;
pub mod dependencies;
pub mod durations;
pub mod events;
pub mod limits;
pub mod lists;
pub mod mail;
pub mod output;
pub mod pauses;
pub mod placement;
pub mod retention;
pub mod round_trips;
pub mod samples;
pub mod scheduling;
pub mod steps;
pub mod transactions;
pub mod workflows;

/// Makes a test of every case. `$make` is a function without arguments; its future gives an `Arc<dyn Store>`, empty, and
/// something to keep.
macro_rules! conformance {
    ($make:expr) => {
        crate::conformance::conformance_cases! { $make;
            round_trips::{
                every_field_of_a_task, every_state_of_a_task, text_of_any_kind, large_payloads, every_kind_of_payload,
                namespaces, agents, lanes, requests, edges, events_of_every_kind,
            }
            transactions::{
                nothing_wanted_and_nothing_changed, a_wrong_version_is_a_conflict, a_new_row_must_be_new,
                a_conflict_changes_nothing, what_is_rolled_back_is_gone, what_is_dropped_is_gone,
                a_transaction_sees_what_it_saved, reads_see_what_is_committed, a_thousand_rows_in_one_save,
                namespaces_are_apart, several_steps_in_one_transaction, a_void_transaction_cannot_commit, all_or_nothing_in_one_go,
            }
            scheduling::{
                ready_tasks_come_by_rank_and_id, ready_limits_hold_for_each_lane, what_nobody_else_has_is_not_passed_over,
                due_tasks_come_by_time,
                due_tasks_go_on_behind_a_place, what_falls_back_is_due_then_and_moves_to_its_lane, keys_are_free_when_their_task_ends, a_key_passes_on_within_one_save,
                live_counts_follow, lanes_in_use_follow, ready_lanes_follow, a_new_run_lives_again, a_changed_spec_moves_lanes,
            }
            dependencies::{
                pending_edges_come_by_target, resolved_and_reopened, dependencies_come_in_their_order,
                dependency_results_come_in_pages,
            }
            limits::{ uses_are_what_was_saved, a_row_of_another_version_is_a_conflict, idle_ones_come_by_their_time }
            conditions::{ every_condition, small_results }
            events::{
                in_the_order_of_commits, a_cursor_never_skips, of_one_task, the_latest_tells_its_time, the_end_is_behind_everything,
                pages_that_nobody_waits_for_leave_room_for_other_reads,
            }
            lists::{
                newest_first_in_pages, by_state, by_type_and_agent, by_key, by_tags, by_time, by_the_end_of_the_id,
                conditions_hold_together, tags_follow_the_spec, hydrated_tasks_come_as_asked,
            }
            mail::{
                every_field_of_a_message, pages_of_a_mailbox, what_goes_is_gone, a_conflict_in_a_mailbox_changes_nothing,
                new_mail_never_skips, expired_messages, closed_mailboxes_are_thrown_away,
                what_waits_is_counted,
            }
            pauses::{
                what_leases_are_to_slots, one_that_is_told_to_stop_keeps_its_pause, states_of_tasks,
            }
            placement::{ what_agents_have, what_stands_before_a_task }
            steps::{
                every_field_of_a_step, wanted_steps_and_what_their_runs_have, pages_of_steps, a_step_is_recorded_once,
                steps_that_were_rolled_back_are_gone, a_thousand_steps_in_one_save, steps_go_with_their_task,
            }
            output::{
                every_field_of_a_chunk, what_output_of_runs_has_come_to, pages_of_output, a_byte_is_given_once,
                output_that_was_rolled_back_is_gone, a_thousand_chunks_in_one_save, output_goes_with_its_task, a_row_alone,
            }
            children::{
                every_field_of_a_child, wanted_children_and_how_many_their_runs_have, what_ends_with_a_run, pages_of_children,
                a_child_is_created_once, children_that_were_rolled_back_are_gone, a_thousand_children_in_one_save,
                children_of_a_live_parent_stay, rows_of_children_go_with_the_parent,
            }
            workflows::{
                every_field_of_a_workflow, tasks_of_a_workflow_as_wanted, tasks_of_a_workflow_by_their_names, a_conflict_in_a_workflow_changes_nothing,
                workflows_newest_first_in_pages, pages_of_a_workflows_tasks, workflows_that_are_walked_over,
                a_workflow_is_forgotten_behind_its_tasks, edges_ahead_are_all_of_their_sources,
            }
            durations::{
                means_of_the_latest_of_each_type, what_did_not_complete_has_no_duration, many_types_at_once,
            }
            retention::{
                a_finished_task_goes_with_all_its_rows, what_lives_or_ended_lately_stays, what_a_live_task_depends_on_stays,
                what_would_be_forgotten_is_told_before, a_large_task_goes_in_steps, readers_of_forgotten_events_are_told,
                agents_that_are_gone,
            }
            agents::{
                with_their_leases, in_pages_by_name, live_sessions_by_id, removed_agents_are_forgotten,
                forgotten_answers,
            }
        }
    };
}

/// Makes a test of every case for stores that several replicas share, besides [`conformance`].
macro_rules! conformance_of_clusters {
    ($make:expr) => {
        crate::conformance::conformance_cases! { $make;
            clusters::{
                who_renews_is_not_declared_dead, where_replicas_are, what_ended_and_what_is_to_stop, what_is_to_stop_in_pages,
                sessions_as_they_are_now, news_of_events, time_of_day, hints_are_heard,
            }
        }
    };
}

/// See [`conformance`].
macro_rules! conformance_cases {
    ($make:expr; $($module:ident::{$($case:ident),* $(,)?})*) => {
        $(mod $module {
            #[allow(unused_imports)]
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                let (store, _kept) = ($make)().await;
                crate::conformance::$module::$case(crate::conformance::samples::Fixture::new(store)).await;
            })*
        })*
    };
}

pub(crate) use {conformance, conformance_cases, conformance_of_clusters};
