//! The report: a table for people, JSON for programs.

use comfy_table::{Cell, CellAlignment, Table};
use serde_json::{Map, Value, json};

use super::error::Error;
use super::figures::Figures;
use crate::output::Output;

/// What came out.
#[derive(Debug, Default)]
pub struct Report {
    parts: Vec<(String, Figures)>,
    surroundings: Map<String, Value>,
}

impl Report {
    /// The figures of a part.
    pub fn add(&mut self, part: &str, figures: Figures) {
        self.parts.push((part.to_owned(), figures));
    }

    /// Where and how it was measured.
    pub fn say(&mut self, name: &str, value: Value) {
        self.surroundings.insert(name.to_owned(), value);
    }

    /// As one document.
    pub fn json(&self) -> Value {
        let mut document = Map::new();
        for (part, figures) in &self.parts {
            // Figures are numbers and names: they can be JSON.
            document.insert(part.clone(), serde_json::to_value(figures).unwrap_or_default());
        }
        let sum = |count: fn(&Figures) -> u64| self.parts.iter().map(|(_, figures)| count(figures)).sum::<u64>();
        let verified = json!({"tasks": sum(|figures| figures.verified_tasks), "faults": sum(|figures| figures.faults)});
        document.insert("verified".to_owned(), verified);
        document.extend(self.surroundings.clone());
        Value::Object(document)
    }

    /// As a table.
    pub fn table(&self, output: &Output) -> Table {
        let header = [
            "PART",
            "TASKS/S",
            "P50 MS",
            "P90 MS",
            "P99 MS",
            "MAX MS",
            "CPU US/TASK SERVER",
            "CLIENT",
            "AGENTS",
            "SERVER MIB",
            "VERIFIED",
        ];
        let mut table = output.style.list(&header);
        for (part, figures) in &self.parts {
            let processor = figures.cpu_us_per_task.unwrap_or_default();
            let rss = figures.server_rss_bytes.map(|bytes| bytes as f64 / f64::from(1 << 20));
            let numbers = [
                (figures.tasks_per_s, 0),
                (figures.p50_ms, 2),
                (figures.p90_ms, 2),
                (figures.p99_ms, 2),
                (figures.max_ms, 2),
                (processor.server, 1),
                (processor.client, 1),
                (processor.agents, 1),
                (rss, 1),
                (Some(figures.verified_tasks as f64), 0),
            ];
            let cells = numbers.map(|(number, digits)| number_cell(number, digits));
            table.add_row(std::iter::once(Cell::new(part)).chain(cells));
        }
        output.style.finish(&mut table);
        table
    }
}

fn number_cell(number: Option<f64>, digits: usize) -> Cell {
    let text = number.map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"));
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// Writes it to standard output.
pub fn write(report: &Report, output: &Output) -> Result<(), Error> {
    let written = if output.is_json() { output.document(&report.json()) } else { output.table(&report.table(output)) };
    written.map_err(|error| Error::Io {
        doing: "cannot write the report",
        source: std::io::Error::other(error.to_string()),
    })
}
