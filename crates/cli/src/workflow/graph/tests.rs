use callboard::v1::{ParentLink, WorkflowDependency, WorkflowLink, WorkflowTask};

use super::*;

const NASTY: &str = "a\"]<b>&\\ `#|{}\u{1b}[31m";

fn spec(tasks: &[(&str, &[&str])]) -> WorkflowSpec {
    let task = |(name, depends_on): &(&str, &[&str])| WorkflowTask {
        name: (*name).to_owned(),
        depends_on: depends_on
            .iter()
            .map(|other| WorkflowDependency { task: (*other).to_owned(), ..WorkflowDependency::default() })
            .collect(),
        ..WorkflowTask::default()
    };
    WorkflowSpec { name: "release".into(), tasks: tasks.iter().map(task).collect(), ..WorkflowSpec::default() }
}

fn diamond() -> Graph {
    let mut spec = spec(&[("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["b", "c"])]);
    spec.tasks[2].depends_on[0].set_condition(DependencyCondition::Failed);
    Graph::of_spec(&spec)
}

fn drawn(graph: &Graph, format: GraphFormat) -> String {
    graph.write(format, 120).unwrap()
}

#[test]
fn a_diamond_of_letters() {
    let expected = "\
        [a]
     ┌───┴───┐
     │   \"failed\"
     ↓       ↓
    [b]     [c]
     └───┬───┘
         ↓
        [d]
";
    let strip = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    let text = drawn(&diamond(), GraphFormat::Text);
    assert_eq!(strip(&text).first().map(String::as_str), Some("[a]"), "{text}");
    assert_eq!(strip(&text).last().map(String::as_str), Some("[d]"), "{text}");
    assert!(text.contains("failed") && text.lines().count() <= expected.lines().count() + 2, "{text}");
}

#[test]
fn a_diamond_for_graphviz_and_for_mermaid() {
    let dot = drawn(&diamond(), GraphFormat::Dot);
    assert!(dot.starts_with("digraph \"release\" {\n") && dot.ends_with("}\n"), "{dot}");
    assert!(dot.contains("  n0 -> n2 [label=\"failed\", style=dashed];\n  n1 -> n3 [style=solid];\n"), "{dot}");
    let mermaid = drawn(&diamond(), GraphFormat::Mermaid);
    assert!(mermaid.starts_with("flowchart TD\n  n0[\"a\"]\n"), "{mermaid}");
    assert!(mermaid.contains("  n0 -.->|\"failed\"| n2\n  n1 --> n3\n"), "{mermaid}");
}

#[test]
fn a_picture_has_all_boxes_and_lines() {
    let svg = drawn(&diamond(), GraphFormat::Svg);
    assert_eq!((svg.matches("<rect ").count(), svg.matches("marker-end").count()), (4, 4), "{svg}");
    assert!(svg.contains("<title>release</title>") && svg.contains("stroke-dasharray=\"5 4\""), "{svg}");
    assert_eq!(svg, drawn(&diamond(), GraphFormat::Svg), "the same graph is the same picture");
}

/// The numbers of an attribute's value.
fn numbers(text: &str) -> Vec<i64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[test]
fn no_line_of_a_picture_goes_through_a_box_and_each_arrow_ends_at_one() {
    let names: Vec<String> = (0..60).map(|n| format!("task-{n}")).collect();
    let sources: Vec<Vec<&str>> = (0..60_usize)
        .map(|n| (1..=3).filter_map(|k| names.get(n.checked_sub(k * k)?)).map(String::as_str).collect())
        .collect();
    let tasks: Vec<(&str, &[&str])> =
        names.iter().zip(&sources).map(|(name, sources)| (name.as_str(), sources.as_slice())).collect();
    let svg = drawn(&Graph::of_spec(&spec(&tasks)), GraphFormat::Svg);
    let boxes: Vec<Vec<i64>> = svg.lines().filter_map(|line| line.trim().strip_prefix("<rect ")).map(numbers).collect();
    let lines = svg.lines().filter_map(|line| line.trim().strip_prefix("<path d=\"M ")?.split_once('"'));
    let mut seen = 0;
    for (line, _) in lines.filter(|(_, attributes)| attributes.contains("marker-end")) {
        seen += 1;
        let line = numbers(line);
        let points: Vec<(i64, i64)> = line.chunks(2).map(|point| (point[0], point[1])).collect();
        for pair in points.windows(2) {
            let ((x1, y1), (x2, y2)) = (pair[0], pair[1]);
            assert!(x1 == x2 || y1 == y2, "{line:?}");
            let hit = boxes.iter().find(|at| {
                x1.max(x2) > at[0] && x1.min(x2) < at[0] + at[2] && y1.max(y2) > at[1] && y1.min(y2) < at[1] + at[3]
            });
            assert_eq!(hit, None, "{line:?}");
        }
        let (x, y) = points[points.len() - 1];
        assert!(boxes.iter().any(|at| (at[0]..=at[0] + at[2]).contains(&x) && at[1] == y), "{line:?}");
    }
    assert_eq!((boxes.len(), seen), (60, sources.iter().map(Vec::len).sum::<usize>()));
}

#[test]
fn names_are_no_syntax() {
    let graph = Graph::of_spec(&spec(&[(NASTY, &[]), ("b", &[NASTY])]));
    let dot = drawn(&graph, GraphFormat::Dot);
    assert!(dot.contains(r#"label="a\"]<b>&\\ `#|{}"#), "{dot}");
    let mermaid = drawn(&graph, GraphFormat::Mermaid);
    assert!(mermaid.contains("n0[\"a#34;#93;#60;b#62;#38;#92; #96;#35;#124;#123;#125;"), "{mermaid}");
    let svg = drawn(&graph, GraphFormat::Svg);
    assert!(svg.contains("a&quot;]&lt;b&gt;&amp;\\ `#|{}"), "{svg}");
    for format in [GraphFormat::Text, GraphFormat::Dot, GraphFormat::Mermaid, GraphFormat::Svg] {
        assert!(!drawn(&graph, format).contains('\u{1b}'), "{format:?}");
    }
}

#[test]
fn one_on_a_server_has_states_and_children() {
    let task = |id: &str, name: &str, state| {
        let link = WorkflowLink { name: name.into(), ..WorkflowLink::default() };
        Task { id: id.into(), workflow: Some(link), state: i32::from(state), ..Task::default() }
    };
    let mut child = task("2", "", TaskState::Running);
    child.parent =
        Some(ParentLink { task_id: "1".into(), name: "part".into(), occurrence: 1, ..ParentLink::default() });
    let graph = Graph::of_tasks("family", &[task("1", "parent", TaskState::Completed), child]);
    let dot = drawn(&graph, GraphFormat::Dot);
    assert!(dot.contains("label=\"parent\\ncompleted\", fillcolor=\"#d7f0d7\""), "{dot}");
    assert!(dot.contains("label=\"part (1)\\nrunning\"") && dot.contains("n0 -> n1 [style=dotted]"), "{dot}");
    let mermaid = drawn(&graph, GraphFormat::Mermaid);
    assert!(mermaid.contains("class n0 completed") && mermaid.contains("classDef running"), "{mermaid}");
    let text = drawn(&graph, GraphFormat::Text);
    assert!(text.contains("parent: completed") && text.contains("part (1): running"), "{text}");
}

#[test]
fn what_is_too_large_to_look_at_says_what_to_do() {
    let names: Vec<String> = (0..=layout::MAX_TASKS).map(|n| format!("t{n}")).collect();
    let tasks: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &[][..])).collect();
    let many = Graph::of_spec(&spec(&tasks));
    // Each of a long row waits for all before it.
    let names: Vec<&str> = names.iter().take(60).map(String::as_str).collect();
    let tasks: Vec<(&str, &[&str])> = (0..60).map(|n| (names[n], &names[..n])).collect();
    let tangled = Graph::of_spec(&spec(&tasks));
    for graph in [many, tangled] {
        for format in [GraphFormat::Text, GraphFormat::Svg] {
            let error = graph.write(format, 120).unwrap_err().to_string();
            assert!(error.contains("use --format dot or mermaid"), "{error}");
        }
        assert!(drawn(&graph, GraphFormat::Dot).contains("n59"));
    }
}

#[test]
fn what_is_wide_goes_to_the_right() {
    let names: Vec<String> = (0..9).map(|n| format!("a-rather-long-name-{n}")).collect();
    let mut tasks: Vec<(&str, &[&str])> = vec![("first", &[])];
    tasks.extend(names.iter().map(|name| (name.as_str(), &["first"][..])));
    let graph = Graph::of_spec(&spec(&tasks));
    let (narrow, wide) = (graph.write(GraphFormat::Text, 80).unwrap(), graph.write(GraphFormat::Text, 1_000).unwrap());
    assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    assert!(narrow.lines().count() > wide.lines().count(), "{narrow}\n{wide}");
}

#[test]
fn a_critical_path_is_drawn_with_a_broad_pen() {
    let task = |id: &str, depends_on: &[&str]| {
        let dependency = |id: &&str| Dependency { task_id: (*id).into(), ..Dependency::default() };
        let dependencies = depends_on.iter().map(dependency).collect();
        let spec = callboard::v1::TaskSpec { dependencies, ..callboard::v1::TaskSpec::default() };
        let link = WorkflowLink { name: id.into(), ..WorkflowLink::default() };
        Task { id: id.into(), workflow: Some(link), spec: Some(spec), ..Task::default() }
    };
    let tasks = [task("a", &[]), task("b", &["a"]), task("c", &["a"]), task("d", &["a", "b", "c"])];
    let mut graph = Graph::of_tasks("release", &tasks);
    let before = drawn(&graph, GraphFormat::Text);
    graph.mark(["a", "c", "d", "of another"].into_iter());
    let dot = drawn(&graph, GraphFormat::Dot);
    assert_eq!(dot.matches("penwidth=3").count(), 3 + 2, "{dot}");
    assert!(dot.contains("n0 -> n2 [style=solid, penwidth=3];") && dot.contains("n0 -> n3 [style=solid];"), "{dot}");
    let mermaid = drawn(&graph, GraphFormat::Mermaid);
    assert!(mermaid.contains("n2 ==> n3\n") && mermaid.contains("n1 --> n3\n"), "{mermaid}");
    assert!(mermaid.contains("style n2 stroke-width:4px") && !mermaid.contains("style n1"), "{mermaid}");
    let svg = drawn(&graph, GraphFormat::Svg);
    assert_eq!(svg.matches("style=\"stroke-width: 3\"").count(), 3 + 2, "{svg}");
    let text = drawn(&graph, GraphFormat::Text);
    assert!(
        text.contains("[* c: ") && text.contains("[b: ") && text.contains("\n\n* is on the critical path"),
        "{text}"
    );
    assert!(!before.contains('*'), "{before}");
}
