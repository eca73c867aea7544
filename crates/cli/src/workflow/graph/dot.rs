//! Graphviz's language.

use std::fmt::Write;

use super::{EdgeStyle, Graph, colours};

pub fn write(graph: &Graph) -> String {
    let mut text = format!("digraph {} {{\n", quoted(&graph.name));
    text.push_str("  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"];\n");
    text.push_str("  edge [fontname=\"sans-serif\", fontsize=10];\n");
    for (place, node) in graph.nodes.iter().enumerate() {
        let (fill, line) = colours(node.state);
        let label = if node.says.is_empty() { node.name.clone() } else { format!("{}\n{}", node.name, node.says) };
        let label = quoted(&label);
        let _ = writeln!(
            text,
            "  n{place} [label={label}, fillcolor=\"{fill}\", color=\"{line}\"{}];",
            pen(graph.is_marked(place))
        );
    }
    for edge in &graph.edges {
        let label = if edge.label.is_empty() { String::new() } else { format!("label={}, ", quoted(&edge.label)) };
        let style = match edge.style {
            EdgeStyle::Plain => "solid",
            EdgeStyle::Dashed => "dashed",
            EdgeStyle::Dotted => "dotted",
        };
        let _ =
            writeln!(text, "  n{} -> n{} [{label}style={style}{}];", edge.from, edge.to, pen(graph.is_on_path(edge)));
    }
    text.push_str("}\n");
    text
}

/// What is marked is drawn with a broad pen.
fn pen(marked: bool) -> &'static str {
    if marked { ", penwidth=3" } else { "" }
}

/// A text in quotes. A backslash would begin an escape, as `\N` for the node's name.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}
