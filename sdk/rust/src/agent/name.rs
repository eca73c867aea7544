//! The name of an agent that was given none.

use crate::settings;

const MAX_CHARACTERS: usize = 128;

/// The name given in code, in the environment, or a unique one.
pub(super) fn choose(given: Option<String>, agent_type: &str, seed: u64) -> String {
    given.or_else(|| settings::variable(settings::AGENT_NAME_VARIABLE)).unwrap_or_else(|| {
        let host = gethostname::gethostname();
        unique(agent_type, &host.to_string_lossy(), std::process::id(), seed)
    })
}

/// `<agent type>-<host name>-<process id>-<4 random hex digits>`, of letters that a name may have.
fn unique(agent_type: &str, host: &str, process: u32, seed: u64) -> String {
    let tail = format!("-{process}-{:04x}", seed & 0xffff);
    let head: String = format!("{agent_type}-{host}")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_./:".contains(c) { c } else { '-' })
        .take(MAX_CHARACTERS - tail.len())
        .collect();
    head + &tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_and_where() {
        assert_eq!(unique("greeter", "ada.example", 42, 0xab_cdef), "greeter-ada.example-42-cdef");
        assert_eq!(unique("a", "müll er", 1, 1), "a-m-ll-er-1-0001");
    }

    #[test]
    fn a_name_is_never_too_long() {
        let name = unique(&"t".repeat(128), &"h".repeat(255), u32::MAX, 0);
        assert_eq!(name.len(), MAX_CHARACTERS);
        assert!(name.ends_with("-4294967295-0000"));
    }

    #[test]
    fn what_is_given_wins() {
        assert_eq!(choose(Some("me".into()), "t", 0), "me");
    }
}
