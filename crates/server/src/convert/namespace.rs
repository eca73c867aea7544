//! Namespaces and retry policies.

use super::{count, limit, time};
use callboard_core::model::{Namespace, NamespaceSettings, RetryPolicy};
use callboard_core::validate::Faults;
use callboard_proto::v1;
use std::fmt::Display;

/// Reads settings; what is unset takes its default.
pub(crate) fn settings(
    field: impl Display + Copy,
    settings: Option<v1::NamespaceSettings>,
    faults: &mut Faults,
) -> NamespaceSettings {
    let defaults = NamespaceSettings::default();
    let message = settings.unwrap_or_default();
    let start_to_close = time::span(format_args!("{field}.start_to_close"), message.start_to_close, faults);
    let read = NamespaceSettings {
        max_lanes: match message.max_lanes {
            0 => defaults.max_lanes,
            lanes => count(format_args!("{field}.max_lanes"), lanes, "1 to 10000", defaults.max_lanes, faults),
        },
        max_live_tasks: if message.max_live_tasks == 0 { defaults.max_live_tasks } else { message.max_live_tasks },
        retry_policy: retry_policy(
            format_args!("{field}.retry_policy"),
            message.retry_policy,
            &defaults.retry_policy,
            faults,
        ),
        start_to_close: start_to_close.unwrap_or(defaults.start_to_close),
        limits: limit::limits(format_args!("{field}.limits"), message.limits, faults),
    };
    faults.namespace_settings(field, &read);
    read
}

/// Reads a retry policy; what is unset is as in `defaults`.
pub(crate) fn retry_policy(
    field: impl Display + Copy,
    policy: Option<v1::RetryPolicy>,
    defaults: &RetryPolicy,
    faults: &mut Faults,
) -> RetryPolicy {
    let Some(message) = policy else { return defaults.clone() };
    let initial = time::span(format_args!("{field}.initial_backoff"), message.initial_backoff, faults);
    let longest = time::span(format_args!("{field}.max_backoff"), message.max_backoff, faults);
    let types = message.non_retryable_types;
    RetryPolicy {
        max_attempts: match message.max_attempts {
            0 => defaults.max_attempts,
            attempts => {
                let field = format_args!("{field}.max_attempts");
                count(field, attempts, "1 to 1000", defaults.max_attempts, faults)
            }
        },
        initial_backoff: initial.unwrap_or(defaults.initial_backoff),
        multiplier: if message.multiplier == 0.0 { defaults.multiplier } else { message.multiplier },
        max_backoff: longest.unwrap_or(defaults.max_backoff),
        non_retryable_types: match types.is_empty() {
            true => defaults.non_retryable_types.clone(),
            false => types.into_iter().collect(),
        },
    }
}

/// Writes a retry policy.
pub(crate) fn to_retry_policy(policy: &RetryPolicy) -> v1::RetryPolicy {
    v1::RetryPolicy {
        max_attempts: i32::try_from(policy.max_attempts).unwrap_or(i32::MAX),
        initial_backoff: Some(time::to_duration(policy.initial_backoff)),
        multiplier: policy.multiplier,
        max_backoff: Some(time::to_duration(policy.max_backoff)),
        non_retryable_types: policy.non_retryable_types.iter().cloned().collect(),
    }
}

/// Writes a namespace.
pub(crate) fn to_namespace(namespace: &Namespace) -> v1::Namespace {
    let settings = &namespace.settings;
    v1::Namespace {
        name: namespace.name.to_string(),
        settings: Some(v1::NamespaceSettings {
            max_lanes: i32::try_from(settings.max_lanes).unwrap_or(i32::MAX),
            max_live_tasks: settings.max_live_tasks,
            retry_policy: Some(to_retry_policy(&settings.retry_policy)),
            start_to_close: Some(time::to_duration(settings.start_to_close)),
            limits: settings.limits.iter().map(limit::to_limit).collect(),
        }),
        created_at: Some(time::to_timestamp(namespace.created_at)),
        version: namespace.version,
    }
}
