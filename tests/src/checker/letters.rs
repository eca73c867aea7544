//! Rules on messages: promise 8.

use super::{Findings, Rule};
use crate::load::history::{Delivery, History, Letter};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(history: &History, findings: &mut Findings) {
    let letters: BTreeMap<String, &Letter> = history.letters.iter().map(|letter| (letter.text(), letter)).collect();
    let delivered: BTreeSet<&str> = history.deliveries.iter().map(|delivery| delivery.message_id.as_str()).collect();
    let mut ids = BTreeSet::new();
    for (text, letter) in &letters {
        for pair in letter.answers.windows(2) {
            findings
                .demand(pair[0] == pair[1], Rule::RepeatedOnce, text, || format!("{:?}, then {:?}", pair[0], pair[1]));
        }
        if let Some(receipt) = letter.answers.first() {
            let id = receipt.message_id.as_str();
            findings
                .demand(ids.insert(id), Rule::RepeatedOnce, text, || format!("another letter is message {id}, too"));
            findings.demand(delivered.contains(id), Rule::MessageArrives, text, || format!("{id} was never delivered"));
        }
    }
    for delivery in &history.deliveries {
        one_delivery(delivery, letters.get(&delivery.text).copied(), findings);
    }
    in_order(history, &letters, findings);
}

fn one_delivery(delivery: &Delivery, letter: Option<&Letter>, findings: &mut Findings) {
    let about = &delivery.text;
    findings.demand(!delivery.acknowledged, Rule::AcknowledgedIsGone, about, || format!("it came again: {delivery:?}"));
    let Some(letter) = letter else {
        return findings.add(Rule::NothingInvented, about, format!("nobody wrote it: {delivery:?}"));
    };
    findings.demand(letter.to == delivery.reader, Rule::MessageArrives, about, || format!("it went to {delivery:?}"));
    let known = letter
        .answers
        .first()
        .is_none_or(|receipt| receipt.message_id == delivery.message_id && receipt.sequence == delivery.sequence);
    findings.demand(known, Rule::RepeatedOnce, about, || format!("{:?} came as {delivery:?}", letter.answers));
}

/// What comes for the first time comes in the order in which its sender sent it; over one stream places rise. (A letter without a
/// receipt has no place in its sender's order: it went on to the next without knowing.)
fn in_order(history: &History, letters: &BTreeMap<String, &Letter>, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    let mut last_of_sender: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let mut last_of_stream: BTreeMap<(&str, u32), i64> = BTreeMap::new();
    for delivery in &history.deliveries {
        let before = last_of_stream.insert((&delivery.reader, delivery.stream), delivery.sequence);
        findings.demand(
            before.is_none_or(|before| before < delivery.sequence),
            Rule::MessagesInOrder,
            &delivery.text,
            || format!("over one stream it came behind place {before:?}: {delivery:?}"),
        );
        let Some(letter) = letters.get(&delivery.text).filter(|letter| !letter.answers.is_empty()) else { continue };
        if !seen.insert(&delivery.message_id) {
            continue;
        }
        let before = last_of_sender.insert((&delivery.reader, &letter.sender), letter.number);
        findings.demand(
            before.is_none_or(|before| before < letter.number),
            Rule::MessagesInOrder,
            &delivery.text,
            || format!("its sender's letter {before:?} came before it"),
        );
    }
}
