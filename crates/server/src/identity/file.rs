//! The identity file: TOML, read strictly, and read again when it changes.
//!
//! ```toml
//! [[token]]
//! principal = "ci"
//! sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
//! roles = ["submitter"]
//! namespaces = ["default"]           # or "*"
//! expires = 2027-01-01T00:00:00Z     # optional
//!
//! [[certificate]]
//! principal = "fleet"
//! name = "spiffe://example.org/agent"
//! roles = ["agent"]
//! namespaces = "*"
//! ```

use super::token::looks_like_one;
use super::{Grant, Namespaces, Role, TokenDigest};
use crate::reload::{Current, Follower, Source};
use callboard_core::model::Timestamp;
use callboard_core::model::id::{ANONYMOUS, SYSTEM};
use callboard_core::validate::Faults;
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::Spanned;

/// The longest name of a principal.
const MAX_PRINCIPAL: usize = 128;

/// All identities that the server knows.
#[derive(Debug, Default)]
pub struct Identities {
    tokens: HashMap<TokenDigest, Arc<Grant>>,
    certificates: HashMap<String, Arc<Grant>>,
}

impl Identities {
    /// Reads the text of an identity file. `path` is for messages, which name line, field, fault and remedy.
    pub fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let reader = Reader { path, text };
        let raw: RawFile = toml::from_str(text).map_err(|error| reader.fault(error.span(), error.message()))?;
        let mut identities = Self::default();
        for entry in raw.token {
            reader.add_token(entry, &mut identities)?;
        }
        for entry in raw.certificate {
            reader.add_certificate(entry, &mut identities)?;
        }
        Ok(identities)
    }

    /// What a token stands for. The digest found is compared in constant time once more: no time tells how near a guess was.
    pub(super) fn token(&self, digest: &TokenDigest) -> Option<&Arc<Grant>> {
        let (known, grant) = self.tokens.get_key_value(digest)?;
        known.matches(digest).then_some(grant)
    }

    /// What a certificate stands for, by the first of its names that is known.
    pub(super) fn certificate(&self, names: &[String]) -> Option<&Arc<Grant>> {
        names.iter().find_map(|name| self.certificates.get(name))
    }

    /// How many tokens and certificates there are.
    pub fn len(&self) -> usize {
        self.tokens.len() + self.certificates.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An identity file that is followed.
#[derive(Debug)]
pub struct IdentityFile(Follower<Identities>);

impl IdentityFile {
    /// Reads it for the first time.
    pub fn load(path: PathBuf) -> Result<Self, String> {
        let named = path.clone();
        let read = move |contents: &[Vec<u8>]| {
            let content = contents.first().map(Vec::as_slice).unwrap_or_default();
            let text = std::str::from_utf8(content).map_err(|_| format!("{}: is not UTF-8", named.display()))?;
            Identities::parse(&named, text)
        };
        Follower::load(Source { what: "identities", paths: vec![path], read: Box::new(read) }).map(Self)
    }

    pub(crate) fn current(&self) -> Current<Identities> {
        self.0.current()
    }

    pub(crate) async fn follow(self) {
        self.0.follow().await;
    }
}

/// One token, to be written to an identity file.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The token's digest.
    pub digest: TokenDigest,
    /// What it stands for.
    pub grant: Grant,
    /// When it expires, RFC 3339, if it does.
    pub expires: Option<String>,
}

