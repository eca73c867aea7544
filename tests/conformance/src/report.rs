//! What came out: a line as each scenario ends, a table at the end, and the same as JSON.

use crate::sdk::Sdk;
use crate::stage::Store;
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// How many characters a line has at most.
const LINE: usize = 500;

/// How a scenario ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it is to be.
    Passed,
    /// Otherwise, and how.
    Failed(String),
}

/// A scenario with an SDK.
#[derive(Clone, Debug)]
pub struct Row {
    /// The scenario.
    pub scenario: String,
    /// The SDK.
    pub sdk: Sdk,
    /// How it ended.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
}

impl Row {
    /// Says how it ended.
    pub fn tell(&self) {
        println!("{self}");
    }

    /// How it ended, in one line: the beginning of what is known.
    pub fn in_a_line(&self) -> String {
        let all = self.to_string();
        let lines: Vec<&str> = all.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.join(" | ").chars().take(LINE).collect()
    }

    fn json(&self) -> Value {
        let fault = match &self.verdict {
            Verdict::Passed => None,
            Verdict::Failed(fault) => Some(fault),
        };
        json!({ "scenario": self.scenario, "sdk": self.sdk.to_string(), "passed": fault.is_none(), "fault": fault,
                "seconds": self.took.as_secs_f64() })
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (sdk, scenario, took) = (self.sdk, &self.scenario, self.took.as_secs_f64());
        match &self.verdict {
            Verdict::Passed => write!(f, "ok      {sdk:<11}{scenario} ({took:.1} s)"),
            Verdict::Failed(fault) => write!(f, "FAILED  {sdk:<11}{scenario} ({took:.1} s): {fault}"),
        }
    }
}

/// The table scenario × SDK.
pub fn table(scenarios: &[String], sdks: &[Sdk], rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    let mut head = vec!["scenario".to_owned()];
    head.extend(sdks.iter().map(Sdk::to_string));
    table.set_header(head);
    for scenario in scenarios {
        let mut cells = vec![scenario.clone()];
        for sdk in sdks {
            let row = rows.iter().find(|row| row.scenario == *scenario && row.sdk == *sdk);
            cells.push(row.map_or_else(|| "not run".to_owned(), cell));
        }
        table.add_row(cells);
    }
    table.to_string()
}

fn cell(row: &Row) -> String {
    let word = if row.verdict == Verdict::Passed { "ok" } else { "FAILED" };
    format!("{word} {:.1} s", row.took.as_secs_f64())
}

/// Everything, for programs.
pub fn json(store: Store, rows: &[Row]) -> Value {
    json!({ "store": store.to_string(), "rows": rows.iter().map(Row::json).collect::<Vec<_>>() })
}

/// `43 of 44 passed: rust 22 of 22, python 21 of 22`.
pub fn summary(sdks: &[Sdk], rows: &[Row]) -> String {
    let passed = |rows: &[&Row]| rows.iter().filter(|row| row.verdict == Verdict::Passed).count();
    let all: Vec<&Row> = rows.iter().collect();
    let each = sdks.iter().map(|sdk| {
        let own: Vec<&Row> = rows.iter().filter(|row| row.sdk == *sdk).collect();
        format!("{sdk} {} of {}", passed(&own), own.len())
    });
    format!("{} of {} passed: {}", passed(&all), all.len(), each.collect::<Vec<_>>().join(", "))
}
