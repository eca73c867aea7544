//! Namespaces and their settings.

use crate::case::{CURSOR, Case, INVALID, NO_NAMESPACE, Refusal, case};
use callboard::v1::ErrorReason;
use tonic::Code;

const EXISTS: Refusal = (Code::AlreadyExists, ErrorReason::NamespaceExists);

// A row is read as one line, however long it is.
#[rustfmt::skip]
pub const CASES: &[Case] = &[
    case("CreateNamespace", "", INVALID, &["name", "1 to 63 small letters"]),
    case("CreateNamespace", "name: 'Upper'", INVALID, &["name", "small letters"]),
    case("CreateNamespace", "name: '1st'", INVALID, &["name", "a letter first"]),
    case("CreateNamespace", "name: '$(a*64)'", INVALID, &["name", "1 to 63"]),
    case("CreateNamespace", "name: 'a\\000b'", INVALID, &["name"]),
    case("CreateNamespace", "name: 'other'", EXISTS, &["name", "other", "choose another"]),
    case("CreateNamespace", "name: 'default'", EXISTS, &["default"]),
    case("CreateNamespace", "name: 'new' settings { max_lanes: 1000000 }", INVALID, &["settings.max_lanes", "1000000", "1 to 10000"]),
    case("CreateNamespace", "name: 'new' settings { max_lanes: -1 }", INVALID, &["settings.max_lanes", "is -1"]),
    case("CreateNamespace", "name: 'new' settings { max_live_tasks: -9223372036854775808 }", INVALID, &["settings.max_live_tasks", "100000000"]),
    case("CreateNamespace", "name: 'new' settings { max_live_tasks: 9223372036854775807 }", INVALID, &["settings.max_live_tasks"]),
    case("CreateNamespace", "name: 'new' settings { start_to_close { seconds: 3155760000 } }", INVALID, &["settings.start_to_close", "ten years"]),
    case("CreateNamespace", "name: 'new' settings { retry_policy { multiplier: nan } }", INVALID, &["settings.retry_policy.multiplier", "NaN"]),
    case("CreateNamespace", "name: 'new' request_id: '$(x*129)'", INVALID, &["request_id"]),
    case("GetNamespace", "name: 'nowhere'", NO_NAMESPACE, &["name", "nowhere", "create it first"]),
    case("GetNamespace", "name: '$(x*1000000)'", INVALID, &["name", "1 to 63"]),
    case("GetNamespace", "name: 'UPPER'", INVALID, &["name", "small letters"]),
    case("ListNamespaces", "page_size: -1", INVALID, &["page_size", "is -1"]),
    case("ListNamespaces", "page_token: 'nonsense'", CURSOR, &["page_token"]),
    case("ListNamespaces", "page_token: '$agents_page'", CURSOR, &["page_token"]),
    case("UpdateNamespace", "name: 'nowhere'", NO_NAMESPACE, &["name", "nowhere"]),
    case("UpdateNamespace", "name: 'No!'", INVALID, &["name", "small letters"]),
    case("UpdateNamespace", "name: 'other' settings { max_lanes: 10001 }", INVALID, &["settings.max_lanes", "10001"]),
    case("UpdateNamespace", "name: 'other' settings { retry_policy { max_attempts: 5000 } }", INVALID, &["settings.retry_policy.max_attempts"]),
    case("UpdateNamespace", "name: 'other' settings { start_to_close { nanos: 1 } }", INVALID, &["settings.start_to_close", "0.001"]),
    case("CreateNamespace", "name: 'new' settings { limits { key: 'k' rate: 0 } }", INVALID, &["settings.limits[0].rate", "is 0", "hold the tasks"]),
    case("CreateNamespace", "name: 'new' settings { limits { key: 'k' max_concurrent: -1 } }", INVALID, &["settings.limits[0].max_concurrent", "is -1"]),
    case("UpdateNamespace", "name: 'other' settings { limits { key: 'k' max_concurrent: 0 } }", INVALID, &["settings.limits[0].max_concurrent", "is 0", "leave it out"]),
    case("UpdateNamespace", "name: 'other' settings { limits { key: 'k' max_concurrent: 1000001 } }", INVALID, &["settings.limits[0].max_concurrent", "1000000"]),
    case("UpdateNamespace", "name: 'other' settings { limits { key: 'k' rate: 2147483647 rate_period { seconds: 1 } } }", INVALID, &["settings.limits[0].rate", "1000000"]),
    case("UpdateNamespace", "name: 'other' settings { limits { key: 'k' } }", INVALID, &["settings.limits[0]", "limits nothing"]),
    case("UpdateNamespace", "name: 'other' settings { limits { max_concurrent: 1 } }", INVALID, &["settings.limits[0].key", "1 to 128"]),
    case("UpdateNamespace", "name: 'other' settings { limits { key: '$(k*129)' max_concurrent: 1 } }", INVALID, &["settings.limits[0].key", "129"]),
    case("UpdateNamespace", "name: 'other' settings { limits { key: 'a*b' max_concurrent: 1 } }", INVALID, &["settings.limits[0].key", "at its end"]),
    case("UpdateNamespace", "name: 'other' settings { limits { key: 'k' max_concurrent: 1 } limits { key: 'k' rate: 1 } }", INVALID, &["settings.limits[1].key", "once"]),
    case("UpdateNamespace", "name: 'other' settings { limits { key: 'k' max_concurrent: 1 rate_period { seconds: 1 } } }", INVALID, &["settings.limits[0].rate_period", "without a rate"]),
    case("UpdateNamespace", "name: 'other' settings { limits { key: 'k' rate: 1 rate_period { nanos: 1 } } }", INVALID, &["settings.limits[0].rate_period", "0.001"]),
    case("UpdateNamespace", "name: 'other' settings { limits { key: 'k' rate: 1 rate_period { seconds: 86401 } } }", INVALID, &["settings.limits[0].rate_period", "86400"]),
    case("UpdateNamespace", "name: 'other' settings { limits { key: 'k' rate: 1 rate_period { seconds: -1 } } }", INVALID, &["settings.limits[0].rate_period", "negative"]),
    case("UpdateNamespace", "name: 'other' request_id: '$(x*129)'", INVALID, &["request_id"]),
];
