//! `callboard namespace …`

use callboard::v1::{Limit, Namespace, NamespaceSettings};

use super::Session;
use super::listing::Listing;
use crate::args::namespace::{NamespaceCommand, SettingArgs};
use crate::error::Error;
use crate::output::{details, json, table, time};
use crate::values::{self, KeyLimit};

/// Does it.
pub async fn run(session: &Session, command: NamespaceCommand) -> Result<(), Error> {
    let client = &session.client;
    match command {
        NamespaceCommand::Create(args) => {
            let settings = changed(NamespaceSettings::default(), &args.settings);
            show(session, &client.create_namespace(&args.name, settings).await?)
        }
        NamespaceCommand::List(limit) => {
            let listing = Listing { plural: "namespaces", json: json::namespace, table: table::namespaces };
            listing.write(&session.output, &limit, client.list_namespaces()).await
        }
        NamespaceCommand::Show(args) => {
            let name = args.name.as_deref().unwrap_or(client.namespace());
            show(session, &client.get_namespace(name).await?)
        }
        NamespaceCommand::Update(args) => {
            // The call replaces all settings: those not given are read and written back.
            let present = client.get_namespace(&args.name).await?.settings.unwrap_or_default();
            show(session, &client.update_namespace(&args.name, changed(present, &args.settings)).await?)
        }
    }
}

fn show(session: &Session, namespace: &Namespace) -> Result<(), Error> {
    if session.output.is_json() {
        return session.output.document(&json::namespace(namespace));
    }
    session.output.table(&session.output.style.details(details::namespace(namespace, values::now())))
}

fn changed(mut settings: NamespaceSettings, changes: &SettingArgs) -> NamespaceSettings {
    if let Some(lanes) = changes.max_lanes {
        settings.max_lanes = lanes;
    }
    if let Some(tasks) = changes.max_live_tasks {
        settings.max_live_tasks = tasks;
    }
    if let Some(limit) = changes.start_to_close {
        settings.start_to_close = Some(time::duration_to_proto(limit));
    }
    if changes.max_attempts.is_some() || changes.backoff.is_some() || changes.max_backoff.is_some() {
        let policy = settings.retry_policy.get_or_insert_default();
        if let Some(attempts) = changes.max_attempts {
            policy.max_attempts = attempts;
        }
        if let Some(backoff) = changes.backoff {
            policy.initial_backoff = Some(time::duration_to_proto(backoff));
        }
        if let Some(longest) = changes.max_backoff {
            policy.max_backoff = Some(time::duration_to_proto(longest));
        }
    }
    for change in &changes.limits {
        settings.limits.retain(|limit| limit.key != change.key);
        settings.limits.extend(change.limit.map(|limit| limit_of(&change.key, limit)));
    }
    settings
}

fn limit_of(key: &str, KeyLimit { max_concurrent, rate }: KeyLimit) -> Limit {
    Limit {
        key: key.to_owned(),
        max_concurrent,
        rate: rate.map(|(count, _)| count),
        rate_period: rate.map(|(_, period)| time::duration_to_proto(period)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::args::Cli;
    use clap::Parser;

    #[test]
    fn what_is_not_given_stays() {
        let present = NamespaceSettings { max_lanes: 7, max_live_tasks: 9, ..NamespaceSettings::default() };
        let changes =
            SettingArgs { max_lanes: Some(8), backoff: Some(Duration::from_millis(1500)), ..SettingArgs::default() };
        let settings = changed(present, &changes);
        assert_eq!((settings.max_lanes, settings.max_live_tasks, settings.start_to_close), (8, 9, None));
        let backoff = settings.retry_policy.unwrap().initial_backoff.unwrap();
        assert_eq!((backoff.seconds, backoff.nanos), (1, 500_000_000));
    }

    #[test]
    fn an_update_changes_something_whatever_it_is() {
        let line = |options: &[&str]| {
            let line: Vec<&str> =
                ["callboard", "namespace", "update", "default"].iter().chain(options).copied().collect();
            Cli::try_parse_from(line).is_ok()
        };
        assert!(!line(&[]));
        let each = [("max-lanes", "9"), ("max-live-tasks", "9"), ("max-attempts", "9"), ("backoff", "1s")];
        let more = [("max-backoff", "9s"), ("start-to-close", "9s"), ("limit", "openai=max:10")];
        for (option, value) in each.into_iter().chain(more) {
            assert!(line(&[&format!("--{option}"), value]), "{option}");
        }
    }

    #[test]
    fn limits_of_other_keys_stay() {
        let limits = |present: Vec<Limit>, texts: &[&str]| {
            let limits = texts.iter().map(|text| values::limit(text).unwrap()).collect();
            let present = NamespaceSettings { limits: present, ..NamespaceSettings::default() };
            changed(present, &SettingArgs { limits, ..SettingArgs::default() }).limits
        };
        let both = limits(Vec::new(), &["openai=max:10,rate:60/1m", "tenant/*=max:2"]);
        assert_eq!((both[0].max_concurrent, both[0].rate), (Some(10), Some(60)));
        assert_eq!(both[0].rate_period.as_ref().unwrap().seconds, 60);
        let less = limits(both, &["openai=rate:5", "tenant/*=none", "tenant/a=max:1"]);
        let told: Vec<_> = less.iter().map(|limit| (&*limit.key, limit.max_concurrent, limit.rate)).collect();
        assert_eq!(told, [("openai", None, Some(5)), ("tenant/a", Some(1), None)]);
    }
}
