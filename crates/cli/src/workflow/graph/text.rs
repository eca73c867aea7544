//! A drawing of letters.

use ascii_dag::Direction;
use ascii_dag::{LabelOverflow, RenderOptions};

use super::Graph;
use super::layout::Drawing;
use crate::error::Error;

/// From top to bottom; from left to right, if that fits the terminal and the other doesn't.
pub fn write(graph: &Graph, width: usize) -> Result<String, Error> {
    let mut text = drawn(graph, width)?;
    if !graph.path.is_empty() {
        text.push_str("\n* is on the critical path: the end waits for it.\n");
    }
    Ok(text)
}

fn drawn(graph: &Graph, width: usize) -> Result<String, Error> {
    let drawing = Drawing::new(graph)?;
    let mut options = RenderOptions::plain();
    // What finds no place beside its line is told below the drawing.
    options.plan.label_policy.overflow = LabelOverflow::Legend;
    options.emit.render_legend = true;
    let draw = |direction| drawing.lay_out(direction, |layout| layout.render_string(&options));
    let down = draw(Direction::TopDown);
    if widest(&down) <= width {
        return Ok(trimmed(&down));
    }
    let right = draw(Direction::LeftRight);
    Ok(trimmed(if widest(&right) <= width { &right } else { &down }))
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.trim_end().chars().count()).max().unwrap_or_default()
}

/// Without the empty lines and columns around it.
fn trimmed(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let first = lines.iter().position(|line| !line.is_empty()).unwrap_or_default();
    let last = lines.iter().rposition(|line| !line.is_empty()).map_or(first, |last| last + 1);
    let lines = &lines[first..last];
    let indented = |line: &&&str| !line.is_empty();
    let margin =
        lines.iter().filter(indented).map(|line| line.len() - line.trim_start().len()).min().unwrap_or_default();
    lines.iter().map(|line| format!("{}\n", line.get(margin..).unwrap_or_default())).collect()
}
