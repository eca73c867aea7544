//! Mermaid's flowcharts.

use std::fmt::Write;

use callboard::v1::TaskState;

use super::{EdgeStyle, Graph, colours};
use crate::output::names;

pub fn write(graph: &Graph) -> String {
    let mut text = String::from("flowchart TD\n");
    for (place, node) in graph.nodes.iter().enumerate() {
        let (name, says) = (escaped(&node.name), escaped(&node.says));
        let between = if says.is_empty() { "" } else { "<br/>" };
        let _ = writeln!(text, "  n{place}[\"{name}{between}{says}\"]");
    }
    for edge in &graph.edges {
        let arrow = match edge.style {
            _ if graph.is_on_path(edge) => "==>",
            EdgeStyle::Plain => "-->",
            EdgeStyle::Dashed | EdgeStyle::Dotted => "-.->",
        };
        let label = if edge.label.is_empty() { String::new() } else { format!("|\"{}\"|", escaped(&edge.label)) };
        let _ = writeln!(text, "  n{} {arrow}{label} n{}", edge.from, edge.to);
    }
    write_classes(&mut text, graph);
    for place in &graph.path {
        let _ = writeln!(text, "  style n{place} stroke-width:4px");
    }
    text
}

fn write_classes(text: &mut String, graph: &Graph) {
    let mut states: Vec<TaskState> = graph.nodes.iter().filter_map(|node| node.state).collect();
    states.sort_by_key(|state| i32::from(*state));
    states.dedup();
    for state in states {
        let (fill, line) = colours(Some(state));
        let class = names::task_state(state.into());
        let _ = writeln!(text, "  classDef {class} fill:{fill},stroke:{line},color:#212121");
        let of_state = graph.nodes.iter().enumerate().filter(|(_, node)| node.state == Some(state));
        let places: Vec<String> = of_state.map(|(place, _)| format!("n{place}")).collect();
        let _ = writeln!(text, "  class {} {class}", places.join(","));
    }
}

/// Everything that could be syntax, of Mermaid, Markdown or HTML, is written by its number.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_alphanumeric() || " _-./:=,()%".contains(c) {
            escaped.push(c);
        } else {
            let _ = write!(escaped, "#{};", u32::from(c));
        }
    }
    escaped
}
