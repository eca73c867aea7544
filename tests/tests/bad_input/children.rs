//! Children: created with a lease, and listed.

use crate::case::{
    CHILD_EXISTS, CURSOR, Case, INVALID, NO_NAMESPACE, NO_TASK, REUSED, STALE, TOO_LARGE, WRONG_TOKEN, case,
};

// A row is read as one line, however long it is.
#[rustfmt::skip]
pub const CASES: &[Case] = &[
    case("CreateChild", "", INVALID, &["parent", "is missing", "name", "task"]),
    case("CreateChild", "task { type: 't' }", INVALID, &["parent", "is missing", "name"]),
    case("CreateChild", "parent { task_id: '$claimed' } name: 'n' task { type: 't' }", INVALID, &["parent.attempt", "parent.lease_token"]),
    case("CreateChild", "parent { $lease } task { type: 't' }", INVALID, &["name", "has 0 bytes", "1 to 128"]),
    case("CreateChild", "parent { $lease } name: '$(x*129)' task { type: 't' }", INVALID, &["name", "has 129 bytes"]),
    case("CreateChild", "parent { $lease } name: 'n' occurrence: -1 task { type: 't' }", INVALID, &["occurrence", "is -1", "0 or more"]),
    case("CreateChild", "parent { $lease } name: 'n' on_parent_end: 9 task { type: 't' }", INVALID, &["on_parent_end", "9 is not an action", "CANCEL (1)"]),
    case("CreateChild", "parent { $lease } name: 'n'", INVALID, &["task", "is missing"]),
    case("CreateChild", "parent { $lease } name: 'n' task {}", INVALID, &["task.type", "is empty"]),
    case("CreateChild", "parent { $lease } name: 'n' task { type: 't' input { text: '$(x*1048577)' } }", TOO_LARGE, &["task.input", "1048577"]),
    case("CreateChild", "parent { $lease } name: 'n' task { type: 't' $[33 headers { key: 'k#' value: 'v' }] }", INVALID, &["task.headers", "33 entries"]),
    case("CreateChild", "parent { $lease } name: 'n' task { type: 't' dependencies { task_id: '$nobody' } }", INVALID, &["task.dependencies[0].task_id", "$nobody"]),
    case("CreateChild", "parent { $lease } name: 'n' task { type: 't' dependencies { task_id: '$claimed' } }", INVALID, &["task.dependencies[0].task_id", "$claimed", "leave the dependency out"]),
    case("CreateChild", "parent { $lease } name: 'child' task { type: 'other' }", CHILD_EXISTS, &["name", "child", "stage.child", "otherwise"]),
    case("CreateChild", "parent { $lease } name: 'other' task { type: 'stage.child' } request_id: 'stage.child'", REUSED, &["request_id", "stage.child"]),
    case("CreateChild", "parent { $lease } name: 'n' task { type: 't' } request_id: '$(x*129)'", INVALID, &["request_id"]),
    case("CreateChild", "parent { $foreign } name: 'n' task { type: 't' }", NO_TASK, &["task_id", "$nobody"]),
    case("CreateChild", "namespace: 'other' parent { $lease } name: 'n' task { type: 't' }", NO_TASK, &["task_id", "$claimed"]),
    case("CreateChild", "parent { $stale } name: 'n' task { type: 't' }", STALE, &["attempt 1", "$claimed", "stop the work"]),
    case("CreateChild", "parent { $ended } name: 'n' task { type: 't' }", STALE, &["COMPLETED"]),
    case("CreateChild", "parent { $wrong_token } name: 'n' task { type: 't' }", WRONG_TOKEN, &["lease_token", "$claimed"]),
    case("CreateChild", "namespace: 'nowhere' parent { $lease } name: 'n' task { type: 't' }", NO_NAMESPACE, &["nowhere"]),
    case("ListChildren", "", INVALID, &["task_id", "is empty"]),
    case("ListChildren", "task_id: 'nonsense'", INVALID, &["task_id", "not a UUID"]),
    case("ListChildren", "task_id: '$nobody'", NO_TASK, &["task_id", "$nobody"]),
    case("ListChildren", "task_id: '$elsewhere'", NO_TASK, &["task_id"]),
    case("ListChildren", "task_id: '$claimed' run: -1", INVALID, &["run", "is -1", "0 for the latest"]),
    case("ListChildren", "task_id: '$claimed' page_size: -1", INVALID, &["page_size", "is -1"]),
    case("ListChildren", "task_id: '$ready' page_token: '$children_page'", CURSOR, &["page_token"]),
    case("ListChildren", "task_id: '$claimed' run: 1 page_token: '$children_page'", CURSOR, &["page_token"]),
    case("ListChildren", "task_id: '$claimed' page_token: '$steps_page'", CURSOR, &["page_token"]),
    case("ListChildren", "namespace: 'nowhere' task_id: '$claimed'", NO_NAMESPACE, &["nowhere"]),
];
