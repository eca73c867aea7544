//! Looking after agents.

use crate::case::{CURSOR, Case, INVALID, NO_AGENT, NO_NAMESPACE, case};

// A row is read as one line, however long it is.
#[rustfmt::skip]
pub const CASES: &[Case] = &[
    case("GetAgent", "", INVALID, &["name", "is empty"]),
    case("GetAgent", "name: 'unheard-of'", NO_AGENT, &["name", "unheard-of", "first attaches"]),
    case("GetAgent", "name: 'a b'", INVALID, &["name", "letters"]),
    case("GetAgent", "name: '$(\\303\\251*500000)'", INVALID, &["name", "at most 128"]),
    case("GetAgent", "namespace: 'other' name: 'streamer'", NO_AGENT, &["streamer", "in this namespace"]),
    case("GetAgent", "namespace: 'nowhere' name: 'streamer'", NO_NAMESPACE, &["nowhere"]),
    case("ListAgents", "page_size: -1", INVALID, &["page_size", "is -1"]),
    case("ListAgents", "page_token: 'nonsense'", CURSOR, &["page_token"]),
    case("ListAgents", "page_token: '$tasks_page'", CURSOR, &["page_token"]),
    case("ListAgents", "namespace: 'other' page_token: '$agents_page'", CURSOR, &["page_token"]),
    case("ListAgents", "agent_type: 'test' page_token: '$agents_page'", CURSOR, &["page_token"]),
    case("ListAgents", "states: 77", INVALID, &["states", "77 is not an agent state"]),
    case("ListAgents", "states: AGENT_STATE_UNSPECIFIED", INVALID, &["states", "0 is not an agent state"]),
    case("ListAgents", "namespace: 'nowhere'", NO_NAMESPACE, &["nowhere"]),
    case("CordonAgent", "", INVALID, &["name", "is empty"]),
    case("CordonAgent", "name: 'unheard-of'", NO_AGENT, &["name", "unheard-of"]),
    case("CordonAgent", "name: '$(x*3000000)'", INVALID, &["name", "at most 128"]),
    case("CordonAgent", "namespace: 'other' name: 'streamer'", NO_AGENT, &["streamer"]),
    case("CordonAgent", "namespace: 'nowhere' name: 'streamer'", NO_NAMESPACE, &["nowhere"]),
    case("CordonAgent", "name: 'streamer' request_id: '$(x*129)'", INVALID, &["request_id"]),
    case("UncordonAgent", "", INVALID, &["name", "is empty"]),
    case("UncordonAgent", "name: 'unheard-of'", NO_AGENT, &["name", "unheard-of"]),
    case("UncordonAgent", "name: '\\000'", INVALID, &["name", "letters"]),
    case("UncordonAgent", "namespace: 'nowhere' name: 'streamer'", NO_NAMESPACE, &["nowhere"]),
    case("UncordonAgent", "name: 'streamer' request_id: '$(x*129)'", INVALID, &["request_id"]),
    case("RemoveAgent", "", INVALID, &["name", "is empty"]),
    case("RemoveAgent", "name: 'unheard-of'", NO_AGENT, &["name", "unheard-of"]),
    case("RemoveAgent", "name: 'a\\nb'", INVALID, &["name", "letters"]),
    case("RemoveAgent", "namespace: 'other' name: 'streamer'", NO_AGENT, &["streamer"]),
    case("RemoveAgent", "namespace: 'nowhere' name: 'streamer'", NO_NAMESPACE, &["nowhere"]),
    case("RemoveAgent", "name: 'streamer' request_id: '$(x*129)'", INVALID, &["request_id"]),
];
