//! Limits of a namespace.

use super::Faults;
use crate::limits::{MAX_LIMIT, MAX_RATE_PERIOD, MAX_WORD};
use crate::model::{Limit, Span};
use std::collections::HashMap;
use std::fmt::Display;

impl Faults {
    /// How many tasks a limit lets through. A fault counts as one.
    pub fn limit_count(&mut self, field: impl Display + Copy, count: i32) -> u32 {
        match u32::try_from(count).ok().filter(|count| (1..=MAX_LIMIT).contains(count)) {
            Some(count) => count,
            None => {
                let remedy = "leave it out for any number, or hold the tasks for none";
                self.add(field, format!("is {count}; must be 1 to {MAX_LIMIT}: {remedy}"));
                1
            }
        }
    }

    /// Limits of a namespace.
    pub fn limits(&mut self, at: impl Display + Copy, limits: &[Limit]) {
        let mut first: HashMap<&str, usize> = HashMap::new();
        for (index, limit) in limits.iter().enumerate() {
            let field = format_args!("{at}[{index}].key");
            self.limit_key(field, &limit.key);
            if let Some(first) = first.get(&*limit.key) {
                self.add(field, format!("is that of {at}[{first}], too; give each key once"));
            }
            first.entry(&limit.key).or_insert(index);
            if limit.max_concurrent.is_none() && limit.rate.is_none() {
                self.add(format_args!("{at}[{index}]"), "limits nothing; give max_concurrent, a rate, or both");
            }
            if let Some(rate) = limit.rate {
                let shortest = Span::millis(1);
                self.span(format_args!("{at}[{index}].rate_period"), rate.period, shortest, MAX_RATE_PERIOD);
            }
        }
    }

    fn limit_key(&mut self, field: impl Display + Copy, key: &str) {
        let bytes = key.len();
        self.check((1..=MAX_WORD).contains(&bytes), field, || format!("has {bytes} bytes; give 1 to {MAX_WORD}"));
        let star = key.find('*').is_some_and(|place| place + 1 < bytes);
        self.check(!star, field, || {
            "has a * that is not at its end: it stands for all that follows; leave it out".into()
        });
    }
}
