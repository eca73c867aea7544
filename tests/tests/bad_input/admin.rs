//! The server process itself.

use crate::case::{Case, INVALID, case};

// A row is read as one line, however long it is.
#[rustfmt::skip]
pub const CASES: &[Case] = &[
    case("SetLogFilter", "", INVALID, &["filter", "is no level", "write one like `info`"]),
    case("SetLogFilter", "filter: ' '", INVALID, &["filter", "is no level"]),
    case("SetLogFilter", "filter: 'debgu'", INVALID, &["filter", "\"debgu\" is no level", "off, error, warn, info, debug and trace"]),
    case("SetLogFilter", "filter: 'callboard_engine'", INVALID, &["filter", "callboard_engine", "callboard_engine=debug"]),
    case("SetLogFilter", "filter: 'info,'", INVALID, &["filter", "is no level"]),
    case("SetLogFilter", "filter: 'info,debug'", INVALID, &["filter", "second level"]),
    case("SetLogFilter", "filter: '6'", INVALID, &["filter", "is no level"]),
    case("SetLogFilter", "filter: 'h2=loud'", INVALID, &["filter", "h2=loud", "no level behind"]),
    case("SetLogFilter", "filter: 'h2='", INVALID, &["filter", "no level behind"]),
    case("SetLogFilter", "filter: 'a=b=c'", INVALID, &["filter", "no level behind"]),
    case("SetLogFilter", "filter: '=info'", INVALID, &["filter", "names no part"]),
    case("SetLogFilter", "filter: 'off,a[{b=.*}]=trace'", INVALID, &["filter", "names no part"]),
    case("SetLogFilter", "filter: 'h2\\n=info'", INVALID, &["filter", "names no part"]),
    case("SetLogFilter", "filter: 'info\\000'", INVALID, &["filter", "is no level"]),
    case("SetLogFilter", "filter: '$(\\000*1000)'", INVALID, &["filter", "is no level"]),
    case("SetLogFilter", "filter: '$(info,*200)'", INVALID, &["filter", "second level"]),
    case("SetLogFilter", "filter: '$(x*1001)'", INVALID, &["filter", "has 1001 bytes; at most 1000"]),
    case("SetLogFilter", "filter: '$(x*1000000)'", INVALID, &["filter", "has 1000000 bytes"]),
];
