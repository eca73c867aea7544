//! Who we are to a server, and how we know that it is the right one: tokens and TLS.
//!
//! Nothing here shows a token: not in `Debug`, not in an error, not to an address where it could be read on the way.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;
use tonic::codegen::http::HeaderValue;
use tonic::transport::Uri;

use crate::error::CallError;
use crate::settings::variable;
use crate::{Error, Result};

/// After this time a token file is read again: tokens are changed while programs run.
const REREAD: Duration = Duration::from_secs(10);

/// Says who a client or an agent is, and how it knows the server. What is not given comes from the environment:
/// `CALLBOARD_TOKEN` or `CALLBOARD_TOKEN_FILE`, `CALLBOARD_CA`, `CALLBOARD_CLIENT_CERT` and `CALLBOARD_CLIENT_KEY`,
/// `CALLBOARD_ALLOW_PLAINTEXT`.
#[derive(Clone, Default)]
pub struct Credentials {
    token: Option<String>,
    token_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
    allow_plaintext: Option<bool>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("token_file", &self.token_file)
            .field("ca", &self.ca)
            .field("client_cert", &self.client_cert)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Everything from the environment.
    pub fn new() -> Self {
        Self::default()
    }

    /// A token, as `callboard token create` prints it.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// A file with a token in its only line. It is read again every ten seconds, and when the server refuses the token, so that it
    /// can be changed.
    #[must_use]
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.token_file = Some(path.into());
        self
    }

    /// A PEM file with the roots that the server's certificate is checked with, instead of the system's.
    #[must_use]
    pub fn ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(path.into());
        self
    }

    /// A PEM file with the client's certificate. Used with `https://` alone.
    #[must_use]
    pub fn client_cert(mut self, path: impl Into<PathBuf>) -> Self {
        self.client_cert = Some(path.into());
        self
    }

    /// A PEM file with the private key of the client's certificate.
    #[must_use]
    pub fn client_key(mut self, path: impl Into<PathBuf>) -> Self {
        self.client_key = Some(path.into());
        self
    }

    /// Whether a token may go to another machine without TLS, where it can be read on the way. Default: no.
    #[must_use]
    pub fn allow_plaintext(mut self, allow: bool) -> Self {
        self.allow_plaintext = Some(allow);
        self
    }

    pub(crate) fn resolve(self) -> Result<Arc<Identity>> {
        self.resolve_with(variable)
    }

    fn resolve_with(self, variable: impl Fn(&str) -> Option<String>) -> Result<Arc<Identity>> {
        let path = |name: &str| variable(name).map(PathBuf::from);
        let (token, token_file) = match (self.token, self.token_file) {
            (None, None) => (variable("CALLBOARD_TOKEN"), path("CALLBOARD_TOKEN_FILE")),
            given => given,
        };
        let (cert, key) = match (self.client_cert, self.client_key) {
            (None, None) => (path("CALLBOARD_CLIENT_CERT"), path("CALLBOARD_CLIENT_KEY")),
            given => given,
        };
        let token = match (token, token_file) {
            (Some(_), Some(_)) => {
                let message =
                    "token and token_file (CALLBOARD_TOKEN and CALLBOARD_TOKEN_FILE) are both given: give one";
                return Err(Error::invalid("token", message));
            }
            (Some(token), None) => Some(Token::Fixed(header(&token, "token")?)),
            (None, Some(path)) => Some(Token::in_file(path)?),
            (None, None) => None,
        };
        let client = match (cert, key) {
            (Some(cert), Some(key)) => Some((read(&cert, "client_cert")?, read(&key, "client_key")?)),
            (None, None) => None,
            (cert, _) => {
                let missing = if cert.is_some() { "client_key" } else { "client_cert" };
                let message = format!("{missing} is missing: a client certificate and its key come together");
                return Err(Error::invalid(missing, message));
            }
        };
        let ca = self.ca.or_else(|| path("CALLBOARD_CA")).map(|path| read(&path, "ca")).transpose()?;
        let allow_plaintext = match self.allow_plaintext {
            Some(allow) => allow,
            None => flag(variable("CALLBOARD_ALLOW_PLAINTEXT").as_deref())?,
        };
        Ok(Arc::new(Identity { token, client, ca, allow_plaintext }))
    }
}

fn flag(text: Option<&str>) -> Result<bool> {
    match text {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(other) => {
            let message = format!("CALLBOARD_ALLOW_PLAINTEXT is `{other}`: set it to true or false");
            Err(Error::invalid("allow_plaintext", message))
        }
    }
}

/// Credentials that have been read.
pub(crate) struct Identity {
    token: Option<Token>,
    /// Certificate and key, PEM.
    pub(crate) client: Option<(Vec<u8>, Vec<u8>)>,
    pub(crate) ca: Option<Vec<u8>>,
    allow_plaintext: bool,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("has_token", &self.token.is_some())
            .field("has_certificate", &self.client.is_some())
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Refuses an address where the token could be read on the way.
    pub(crate) fn check(&self, address: &Uri) -> Result<()> {
        if self.token.is_none() || self.allow_plaintext || is_safe(address) {
            return Ok(());
        }
        Err(Error::invalid(
            "address",
            format!(
                "address `{address}` is http:// and not on this machine: the token could be read on the way; use https://, or \
                 say allow_plaintext (CALLBOARD_ALLOW_PLAINTEXT=true)"
            ),
        ))
    }

