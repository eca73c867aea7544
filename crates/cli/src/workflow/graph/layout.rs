//! Where boxes and lines go. The library layers the graph by Sugiyama's method and gives cells, for terminals and for pictures alike.

use ascii_dag::Direction;
use ascii_dag::LayoutConfig;
use ascii_dag::ir::LayoutIR;

use super::Graph;
use crate::error::Error;

/// The most tasks that are laid out: more can't be looked at.
pub const MAX_TASKS: usize = 500;

/// The most levels that dependencies cross, in all: each is a bend, and what a drawing costs.
const MAX_CROSSED: usize = 5_000;

/// Between two boxes beside each other, in cells; more where labels need room.
const SPACING: usize = 3;

/// A graph with the texts of its boxes, which a layout borrows.
pub struct Drawing<'a> {
    graph: &'a Graph,
    labels: Vec<String>,
}

impl<'a> Drawing<'a> {
    /// Of a graph that isn't too large.
    pub fn new(graph: &'a Graph) -> Result<Self, Error> {
        let tasks = graph.nodes.len();
        if tasks > MAX_TASKS {
            return Err(too_large(format!("has {tasks} tasks; text and svg draw at most {MAX_TASKS}")));
        }
        let crossed = crossed(graph);
        if crossed > MAX_CROSSED {
            let fault = format!("its dependencies cross {crossed} levels; text and svg draw at most {MAX_CROSSED}");
            return Err(too_large(fault));
        }
        Ok(Self { graph, labels: (0..tasks).map(|place| graph.label(place)).collect() })
    }

    /// Lays it out. The places of nodes are their ids.
    pub fn lay_out<T>(&self, direction: Direction, draw: impl FnOnce(&LayoutIR<'_>) -> T) -> T {
        let mut graph = ascii_dag::Graph::new();
        for (place, label) in self.labels.iter().enumerate() {
            graph.add_node(place, label.as_str());
        }
        for edge in &self.graph.edges {
            let label = Some(edge.label.as_str()).filter(|label| !label.is_empty());
            graph.add_edge(edge.from, edge.to, label);
        }
        let mut config = LayoutConfig::standard();
        config.direction = direction;
        let longest = self.graph.edges.iter().map(|edge| edge.label.chars().count()).max().unwrap_or_default();
        config.node_spacing = SPACING.max(longest / 2 + 2);
        draw(&graph.compute_layout_with_config(&config))
    }
}

fn too_large(fault: String) -> Error {
    Error::Usage(format!("this graph {fault}: use --format dot or mermaid, which take any"))
}

/// How many levels lie between the ends of edges, in all.
fn crossed(graph: &Graph) -> usize {
    let mut level = vec![0_usize; graph.nodes.len()];
    // A workflow has no cycle, and is 1,000 deep at most; what a server gives is not trusted to be so.
    for _ in 0..=graph.nodes.len() {
        let mut changed = false;
        for edge in &graph.edges {
            if level[edge.to] <= level[edge.from] {
                level[edge.to] = level[edge.from] + 1;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    graph.edges.iter().map(|edge| level[edge.to].saturating_sub(level[edge.from] + 1)).sum()
}
