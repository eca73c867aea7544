//! The order in which the tasks of several lanes are given out: fairness keys take turns, and the tasks of one go by rank.

use super::turns::{FairnessKey, Turn, Turns};
use crate::model::{NamespaceId, TaskId};
use crate::rules::Step;
use crate::working_set::LaneRef;
use std::collections::{BTreeSet, HashMap};

/// The first task of a lane: its rank, its id, and the place of its lane.
pub(crate) type Head = (i64, TaskId, usize);

/// The first tasks of lanes that are served together.
pub(crate) struct Heads {
    namespace: NamespaceId,
    groups: Vec<Group>,
    /// Of which group the lane at each place is.
    group_of: Vec<usize>,
    /// The groups that have tasks: whose turn was longest ago first, then by rank. Not kept when there is only one.
    order: BTreeSet<(Turn, Head, usize)>,
    next: Turn,
}

/// The lanes of a fairness key.
struct Group {
    key: FairnessKey,
    /// When the key was given a task last.
    turn: Turn,
    /// It was given one here.
    served: bool,
    heads: BTreeSet<Head>,
}

impl Group {
    fn place(&self, index: usize) -> Option<(Turn, Head, usize)> {
        self.heads.first().map(|head| (self.turn, *head, index))
    }
}

impl Heads {
    /// Lanes with these fairness keys, and no tasks yet.
    fn new<'a>(turns: &Turns, namespace: NamespaceId, keys: impl Iterator<Item = Option<&'a str>>) -> Self {
        let mut groups = Vec::new();
        let mut places = HashMap::new();
        let group_of = keys.map(|key| {
            *places.entry(key).or_insert_with(|| {
                let key = key.map(Into::into);
                let turn = turns.last(namespace, &key);
                groups.push(Group { key, turn, served: false, heads: BTreeSet::new() });
                groups.len() - 1
            })
        });
        let group_of = group_of.collect();
        Self { namespace, groups, group_of, order: BTreeSet::new(), next: turns.next(namespace) }
    }

    /// A lane has this first task now.
    pub fn add(&mut self, head: Head) {
        self.change(self.group_of[head.2], |group| group.heads.insert(head));
    }

    /// Takes the task out that is the next.
    pub fn pop(&mut self) -> Option<Head> {
        let group = match self.groups.len() {
            0 => return None,
            1 => 0,
            _ => self.order.first()?.2,
        };
        self.change(group, |group| group.heads.pop_first())
    }

    /// A task of the lane at this place was given to an agent: the others are before its key now.
    pub fn served(&mut self, lane: usize) {
        let turn = self.next;
        self.next += 1;
        self.change(self.group_of[lane], |group| (group.turn, group.served) = (turn, true));
    }

    fn is_without_keys(&self) -> bool {
        self.groups.iter().all(|group| group.key.is_none())
    }

    /// Changes a group, and its place in the order with it.
    fn change<T>(&mut self, index: usize, change: impl FnOnce(&mut Group) -> T) -> T {
        let is_alone = self.groups.len() == 1;
        let group = &mut self.groups[index];
        if is_alone {
            return change(group);
        }
        if let Some(place) = group.place(index) {
            self.order.remove(&place);
        }
        let changed = change(group);
        self.order.extend(group.place(index));
        changed
    }
}

impl Step<'_, '_> {
    /// The heads of these lanes, which have no tasks yet.
    pub(crate) fn heads_of<'a>(&self, lanes: impl Iterator<Item = &'a LaneRef>) -> Heads {
        let keys = lanes.map(|lane| self.ws.lane(*lane).and_then(|lane| lane.key.fairness_key.as_deref()));
        Heads::new(&self.cx.board.turns, self.namespace.id, keys)
    }

    /// Whoever was given a task comes behind the others from now on. Where nothing has a key there are no turns to remember.
    pub(crate) fn remember_turns(&mut self, heads: Heads) {
        let turns = &mut self.cx.board.turns;
        if heads.is_without_keys() && !turns.has_any(heads.namespace) {
            return;
        }
        for group in heads.groups.into_iter().filter(|group| group.served) {
            turns.note(heads.namespace, group.key, group.turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn head(rank: i64, lane: usize) -> Head {
        (rank, TaskId(Uuid::from_u128(rank.unsigned_abs().into())), lane)
    }

    /// The lanes in the order in which their tasks, by rank, are given out.
    fn order(keys: &[Option<&str>], ranks: &[&[i64]]) -> Vec<usize> {
        let mut heads = Heads::new(&Turns::default(), NamespaceId(1), keys.iter().copied());
        let mut rest: Vec<_> = ranks.iter().map(|ranks| ranks.iter()).collect();
        for (lane, ranks) in rest.iter_mut().enumerate() {
            heads.add(head(*ranks.next().unwrap(), lane));
        }
        let mut order = Vec::new();
        while let Some((_, _, lane)) = heads.pop() {
            heads.served(lane);
            order.push(lane);
            if let Some(rank) = rest[lane].next() {
                heads.add(head(*rank, lane));
            }
        }
        order
    }

    #[test]
    fn keys_take_turns_and_the_tasks_of_one_go_by_rank() {
        let keys = [Some("a"), Some("b"), None, Some("a")];
        assert_eq!(order(&keys, &[&[1, 3, 4], &[9, 10], &[5], &[2]]), [0, 2, 1, 3, 1, 0, 0]);
        assert_eq!(order(&[None, None], &[&[1, 4], &[2, 3]]), [0, 1, 1, 0]);
        assert_eq!(order(&[Some("a")], &[&[1, 4]]), [0, 0]);
    }

    #[test]
    fn who_is_passed_over_keeps_its_turn() {
        let mut heads = Heads::new(&Turns::default(), NamespaceId(1), [Some("a"), Some("b")].into_iter());
        heads.add(head(1, 0));
        heads.add(head(5, 1));
        assert_eq!(heads.pop().unwrap().2, 0);
        heads.add(head(2, 0));
        assert_eq!(heads.pop().unwrap().2, 0);
        heads.served(0);
        heads.add(head(3, 0));
        assert_eq!(heads.pop().unwrap().2, 1);
    }
}