    /// The `authorization` header, if there is a token.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        match self.token.as_ref()? {
            Token::Fixed(header) => Some(header.clone()),
            Token::File { path, last } => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.1.elapsed() >= REREAD {
                    reread(path, &mut last);
                }
                Some(last.0.clone())
            }
        }
    }

    /// Whether a call that was refused may be made again: its token is no good any more, and the file has another one.
    pub(crate) fn is_renewed(&self, refused: &CallError, sent: Option<&HeaderValue>) -> bool {
        let Some(Token::File { path, last }) = self.token.as_ref().filter(|_| refused.code == Code::Unauthenticated)
        else {
            return false;
        };
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        reread(path, &mut last);
        sent.is_some_and(|sent| *sent != last.0)
    }
}

/// Where a token comes from.
enum Token {
    Fixed(HeaderValue),
    File { path: PathBuf, last: Mutex<(HeaderValue, Instant)> },
}

impl Token {
    fn in_file(path: PathBuf) -> Result<Self> {
        let header = read_token(&path)?;
        Ok(Self::File { path, last: Mutex::new((header, Instant::now())) })
    }
}

/// Whether nobody reads on the way: TLS, or this machine.
fn is_safe(address: &Uri) -> bool {
    let host = address.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let loopback = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    loopback || address.scheme_str() == Some("https")
}

fn reread(path: &Path, last: &mut (HeaderValue, Instant)) {
    last.1 = Instant::now();
    // It may just be being replaced. The server says when the old one is no good any more.
    if let Ok(fresh) = read_token(path) {
        last.0 = fresh;
    }
}

fn read_token(path: &Path) -> Result<HeaderValue> {
    let content = read(path, "token_file")?;
    header(&String::from_utf8_lossy(&content), &format!("token_file `{}`", path.display()))
}

fn header(token: &str, name: &str) -> Result<HeaderValue> {
    let token = token.trim();
    let fits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let header = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| fits);
    let mut header = header.ok_or_else(|| {
        let message = format!("{name} holds no token: it must be one line, as `callboard token create` prints it");
        Error::invalid("token", message)
    })?;
    // Neither shown by `Debug` nor kept in the tables of HTTP/2.
    header.set_sensitive(true);
    Ok(header)
}

fn read(path: &Path, name: &str) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| Error::invalid(name, format!("{name} `{}` can't be read: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "callboard_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

    fn resolve(credentials: Credentials, environment: &[(&str, &str)]) -> Result<Arc<Identity>> {
        credentials.resolve_with(|name| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_given_wins_over_the_environment() {
        let file = std::env::temp_dir().join(format!("callboard-token-{}", std::process::id()));
        std::fs::write(&file, "from-file\n").unwrap();
        let name = file.to_str().unwrap();
        let environment = [("CALLBOARD_TOKEN", "from-environment")];
        for (credentials, environment, expected) in [
            (Credentials::new(), &environment[..], "Bearer from-environment"),
            (Credentials::new().token("given"), &environment, "Bearer given"),
            (Credentials::new().token_file(&file), &environment, "Bearer from-file"),
            (Credentials::new(), &[("CALLBOARD_TOKEN_FILE", name)], "Bearer from-file"),
        ] {
            assert_eq!(resolve(credentials, environment).unwrap().authorization().unwrap(), expected);
        }
        assert!(resolve(Credentials::new(), &[]).unwrap().authorization().is_none());
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn two_tokens_no_token_and_half_a_certificate_are_refused() {
        let both = [("CALLBOARD_TOKEN", "a"), ("CALLBOARD_TOKEN_FILE", "b")];
        for (credentials, environment, named) in [
            (Credentials::new().token("a").token_file("b"), &[][..], "both given"),
            (Credentials::new(), &both[..], "both given"),
            (Credentials::new().token("two words"), &[], "holds no token"),
            (Credentials::new().token(""), &[], "holds no token"),
            (Credentials::new().token_file("/nowhere/token"), &[], "can't be read"),
            (Credentials::new().ca("/nowhere/ca"), &[], "ca `/nowhere/ca`"),
            (Credentials::new().client_cert("/nowhere/cert"), &[], "client_key is missing"),
            (Credentials::new(), &[("CALLBOARD_ALLOW_PLAINTEXT", "maybe")], "CALLBOARD_ALLOW_PLAINTEXT"),
        ] {
            let error = resolve(credentials, environment).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn a_token_is_not_told_where_it_can_be_read_on_the_way() {
        let careful = resolve(Credentials::new().token(SECRET), &[]).unwrap();
        let bold = resolve(Credentials::new().token(SECRET), &[("CALLBOARD_ALLOW_PLAINTEXT", "true")]).unwrap();
        for (address, safe) in [
            ("http://127.0.0.1:1", true),
            ("http://127.1.2.3:1", true),
            ("http://[::1]:1", true),
            ("http://localhost:1", true),
            ("https://callboard.example", true),
            ("http://callboard.example", false),
            ("http://192.0.2.1:1", false),
            ("http://localhost.example:1", false),
        ] {
            assert_eq!(careful.check(&uri(address)).is_ok(), safe, "{address}");
            bold.check(&uri(address)).unwrap();
        }
        let error = careful.check(&uri("http://192.0.2.1:1")).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(SECRET));
    }

    #[test]
    fn a_token_is_not_shown() {
        let credentials = Credentials::new().token(SECRET);
        let shown = format!("{credentials:?} {:?}", resolve(credentials.clone(), &[]).unwrap());
        assert!(!shown.contains("0123456789"), "{shown}");
    }
}
