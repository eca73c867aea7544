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
    /// The figures of a part; with a point in its name, inside another part.
    pub fn add(&mut self, part: &str, figures: Figures) {
        self.parts.push((part.to_owned(), figures));
    }

    /// The figures of a part that was measured already.
    pub fn figures(&self, part: &str) -> Option<&Figures> {
        self.parts.iter().find(|(name, _)| name == part).map(|(_, figures)| figures)
    }

    /// Where and how it was measured.
    pub fn say(&mut self, name: &str, value: Value) {
        self.surroundings.insert(name.to_owned(), value);
    }

    /// As one document.
    pub fn json(&self) -> Value {
        let mut document = Map::new();
        for (part, figures) in &self.parts {
            let (outer, inner) =
                part.split_once('.').map_or((part.as_str(), None), |(outer, inner)| (outer, Some(inner)));
            let object = document.entry(outer).or_insert_with(|| json!({}));
            // Figures are numbers and names: they can be JSON.
            let figures = serde_json::to_value(figures).unwrap_or_default();
            match (inner, figures, object) {
                (None, Value::Object(figures), Value::Object(object)) => object.extend(figures),
                (Some(inner), figures, object) => object[inner] = figures,
                (None, ..) => {}
            }
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

    /// What has no column: a line for each.
    pub fn lines(&self) -> Vec<String> {
        let each = |(part, figures): &(String, Figures)| {
            figures.more.iter().map(|(name, value)| format!("{part}.{name} = {value}")).collect::<Vec<_>>()
        };
        let surroundings = self.surroundings.iter().map(|(name, value)| format!("{name} = {value}"));
        self.parts.iter().flat_map(each).chain(surroundings).collect()
    }
}

fn number_cell(number: Option<f64>, digits: usize) -> Cell {
    let text = number.map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"));
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// Writes it to standard output.
pub fn write(report: &Report, output: &Output) -> Result<(), Error> {
    let written = if output.is_json() {
        output.document(&report.json())
    } else {
        output.table(&report.table(output)).and_then(|()| output.line(&format!("\n{}", report.lines().join("\n"))))
    };
    written.map_err(|error| Error::Io {
        doing: "cannot write the report",
        source: std::io::Error::other(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_nest_by_their_names() {
        let mut report = Report::default();
        let figures = |tasks| Figures { verified_tasks: tasks, ..Figures::default() };
        report.add("growth.unary_64", figures(1));
        report.add("growth", figures(2).with_value("ratio", json!(0.9)));
        report.say("machine", json!({"cores": 2}));
        let document = report.json();
        assert_eq!(document["growth"]["ratio"], json!(0.9));
        assert_eq!(document["growth"]["unary_64"]["verified_tasks"], json!(1));
        assert_eq!(document["verified"]["tasks"], json!(3));
        assert_eq!(document["machine"]["cores"], json!(2));
        assert!(report.lines().contains(&"growth.ratio = 0.9".to_owned()));
        assert!(report.figures("growth.unary_64").is_some() && report.figures("idle").is_none());
    }
}
