use super::*;
use callboard_core::model::{
    Event, EventKind, LaneKey, NamespaceId, Payload, Progress, StateName, Task, TaskId, TaskSpec, TaskState,
};
use callboard_engine::{ArchivedTask, SystemEntropy};
use callboard_store::{SavedPayload, TaskView};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use uuid::Uuid;

/// Noon of a day in 2026.
const NOON: Timestamp = Timestamp(1_772_366_400_000_000);

fn task(n: u128) -> Piece {
    let spec = TaskSpec::of_type("research");
    let task = Task {
        namespace: NamespaceId(1),
        id: TaskId(Uuid::from_u128(n)),
        lane: LaneKey::of(&spec).id(),
        spec: Arc::new(spec),
        state: TaskState::Completed { at: NOON },
        run: 1,
        run_opened_at: NOON,
        attempt: 1,
        attempts_used: 1,
        lost_in_row: 0,
        handed_back: 0,
        avoid: None,
        failed_at: None,
        fallback: 0,
        fallbacks_anew: None,
        dependency_agents: Default::default(),
        agent_name: Some("ann".into()),
        progress: Progress::default(),
        closed: None,
        has_checkpoint: false,
        last_checkpoint: None,
        dependencies: 0,
        has_dependents: false,
        has_children: false,
        releasing: false,
        created_by: "anonymous".into(),
        created_at: NOON,
        started_at: Some(NOON),
        last_event: 2,
        version: 2,
        input: None,
    };
    let result = Some(Arc::new(Payload::text("two\nlines")));
    let view = TaskView {
        task,
        input: Arc::new(Payload::text("in")),
        saved: SavedPayload { result, ..SavedPayload::default() },
    };
    Piece::Task(Box::new(ArchivedTask { namespace: "default".into(), view, dependencies: Vec::new() }))
}

fn events(n: u128, sequences: std::ops::RangeInclusive<i64>) -> Piece {
    let event = |sequence| Event {
        namespace: NamespaceId(1),
        task: TaskId(Uuid::from_u128(n)),
        sequence,
        at: NOON,
        principal: "anonymous".into(),
        state: StateName::Ready,
        run: 1,
        attempt: 0,
        kind: EventKind::Ready,
    };
    Piece::Events(sequences.map(event).collect())
}

fn whole(n: u128) -> Vec<Piece> {
    vec![task(n), events(n, 1..=2), events(n, 3..=3), Piece::End]
}

fn open(path: &Path) -> Directory {
    Directory::open(path, &mut SystemEntropy::new()).unwrap()
}

async fn keep(archive: &Directory, pieces: Vec<Piece>) -> io::Result<()> {
    let (sender, received) = mpsc::channel(pieces.len());
    for piece in pieces {
        sender.send(piece).await.unwrap();
    }
    drop(sender);
    archive.keep(NOON, received).await
}

/// The ids of a file's tasks; `None` for a line that can't be read.
fn ids(text: &str) -> Vec<Option<u128>> {
    let id = |line: &Value| Uuid::parse_str(line["task"]["id"].as_str()?).ok().map(|id| id.as_u128());
    text.lines().map(|line| id(&serde_json::from_str(line).ok()?)).collect()
}

#[tokio::test]
async fn each_task_is_a_line_with_all_its_events_in_a_file_of_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/archive");
    let archive = open(&path);
    keep(&archive, [whole(1), whole(2)].concat()).await.unwrap();
    keep(&archive, whole(3)).await.unwrap();
    let file = archive.file(NOON);
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("tasks-2026-03-01-") && name.ends_with(".jsonl"), "{name}");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(ids(&text), [Some(1), Some(2), Some(3)]);
    let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(line["task"]["result"]["text"], "two\nlines");
    assert_eq!(line["task"]["spec"]["input"]["text"], "in");
    let sequences: Vec<&Value> = line["events"].as_array().unwrap().iter().map(|event| &event["sequence"]).collect();
    assert_eq!(sequences, [&json!(1), &json!(2), &json!(3)]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&file)), (0o700, 0o600));
}

#[tokio::test]
async fn what_breaks_off_is_not_added_and_the_next_is() {
    let folder = tempfile::tempdir().unwrap();
    let archive = open(folder.path());
    keep(&archive, whole(1)).await.unwrap();
    let before = fs::read_to_string(archive.file(NOON)).unwrap();
    for broken in [vec![task(3), events(3, 1..=2)], vec![task(3), task(4), Piece::End], vec![Piece::End]] {
        keep(&archive, [whole(2), broken].concat()).await.unwrap_err();
        assert_eq!(fs::read_to_string(archive.file(NOON)).unwrap(), before);
    }
    keep(&archive, whole(2)).await.unwrap();
    assert_eq!(ids(&fs::read_to_string(archive.file(NOON)).unwrap()), [Some(1), Some(2)]);
}

#[tokio::test]
async fn a_torn_line_does_not_spoil_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let archive = open(folder.path());
    fs::write(archive.file(NOON), "{\"task\":{\"id\":").unwrap();
    keep(&archive, whole(1)).await.unwrap();
    keep(&archive, whole(2)).await.unwrap();
    assert_eq!(ids(&fs::read_to_string(archive.file(NOON)).unwrap()), [None, Some(1), Some(2)]);
}

#[tokio::test]
async fn a_file_or_folder_that_is_moved_away_is_made_anew_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let archive = open(folder.path());
    keep(&archive, whole(1)).await.unwrap();
    fs::rename(archive.file(NOON), folder.path().join("away")).unwrap();
    keep(&archive, whole(2)).await.unwrap();
    assert_eq!(ids(&fs::read_to_string(archive.file(NOON)).unwrap()), [Some(2)]);
    folder.close().unwrap();
    assert_eq!(keep(&archive, whole(3)).await.unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_place_that_is_no_directory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = Directory::open(&path, &mut SystemEntropy::new()).unwrap_err();
        assert!(error.starts_with(&path.display().to_string()) && error.contains("may write to"), "{error}");
    }
    assert!(inspect(&file).is_err());
    let new = folder.path().join("new");
    assert!(inspect(&new).unwrap().contains("will be made"));
    assert!(!new.exists(), "a look changes nothing");
    assert!(inspect(folder.path()).unwrap().contains("can be written to"));
    let (one, other) = (open(folder.path()), open(folder.path()));
    assert_ne!(one.file(NOON), other.file(NOON), "each process has its own");
}
