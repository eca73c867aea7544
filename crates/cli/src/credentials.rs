//! Who the command is to a server, and how it knows the server: by flags, and by the environment where a flag isn't said.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use callboard::Credentials;

use crate::args::Global;

/// For a client of this process. There is no flag for the token itself: other users see those.
pub fn credentials(global: &Global) -> Credentials {
    let mut credentials = Credentials::new();
    if let Some(path) = &global.token_file {
        credentials = credentials.token_file(path);
    }
    if let Some(path) = &global.ca {
        credentials = credentials.ca(path);
    }
    if let Some(path) = &global.client_cert {
        credentials = credentials.client_cert(path);
    }
    if let Some(path) = &global.client_key {
        credentials = credentials.client_key(path);
    }
    if global.allow_plaintext { credentials.allow_plaintext(true) } else { credentials }
}

/// The same for a program that is started without our environment and in another folder: its variables. Flags win as
/// they do here: those that belong together (a certificate and its key, say) are taken from one place.
#[cfg(unix)]
pub fn variables(global: &Global) -> Vec<(&'static str, OsString)> {
    variables_from(global, |name| std::env::var_os(name).filter(|value| !value.is_empty()))
}

#[cfg(unix)]
fn variables_from(global: &Global, environment: impl Fn(&str) -> Option<OsString>) -> Vec<(&'static str, OsString)> {
    let there = |name| environment(name).map(PathBuf::from);
    let token_file = global.token_file.clone().or_else(|| there("CALLBOARD_TOKEN_FILE"));
    let token = environment("CALLBOARD_TOKEN").filter(|_| global.token_file.is_none());
    let (cert, key) = match (&global.client_cert, &global.client_key) {
        (None, None) => (there("CALLBOARD_CLIENT_CERT"), there("CALLBOARD_CLIENT_KEY")),
        (cert, key) => (cert.clone(), key.clone()),
    };
    let plaintext = match global.allow_plaintext {
        true => Some("true".into()),
        false => environment("CALLBOARD_ALLOW_PLAINTEXT"),
    };
    let found = [
        ("CALLBOARD_TOKEN", token),
        ("CALLBOARD_TOKEN_FILE", token_file.as_deref().map(absolute)),
        ("CALLBOARD_CA", global.ca.clone().or_else(|| there("CALLBOARD_CA")).as_deref().map(absolute)),
        ("CALLBOARD_CLIENT_CERT", cert.as_deref().map(absolute)),
        ("CALLBOARD_CLIENT_KEY", key.as_deref().map(absolute)),
        ("CALLBOARD_ALLOW_PLAINTEXT", plaintext),
    ];
    found.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect()
}

/// As it is from any folder. One that can't be told is left to whoever opens it, and names it in the error.
#[cfg(unix)]
fn absolute(path: &Path) -> OsString {
    std::path::absolute(path).map_or_else(|_| path.into(), PathBuf::into_os_string)
}

#[cfg(all(test, unix))]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;

    fn variables_of(line: &str, environment: &[(&str, &str)]) -> Vec<(&'static str, String)> {
        let global = Cli::parse_from(format!("callboard bench {line}").split_whitespace()).global;
        let value = |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        variables_from(&global, value)
            .into_iter()
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
            .collect()
    }

    #[test]
    fn flags_win_over_the_environment_and_paths_hold_everywhere() {
        assert!(variables_of("", &[]).is_empty());
        let environment = [("CALLBOARD_TOKEN", "secret"), ("CALLBOARD_CA", "/ca.pem"), ("CALLBOARD_CLIENT_CERT", "/c")];
        let inherited = [("CALLBOARD_TOKEN", "secret"), ("CALLBOARD_CA", "/ca.pem"), ("CALLBOARD_CLIENT_CERT", "/c")];
        assert_eq!(variables_of("", &environment), inherited.map(|(name, value)| (name, value.to_owned())));
        let here = std::env::current_dir().unwrap().join("a.token").display().to_string();
        let said = variables_of("--token-file a.token --client-key /k --allow-plaintext", &environment);
        let wanted = [
            ("CALLBOARD_TOKEN_FILE", here.as_str()),
            ("CALLBOARD_CA", "/ca.pem"),
            ("CALLBOARD_CLIENT_KEY", "/k"),
            ("CALLBOARD_ALLOW_PLAINTEXT", "true"),
        ];
        assert_eq!(said, wanted.map(|(name, value)| (name, value.to_owned())));
    }
}
