//! A picture.

use std::fmt::Write;

use ascii_dag::Direction;
use ascii_dag::ir::{EdgePath, LayoutEdge, LayoutIR, LayoutNode};

use super::layout::Drawing;
use super::{EdgeStyle, Graph, colours};
use crate::error::Error;

/// A cell of the layout in pixels: a letter of a monospaced 13-pixel font is not wider.
const CELL_WIDTH: usize = 8;
const CELL_HEIGHT: usize = 26;

/// Between a box and the edge of its cells.
const INSET: usize = 2;

/// Around the picture.
const MARGIN: usize = 12;

const STYLE: &str = "\
  <style>text { font: 13px monospace; fill: #212121 } .label { font-size: 11px; fill: #616161; \
paint-order: stroke; stroke: #ffffff; stroke-width: 3px } \
path { fill: none; stroke: #757575 }</style>
  <defs><marker id=\"arrow\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerUnits=\"userSpaceOnUse\" markerWidth=\"8\" markerHeight=\"8\" \
orient=\"auto\">\
<path d=\"M 0 1 L 9 5 L 0 9\"/></marker></defs>
";

pub fn write(graph: &Graph) -> Result<String, Error> {
    Ok(Drawing::new(graph)?.lay_out(Direction::TopDown, |layout| draw(graph, layout)))
}

fn draw(graph: &Graph, layout: &LayoutIR<'_>) -> String {
    let (width, height) = (layout.width() * CELL_WIDTH + 2 * MARGIN, layout.height() * CELL_HEIGHT + 2 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"-{MARGIN} -{MARGIN} {width} {height}\">\n"
    );
    let _ = writeln!(svg, "  <title>{}</title>", escaped(&graph.name));
    svg.push_str(STYLE);
    for edge in layout.edges() {
        draw_edge(&mut svg, graph, edge);
    }
    for node in layout.nodes() {
        draw_node(&mut svg, graph, node);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_node(svg: &mut String, graph: &Graph, node: &LayoutNode<'_>) {
    // What the library puts in, to lead lines around boxes, has no place in the graph.
    let Some(of_graph) = graph.nodes.get(node.id).filter(|_| node.edge_index.is_none()) else { return };
    let (fill, line) = colours(of_graph.state);
    let (x, y) = (node.x * CELL_WIDTH, node.y * CELL_HEIGHT + INSET);
    let (width, height) = (node.width * CELL_WIDTH, CELL_HEIGHT - 2 * INSET);
    let (middle, base) = (x + width / 2, y + height / 2 + 4);
    let label = escaped(&of_graph.label());
    let pen = pen(graph.is_marked(node.id));
    let _ = writeln!(
        svg,
        "  <rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"5\" fill=\"{fill}\" stroke=\"{line}\"{pen}/>\n  \
         <text x=\"{middle}\" y=\"{base}\" text-anchor=\"middle\">{label}</text>"
    );
}

fn draw_edge(svg: &mut String, graph: &Graph, edge: &LayoutEdge<'_>) {
    let of_graph = graph.edges.get(edge.edge_index);
    let pen = pen(of_graph.is_some_and(|edge| graph.is_on_path(edge)));
    let dashes = match of_graph.map(|edge| edge.style) {
        Some(EdgeStyle::Dashed) => " stroke-dasharray=\"5 4\"",
        Some(EdgeStyle::Dotted) => " stroke-dasharray=\"2 3\"",
        Some(EdgeStyle::Plain) | None => "",
    };
    let way: Vec<String> = points(edge).into_iter().map(|(x, y)| format!("{x} {y}")).collect();
    let _ = writeln!(svg, "  <path d=\"M {}\"{dashes}{pen} marker-end=\"url(#arrow)\"/>", way.join(" L "));
    if let Some(label) = edge.label {
        let (x, y) = centre((edge.label_x, edge.label_y));
        let _ = writeln!(svg, "  <text class=\"label\" x=\"{x}\" y=\"{y}\">{}</text>", escaped(label));
    }
}

/// What is marked is drawn with a broad pen. (By a style: the one of the picture would win over an attribute.)
fn pen(marked: bool) -> &'static str {
    if marked { " style=\"stroke-width: 3\"" } else { "" }
}

/// From the lower side of one box to the upper side of the other.
fn points(edge: &LayoutEdge<'_>) -> Vec<(usize, usize)> {
    let (from, to) = (centre((edge.from_x, edge.from_y)), centre((edge.to_x, edge.to_y)));
    let half = CELL_HEIGHT / 2 - INSET;
    let mut points = vec![(from.0, from.1 + half)];
    match &edge.path {
        EdgePath::Corner { bend_at } => {
            let (_, y) = centre((0, *bend_at));
            points.extend([(from.0, y), (to.0, y)]);
        }
        EdgePath::MultiSegment { waypoints, start_offset } => {
            // Each turn is in the row below what it comes from: between two rows of boxes.
            let (mut at, mut row) = ((edge.from_x, edge.from_y), edge.from_y + 1 + start_offset);
            for &next in waypoints.iter().chain(&[(edge.to_x, edge.to_y)]) {
                if next.0 != at.0 {
                    points.extend([centre((at.0, row)), centre((next.0, row))]);
                }
                (at, row) = (next, next.1 + 1);
            }
        }
        // Straight; what a later version of the library adds is drawn so, too.
        _ => {}
    }
    points.push((to.0, to.1 - half));
    points
}

fn centre((x, y): (usize, usize)) -> (usize, usize) {
    (x * CELL_WIDTH + CELL_WIDTH / 2, y * CELL_HEIGHT + CELL_HEIGHT / 2)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
