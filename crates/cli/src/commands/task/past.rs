//! Who was chosen for a task, and before whom.

use callboard::v1::{AssignmentChoice, AssignmentRunnerUp};
use comfy_table::{Cell, Table};
use serde_json::{Value, json};

use crate::output::table::{MAX_NAME, Style};
use crate::output::text::one_line;
use crate::output::time;

/// A row for each assignment, oldest first.
pub fn table(past: &[AssignmentChoice], style: Style) -> Table {
    let mut table = style.list(&["ATTEMPT", "AT", "AGENT", "SCORE", "COMPARED", "BEFORE"]);
    for choice in past {
        let known = |text: String| if choice.claimed { "-".to_owned() } else { text };
        table.add_row([
            Cell::new(choice.attempt),
            Cell::new(choice.at.as_ref().map_or_else(|| "-".to_owned(), time::to_the_second)),
            Cell::new(one_line(&choice.agent, MAX_NAME)),
            Cell::new(known(format!("{:.2}", choice.score))),
            Cell::new(known(choice.compared.to_string())),
            Cell::new(others(choice)),
        ]);
    }
    style.finish(&mut table);
    table
}

/// `bob (0.78), cid (0.60)`; `claimed`, where there was nobody to choose from.
fn others(choice: &AssignmentChoice) -> String {
    if choice.claimed {
        return "claimed".to_owned();
    }
    let other = |other: &AssignmentRunnerUp| format!("{} ({:.2})", one_line(&other.agent, MAX_NAME), other.score);
    let others: Vec<String> = choice.runners_up.iter().map(other).collect();
    if others.is_empty() { "-".to_owned() } else { others.join(", ") }
}

/// The same for programs.
pub fn document(choice: &AssignmentChoice) -> Value {
    let other = |other: &AssignmentRunnerUp| json!({ "agent": other.agent, "score": other.score });
    json!({
        "attempt": choice.attempt,
        "at": choice.at.as_ref().map(time::rfc3339),
        "agent": choice.agent,
        "claimed": choice.claimed,
        "score": choice.score,
        "compared": choice.compared,
        "runners_up": choice.runners_up.iter().map(other).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_assignment_is_told_with_those_who_were_compared() {
        let other = AssignmentRunnerUp { agent: "bob".into(), score: 0.775 };
        let chosen = AssignmentChoice {
            attempt: 1,
            agent: "ann".into(),
            score: 0.9,
            compared: 5,
            runners_up: vec![other],
            ..Default::default()
        };
        let alone = AssignmentChoice { attempt: 2, agent: "ann".into(), score: 0.8, compared: 1, ..Default::default() };
        let claimed = AssignmentChoice { attempt: 3, agent: "cron".into(), claimed: true, ..Default::default() };
        let shown = table(&[chosen, alone, claimed], Style::default()).to_string();
        let row = |n: usize| shown.lines().nth(n).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!([row(1), row(2), row(3)], ["1 - ann 0.90 5 bob (0.78)", "2 - ann 0.80 1 -", "3 - cron - - claimed"]);
    }
}
