//! The plan of a workflow: tasks by name, and what they wait for. All that is wrong with one is told at once; what is right comes in an
//! order in which every task stands behind those that it waits for.

use crate::limits::{MAX_PLAN_DEPENDENCIES, MAX_PLAN_DEPTH, MAX_PLAN_TASKS};
use crate::validate::Faults;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::fmt::Display;

/// How many names of a cycle, or of what there is, are told.
const TOLD: usize = 12;

/// A task of a plan: its name, and the names of those that it waits for.
#[derive(Clone, Copy, Debug)]
pub struct Planned<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it waits for.
    pub depends_on: &'a [&'a str],
}

/// Places of tasks, each behind those that it waits for, and in the plan's order where that allows it. Nothing, if there is any fault,
/// which is told then.
pub fn order(at: impl Display + Copy, plan: &[Planned<'_>], faults: &mut Faults) -> Option<Vec<usize>> {
    order_among(at, plan, Others::None, faults)
}

/// The same of tasks that are added to a workflow: names that are not among them are those of tasks that it has. None of those waits for
/// an added one, so that a cycle is among the added ones alone.
pub fn order_behind(at: impl Display + Copy, plan: &[Planned<'_>], faults: &mut Faults) -> Option<Vec<usize>> {
    order_among(at, plan, Others::Unseen, faults)
}

/// What else a plan's tasks may wait for by name.
#[derive(Clone, Copy)]
enum Others {
    /// Nothing.
    None,
    /// Tasks that are looked for elsewhere.
    Unseen,
}

fn order_among(
    at: impl Display + Copy,
    plan: &[Planned<'_>],
    others: Others,
    faults: &mut Faults,
) -> Option<Vec<usize>> {
    let told = check_size(at, plan, faults);
    let places = check_names(at, plan, faults);
    let sources = check_dependencies(at, plan, &places, others, faults);
    if told {
        return None;
    }
    let order = sort(&sources);
    if order.len() < plan.len() {
        let cycle = find_cycle(&sources, &order);
        let names: Vec<&str> = cycle.iter().map(|place| plan[*place].name).collect();
        let first = cycle.first().copied().unwrap_or_default();
        faults.add(
            format_args!("{at}[{first}].depends_on"),
            format!("is a cycle: {}; leave one of them out", arrows(&names)),
        );
        return None;
    }
    check_depth(at, plan, &sources, &order, faults);
    Some(order)
}

/// Whether it is too large to be looked at.
fn check_size(at: impl Display + Copy, plan: &[Planned<'_>], faults: &mut Faults) -> bool {
    let count = plan.len();
    let dependencies: usize = plan.iter().map(|task| task.depends_on.len()).sum();
    if count == 0 || count > MAX_PLAN_TASKS {
        faults.add(at, format!("has {count} entries; give 1 to {MAX_PLAN_TASKS}"));
    }
    if dependencies > MAX_PLAN_DEPENDENCIES {
        let remedy = "gather what many wait for in a task between them";
        faults.add(at, format!("has {dependencies} dependencies in all; at most {MAX_PLAN_DEPENDENCIES}: {remedy}"));
    }
    count > MAX_PLAN_TASKS || dependencies > MAX_PLAN_DEPENDENCIES
}

/// The place of each name.
fn check_names<'a>(at: impl Display + Copy, plan: &[Planned<'a>], faults: &mut Faults) -> HashMap<&'a str, usize> {
    let mut places = HashMap::with_capacity(plan.len());
    for (place, task) in plan.iter().enumerate() {
        let field = format_args!("{at}[{place}].name");
        faults.name(field, task.name);
        if let Some(first) = places.insert(task.name, place) {
            places.insert(task.name, first);
            faults.add(field, format!("{:?} is the name of {at}[{first}] already; give each its own", task.name));
        }
    }
    places
}

/// For each task the places of those that it waits for; those that don't exist are left out.
fn check_dependencies(
    at: impl Display + Copy,
    plan: &[Planned<'_>],
    places: &HashMap<&str, usize>,
    others: Others,
    faults: &mut Faults,
) -> Vec<Vec<usize>> {
    let mut sources = Vec::with_capacity(plan.len());
    for (place, task) in plan.iter().enumerate() {
        let mut seen = HashSet::new();
        let mut known = Vec::with_capacity(task.depends_on.len());
        for (index, name) in task.depends_on.iter().enumerate() {
            let field = format_args!("{at}[{place}].depends_on[{index}].task");
            match places.get(name) {
                _ if *name == task.name => faults.add(field, format!("task {name:?} waits for itself; leave it out")),
                _ if !seen.insert(*name) => faults.add(field, format!("task {name:?} stands here twice; name it once")),
                Some(source) => known.push(*source),
                None if matches!(others, Others::Unseen) => faults.name(field, name),
                None => faults.add(field, format!("there is no task {name:?} in this workflow; there {}", are(plan))),
            }
        }
        sources.push(known);
    }
    sources
}

/// The places in an order in which each stands behind its sources, as far as there is one: of those that may come next, the first.
fn sort(sources: &[Vec<usize>]) -> Vec<usize> {
    let mut unmet: Vec<usize> = sources.iter().map(Vec::len).collect();
    let mut targets: Vec<Vec<usize>> = vec![Vec::new(); sources.len()];
    for (target, of_target) in sources.iter().enumerate() {
        of_target.iter().for_each(|source| targets[*source].push(target));
    }
    let mut order = Vec::with_capacity(sources.len());
    let free = (0..sources.len()).filter(|place| unmet[*place] == 0);
    let mut free: BinaryHeap<Reverse<usize>> = free.map(Reverse).collect();
    while let Some(Reverse(place)) = free.pop() {
        order.push(place);
        for target in &targets[place] {
            unmet[*target] -= 1;
            if unmet[*target] == 0 {
                free.push(Reverse(*target));
            }
        }
    }
    order
}

/// A cycle among the places that are not in the order: each waits for the one behind it, the last for the first.
fn find_cycle(sources: &[Vec<usize>], order: &[usize]) -> Vec<usize> {
    let sorted: HashSet<usize> = order.iter().copied().collect();
    let stuck = |place: &usize| !sorted.contains(place);
    // Each of these has a source that is one of them: so going from source to source comes back.
    let mut way = Vec::new();
    let mut seen = HashMap::new();
    let mut at = (0..sources.len()).find(stuck);
    while let Some(place) = at {
        if let Some(first) = seen.insert(place, way.len()) {
            return way.split_off(first);
        }
        way.push(place);
        at = sources[place].iter().copied().find(stuck);
    }
    Vec::new()
}

fn check_depth(
    at: impl Display + Copy,
    plan: &[Planned<'_>],
    sources: &[Vec<usize>],
    order: &[usize],
    faults: &mut Faults,
) {
    let mut depth = vec![1_usize; plan.len()];
    for place in order {
        depth[*place] = 1 + sources[*place].iter().map(|source| depth[*source]).max().unwrap_or(0);
    }
    let Some(deepest) = (0..plan.len()).max_by_key(|place| (depth[*place], usize::MAX - place)) else { return };
    let most = depth[deepest];
    if most > MAX_PLAN_DEPTH {
        let remedy = "split the workflow";
        faults.add(
            format_args!("{at}[{deepest}].depends_on"),
            format!("is the end of {most} tasks behind each other; at most {MAX_PLAN_DEPTH}: {remedy}"),
        );
    }
}

/// `a -> b -> a`, with the middle of a long one left out.
pub(crate) fn arrows(names: &[&str]) -> String {
    let mut told: Vec<String> = names.iter().take(TOLD).map(|name| (*name).to_owned()).collect();
    if names.len() > TOLD {
        told.push(format!("({} more)", names.len() - TOLD));
    }
    told.extend(names.first().map(|name| (*name).to_owned()));
    told.join(" -> ")
}

/// `is a` or `are a, b, c`, with the end of a long list left out.
fn are(plan: &[Planned<'_>]) -> String {
    let names: Vec<&str> = plan.iter().take(TOLD).map(|task| task.name).collect();
    let verb = if plan.len() == 1 { "is" } else { "are" };
    let more = if plan.len() > TOLD { format!(" and {} more", plan.len() - TOLD) } else { String::new() };
    format!("{verb} {}{more}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rejection::Violation;

    fn ordered(plan: &[(&str, &[&str])]) -> Result<Vec<usize>, Vec<Violation>> {
        let plan: Vec<Planned<'_>> = plan.iter().map(|(name, depends_on)| Planned { name, depends_on }).collect();
        let mut faults = Faults::default();
        let order = order("tasks", &plan, &mut faults);
        match faults.finish() {
            Ok(()) => Ok(order.expect("a plan without a fault has an order")),
            Err(rejection) => Err(rejection.fields),
        }
    }

    fn faults(plan: &[(&str, &[&str])]) -> Vec<(String, String)> {
        let found = ordered(plan).expect_err("a fault");
        found.into_iter().map(|fault| (fault.field, fault.description)).collect()
    }

    #[test]
    fn each_stands_behind_what_it_waits_for() {
        let plan: [(&str, &[&str]); 4] =
            [("publish", &["review", "draft"]), ("review", &["draft"]), ("draft", &[]), ("logo", &[])];
        assert_eq!(ordered(&plan), Ok(vec![2, 1, 0, 3]));
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let found = faults(&[("a", &["a", "nobody"]), ("b", &["c", "c"]), ("b", &[]), ("c d", &[]), ("c", &[])]);
        let expected = [
            ("tasks[2].name", "\"b\" is the name of tasks[1] already; give each its own"),
            ("tasks[3].name", "may have letters, digits and -_./: only"),
            ("tasks[0].depends_on[0].task", "task \"a\" waits for itself; leave it out"),
            ("tasks[0].depends_on[1].task", "there is no task \"nobody\" in this workflow; there are a, b, b, c d, c"),
            ("tasks[1].depends_on[1].task", "task \"c\" stands here twice; name it once"),
        ];
        assert_eq!(found, expected.map(|(field, text)| (field.to_owned(), text.to_owned())));
    }

    #[test]
    fn a_cycle_is_told_with_its_path() {
        let plan: [(&str, &[&str]); 5] =
            [("free", &[]), ("end", &["b"]), ("a", &["c", "free"]), ("b", &["a"]), ("c", &["b"])];
        let (field, text) = faults(&plan).remove(0);
        assert_eq!((&*field, &*text), ("tasks[3].depends_on", "is a cycle: b -> a -> c -> b; leave one of them out"));
    }

    #[test]
    fn added_tasks_may_wait_for_others_of_their_workflow_which_have_names() {
        let plan = [
            Planned { name: "b", depends_on: &["a", "c"] },
            Planned { name: "c", depends_on: &["there"] },
            Planned { name: "d", depends_on: &["no name", "there", "there"] },
        ];
        let mut faults = Faults::default();
        assert_eq!(order_behind("tasks", &plan[..2], &mut faults), Some(vec![1, 0]));
        order_behind("tasks", &plan, &mut faults);
        let fields: Vec<String> = faults.finish().unwrap_err().fields.into_iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["tasks[2].depends_on[0].task", "tasks[2].depends_on[2].task"]);
        let mut faults = Faults::default();
        let round = [Planned { name: "b", depends_on: &["c", "there"] }, Planned { name: "c", depends_on: &["b"] }];
        assert_eq!(order_behind("tasks", &round, &mut faults), None);
        assert!(faults.finish().unwrap_err().message.contains("b -> c -> b"));
    }

    #[test]
    fn a_plan_has_limits() {
        assert_eq!(faults(&[])[0].1, "has 0 entries; give 1 to 10000");
        let names: Vec<String> = (0..=MAX_PLAN_DEPTH).map(|n| format!("t{n}")).collect();
        let before: Vec<Vec<&str>> =
            (0..names.len()).map(|n| names[..n].last().map(|name| &**name).into_iter().collect()).collect();
        let chain: Vec<(&str, &[&str])> =
            names.iter().zip(&before).map(|(name, before)| (&**name, &**before)).collect();
        assert!(ordered(&chain[..MAX_PLAN_DEPTH]).is_ok());
        let (field, text) = faults(&chain).remove(0);
        assert_eq!(field, format!("tasks[{MAX_PLAN_DEPTH}].depends_on"));
        assert!(text.contains("at most 1000"), "{text}");
        let all: Vec<&str> = chain.iter().map(|(name, _)| *name).collect();
        let many: Vec<(&str, &[&str])> = chain.iter().map(|(name, _)| (*name, &*all)).collect();
        assert!(faults(&many[..60])[0].1.contains("dependencies in all"));
    }
}