impl Entry {
    /// As it stands in the file.
    pub fn to_toml(&self) -> String {
        let Grant { principal, roles, namespaces, .. } = &self.grant;
        let list =
            |words: Vec<&str>| format!("[{}]", words.iter().map(|w| format!("{w:?}")).collect::<Vec<_>>().join(", "));
        let roles = list(roles.iter().map(|role| role.as_str()).collect());
        let namespaces = match namespaces {
            Namespaces::All => "\"*\"".to_owned(),
            Namespaces::These(names) => list(names.iter().map(String::as_str).collect()),
        };
        let mut text = format!(
            "[[token]]\nprincipal = {principal:?}\nsha256 = \"{}\"\nroles = {roles}\nnamespaces = {namespaces}\n",
            self.digest
        );
        if let Some(expires) = &self.expires {
            let _ = writeln!(text, "expires = {expires}");
        }
        text
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    token: Vec<Spanned<RawToken>>,
    #[serde(default)]
    certificate: Vec<Spanned<RawCertificate>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToken {
    principal: Spanned<String>,
    sha256: Spanned<String>,
    roles: Spanned<Vec<String>>,
    namespaces: Spanned<RawNamespaces>,
    expires: Option<Spanned<toml::value::Datetime>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCertificate {
    principal: Spanned<String>,
    name: Spanned<String>,
    roles: Spanned<Vec<String>>,
    namespaces: Spanned<RawNamespaces>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "must be \"*\" or a list of names")]
enum RawNamespaces {
    All(String),
    These(Vec<String>),
}

/// A file at work: says in which line a fault is.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn fault(&self, at: Option<Range<usize>>, fault: &str) -> String {
        let before = self.text.get(..at.map_or(0, |at| at.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        // A token at the wrong place must not reach the log.
        let fault = if looks_like_one(fault) { "has a token where something else belongs" } else { fault };
        format!("{}:{line}: {fault}", self.path.display())
    }

    fn add_token(&self, entry: Spanned<RawToken>, to: &mut Identities) -> Result<(), String> {
        let entry = entry.into_inner();
        let at = entry.sha256.span();
        let digest = self.digest(&entry.sha256)?;
        let expires = entry.expires.map(|at| self.expiry(&at)).transpose()?;
        let grant = self.grant(&entry.principal, &entry.roles, entry.namespaces, expires)?;
        if to.tokens.insert(digest, Arc::new(grant)).is_some() {
            return Err(self.fault(Some(at), "sha256: another entry has it, too; keep one"));
        }
        Ok(())
    }

    fn add_certificate(&self, entry: Spanned<RawCertificate>, to: &mut Identities) -> Result<(), String> {
        let entry = entry.into_inner();
        let at = entry.name.span();
        let name = entry.name.into_inner();
        if name.trim().is_empty() {
            return Err(self.fault(Some(at), "name: is empty; give a URI, DNS name or common name of the certificate"));
        }
        let grant = self.grant(&entry.principal, &entry.roles, entry.namespaces, None)?;
        if to.certificates.insert(name, Arc::new(grant)).is_some() {
            return Err(self.fault(Some(at), "name: another entry has it, too; keep one"));
        }
        Ok(())
    }

    fn digest(&self, hex: &Spanned<String>) -> Result<TokenDigest, String> {
        TokenDigest::parse(hex.as_ref()).ok_or_else(|| {
            let fault = if looks_like_one(hex.as_ref()) {
                "sha256: is a token, not its digest: whoever has read this file has it. Make another with \
                 `callboard token create`"
            } else {
                "sha256: must be 64 hexadecimal digits: the SHA-256 of a token, as `callboard token create` writes it"
            };
            self.fault(Some(hex.span()), fault)
        })
    }

    fn grant(
        &self,
        principal: &Spanned<String>,
        roles: &Spanned<Vec<String>>,
        namespaces: Spanned<RawNamespaces>,
        expires: Option<Timestamp>,
    ) -> Result<Grant, String> {
        check_principal(principal.as_ref()).map_err(|fault| self.fault(Some(principal.span()), &fault))?;
        Ok(Grant {
            principal: principal.as_ref().as_str().into(),
            roles: self.roles(roles)?,
            namespaces: self.namespaces(namespaces)?,
            expires,
        })
    }

    fn roles(&self, names: &Spanned<Vec<String>>) -> Result<BTreeSet<Role>, String> {
        let at = || Some(names.span());
        let known = Role::ALL.map(Role::as_str).join(", ");
        let mut roles = BTreeSet::new();
        for name in names.as_ref() {
            let role = Role::of(name);
            roles.insert(role.ok_or_else(|| self.fault(at(), &format!("roles: {name:?} is none; use {known}")))?);
        }
        if roles.is_empty() {
            return Err(self.fault(at(), &format!("roles: is empty; give at least one of {known}")));
        }
        Ok(roles)
    }

    fn namespaces(&self, raw: Spanned<RawNamespaces>) -> Result<Namespaces, String> {
        let at = raw.span();
        let fault = |fault: &str| Err(self.fault(Some(at.clone()), fault));
        match raw.into_inner() {
            RawNamespaces::All(all) if all == "*" => Ok(Namespaces::All),
            RawNamespaces::All(_) => fault("namespaces: must be \"*\" or a list of names"),
            RawNamespaces::These(names) if names.is_empty() => {
                fault("namespaces: is empty; name some, or \"*\" for all")
            }
            RawNamespaces::These(names) => {
                let mut faults = Faults::default();
                names.iter().for_each(|name| faults.namespace(&format!("namespaces: {name:?}"), name));
                match faults.finish() {
                    Ok(()) => Ok(Namespaces::These(names.into_iter().collect())),
                    Err(rejection) => fault(&rejection.message),
                }
            }
        }
    }

    fn expiry(&self, at: &Spanned<toml::value::Datetime>) -> Result<Timestamp, String> {
        timestamp(at.as_ref()).ok_or_else(|| {
            self.fault(Some(at.span()), "expires: must be a date and time with an offset: 2027-01-01T00:00:00Z")
        })
    }
}

/// Whether a principal may have this name.
pub fn check_principal(name: &str) -> Result<(), String> {
    let form = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@".contains(&byte);
    if name.is_empty() || name.len() > MAX_PRINCIPAL || !name.bytes().all(form) {
        return Err(format!("principal: must be 1 to {MAX_PRINCIPAL} letters, digits and -_./:@"));
    }
    if [ANONYMOUS, SYSTEM].contains(&name) {
        return Err(format!("principal: {name:?} is the server's own word; choose another name"));
    }
    Ok(())
}

/// Needs date, time and offset: a local time would be somebody else's.
fn timestamp(at: &toml::value::Datetime) -> Option<Timestamp> {
    let at: jiff::Timestamp = at.to_string().parse().ok()?;
    Some(Timestamp(at.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn parse(text: &str) -> Result<Identities, String> {
        Identities::parse(Path::new("ids.toml"), text)
    }

    fn good() -> String {
        format!(
            "# a comment\n\n[[token]]\nprincipal = \"ci\"\nsha256 = \"{DIGEST}\"\nroles = [\"submitter\"]\n\
             namespaces = [\"default\"]\n"
        )
    }

    #[test]
    fn tokens_and_certificates_are_known_by_digest_and_name() {
        let more = "[[certificate]]\nprincipal = \"fleet\"\nname = \"a.example\"\nroles = [\"agent\", \"viewer\"]\n\
                    namespaces = \"*\"\n";
        let identities = parse(&format!("{}{more}", good())).unwrap();
        assert_eq!(identities.len(), 2);
        let ci = identities.token(&TokenDigest::of("abc")).unwrap();
        assert_eq!((&*ci.principal, ci.expires), ("ci", None));
        assert!(ci.namespaces.contain("default") && !ci.namespaces.contain("other"));
        assert!(identities.token(&TokenDigest::of("abd")).is_none());
        let names = ["unknown".to_owned(), "a.example".to_owned()];
        let fleet = identities.certificate(&names).unwrap();
        assert!(fleet.namespaces.contain("other") && fleet.roles.len() == 2);
        assert!(identities.certificate(&names[..1]).is_none());
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn a_fault_is_named_with_its_line_its_field_and_what_would_be_right() {
        let replaced = |from: &str, to: &str| good().replace(from, to);
        for (text, line, says) in [
            (replaced("principal = \"ci\"", "principle = \"ci\""), 4, "principle"),
            (replaced("\"ci\"", "\"with space\""), 4, "principal: must be"),
            (replaced("\"ci\"", "\"anonymous\""), 4, "the server's own word"),
            (replaced(DIGEST, "abc"), 5, "sha256: must be 64"),
            (replaced("[\"submitter\"]", "[\"boss\"]"), 6, "viewer, submitter, agent, operator, admin"),
            (replaced("[\"submitter\"]", "[]"), 6, "roles: is empty"),
            (replaced("[\"default\"]", "[]"), 7, "namespaces: is empty"),
            (replaced("[\"default\"]", "[\"NO\"]"), 7, "small letters"),
            (replaced("[\"default\"]", "\"default\""), 7, "\"*\" or a list"),
            (replaced("[\"default\"]", "7"), 7, "\"*\" or a list"),
            (format!("{}expires = 2027-01-01\n", good()), 8, "with an offset"),
            (format!("{}expires = 2027-01-01T00:00:00\n", good()), 8, "with an offset"),
            (format!("{}{}", good(), good()), 12, "another entry has it"),
            ("[token]\nprincipal = 1\n".to_owned(), 1, ""),
            ("[[token]\n".to_owned(), 1, ""),
            (replaced("roles = [\"submitter\"]\n", ""), 3, "roles"),
        ] {
            let fault = parse(&text).unwrap_err();
            assert!(fault.starts_with(&format!("ids.toml:{line}: ")) && fault.contains(says), "{fault}\n{text}");
        }
    }

    #[test]
    fn a_token_in_the_file_is_not_repeated_in_the_fault() {
        let secret = super::super::Token::from_bits([7; 32]);
        for text in [
            good().replace(DIGEST, secret.reveal()),
            good().replace("submitter", secret.reveal()),
            good().replace("\"default\"", &format!("\"{}\"", secret.reveal())),
            good().replace("principal", secret.reveal()),
            good().replace("[\"default\"]", &format!("{:?}", secret.reveal())),
            good().replace("\"ci\"", secret.reveal()),
        ] {
            let fault = parse(&text).unwrap_err();
            assert!(!fault.contains(&secret.reveal()[10..]), "{fault}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let these = |names: &[&str]| Namespaces::These(names.iter().map(|name| (*name).to_owned()).collect());
        for (namespaces, expires) in [(Namespaces::All, None), (these(&["a", "b"]), Some("2027-01-01T00:00:00Z"))] {
            let roles = BTreeSet::from([Role::Agent, Role::Submitter]);
            let at = expires.map(|_| Timestamp(1_798_761_600_000_000));
            let grant = Grant { principal: "a@b".into(), roles, namespaces, expires: at };
            let entry = Entry { digest: TokenDigest::of("t"), grant, expires: expires.map(str::to_owned) };
            let identities = parse(&entry.to_toml()).unwrap();
            assert_eq!(**identities.token(&TokenDigest::of("t")).unwrap(), entry.grant);
        }
    }
}
