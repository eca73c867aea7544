//! Timelines of workflows: the attempts of their tasks, as bars of letters over a common axis. (Libraries that draw charts in a
//! terminal draw curves or bars from a common base; none draws spans beside a table, so this is our own.)

mod attempts;
mod draw;

pub use attempts::{Attempt, attempts, micros};
pub use draw::{Row, draw};
