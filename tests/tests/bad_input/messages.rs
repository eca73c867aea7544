//! Messages between agents, by single calls.

use crate::case::{Case, INVALID, NO_AGENT, NO_NAMESPACE, TOO_LARGE, case};

// A row is read as one line, however long it is.
#[rustfmt::skip]
pub const CASES: &[Case] = &[
    case("SendMessage", "", INVALID, &["message.to.agent", "is empty"]),
    case("SendMessage", "message { payload { text: 'to nobody' } }", INVALID, &["message.to.agent", "is empty"]),
    case("SendMessage", "message { to { agent: 'a b' } }", INVALID, &["message.to.agent", "letters"]),
    case("SendMessage", "message { to { agent: '$(x*1000000)' } }", INVALID, &["message.to.agent", "at most 128"]),
    case("SendMessage", "message { to { agent: 'unheard-of' } }", NO_AGENT, &["unheard-of"]),
    case("SendMessage", "namespace: 'other' message { to { agent: 'streamer' } }", NO_AGENT, &["streamer"]),
    case("SendMessage", "namespace: 'nowhere' message { to { agent: 'streamer' } }", NO_NAMESPACE, &["nowhere"]),
    case("SendMessage", "message { to { agent: 'streamer' } payload { text: '$(x*1048577)' } }", TOO_LARGE, &["message.payload", "1048577"]),
    case("SendMessage", "message { to { agent: 'streamer' } $[33 headers { key: 'h#' value: 'v' }] }", INVALID, &["message.headers", "33 entries"]),
    case("SendMessage", "message { to { agent: 'streamer' } headers { key: 'callboard.x' value: 'v' } }", INVALID, &["message.headers", "callboard."]),
    case("SendMessage", "message { to { agent: 'streamer' } ttl { seconds: -1 } }", INVALID, &["message.ttl", "negative"]),
    case("SendMessage", "message { to { agent: 'streamer' } ttl {} }", INVALID, &["message.ttl", "0.001"]),
    case("SendMessage", "message { to { agent: 'streamer' } ttl { seconds: 3155760000 } }", INVALID, &["message.ttl", "2592000"]),
    case("SendMessage", "message { to { agent: 'streamer' } } request_id: '$(x*129)'", INVALID, &["request_id", "129"]),

    case("FetchMessages", "", INVALID, &["agent", "is empty"]),
    case("FetchMessages", "agent: 'unheard-of'", NO_AGENT, &["unheard-of"]),
    case("FetchMessages", "agent: 'streamer' max_messages: -1", INVALID, &["max_messages", "is -1"]),
    case("FetchMessages", "agent: 'streamer' after_sequence: -9223372036854775808", INVALID, &["after_sequence"]),
    case("FetchMessages", "agent: 'streamer' wait { seconds: 61 }", INVALID, &["wait", "61", "60"]),
    case("FetchMessages", "agent: 'streamer' wait { nanos: -1 }", INVALID, &["wait", "negative"]),
    case("FetchMessages", "namespace: 'nowhere' agent: 'streamer'", NO_NAMESPACE, &["nowhere"]),

    case("AcknowledgeMessages", "", INVALID, &["agent", "is empty"]),
    case("AcknowledgeMessages", "agent: 'streamer'", INVALID, &["message_ids"]),
    case("AcknowledgeMessages", "agent: 'streamer' message_ids: 'nonsense'", INVALID, &["message_ids[0]", "not a UUID"]),
    case("AcknowledgeMessages", "agent: 'streamer' $[1001 message_ids: '$nobody']", INVALID, &["message_ids", "1001 entries"]),
    case("AcknowledgeMessages", "agent: 'unheard-of' message_ids: '$nobody'", NO_AGENT, &["unheard-of"]),
    case("AcknowledgeMessages", "namespace: 'nowhere' agent: 'streamer' message_ids: '$nobody'", NO_NAMESPACE, &["nowhere"]),
];
