//! So many of some children that are to complete: what one wait of a handler is for.

use std::collections::HashSet;

use callboard_proto::v1;

/// Over when so many have completed, or so many can't any more. One of one is over when that child has ended, however.
#[derive(Debug)]
pub(in crate::agent) struct Quorum {
    /// In the order in which they were given; each stands there once.
    children: Vec<String>,
    /// Those that are not known to have ended.
    open: HashSet<String>,
    /// How many more are to complete.
    missing: usize,
}

impl Quorum {
    pub(in crate::agent) fn new(children: Vec<String>, count: usize) -> Self {
        let open = children.iter().cloned().collect();
        Self { children, open, missing: count }
    }

    /// The end of this child alone.
    pub(in crate::agent) fn of_one(child: String) -> Self {
        Self::new(vec![child], 1)
    }

    /// Takes the end of a child, when it is one of them. Whether it is over then.
    pub(in crate::agent) fn take(&mut self, end: &v1::TaskEnd) -> bool {
        if self.open.remove(&end.task_id) && end.state() == v1::TaskState::Completed {
            self.missing = self.missing.saturating_sub(1);
        }
        self.is_over()
    }

    pub(in crate::agent) fn is_over(&self) -> bool {
        self.missing == 0 || self.missing > self.open.len()
    }

    /// All of its children.
    pub(in crate::agent) fn children(&self) -> impl Iterator<Item = &String> {
        self.children.iter()
    }

    /// Those that had ended by then.
    pub(in crate::agent) fn ended(&self) -> impl Iterator<Item = &String> {
        self.children.iter().filter(|child| !self.open.contains(*child))
    }

    /// Those that had not.
    pub(in crate::agent) fn rest(&self) -> impl Iterator<Item = &String> {
        self.children.iter().filter(|child| self.open.contains(*child))
    }
}

#[cfg(test)]
mod tests {
    use v1::TaskState::{Cancelled, Completed, Failed, Unspecified};

    use super::*;

    fn quorum(count: usize) -> Quorum {
        Quorum::new(["a", "b", "c"].map(str::to_owned).to_vec(), count)
    }

    fn end(child: &str, state: v1::TaskState) -> v1::TaskEnd {
        v1::TaskEnd { task_id: child.into(), state: state.into(), ..Default::default() }
    }

    #[test]
    fn it_is_over_when_so_many_have_completed() {
        let mut two = quorum(2);
        assert!(!two.take(&end("c", Completed)));
        assert!(!two.take(&end("c", Completed)), "the same end again");
        assert!(!two.take(&end("x", Completed)), "not one of them");
        assert!(two.take(&end("a", Completed)));
        assert_eq!(two.ended().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(two.rest().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn it_is_over_when_so_many_can_not_complete_any_more() {
        let mut two = quorum(2);
        assert!(!two.take(&end("b", Failed)));
        assert!(two.take(&end("a", Cancelled)));
        assert_eq!(two.rest().collect::<Vec<_>>(), ["c"]);
        assert!(quorum(3).take(&end("b", Unspecified)), "all are to complete, and one is none");
    }

    #[test]
    fn what_had_completed_before_counts_too() {
        let mut one = quorum(1);
        ["c", "b", "a"].iter().for_each(|child| assert!(one.take(&end(child, Completed))));
        assert_eq!(one.ended().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn one_of_one_is_over_when_it_has_ended() {
        for state in [Completed, Failed, Unspecified] {
            let mut one = Quorum::of_one("a".into());
            assert!(!one.is_over());
            assert!(one.take(&end("a", state)));
            assert_eq!(one.rest().count(), 0);
        }
    }
}
