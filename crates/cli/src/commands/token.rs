//! `callboard token …`

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use callboard_core::model::Timestamp;
use callboard_server::identity::{Entry, Grant, Identities, Namespaces, Token, check_principal};
use rand::TryRngCore;
use rand::rngs::OsRng;
use serde_json::json;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table};

use crate::args::token::{CreateArgs, TokenCommand};
use crate::error::Error;
use crate::output::{self, Output};
use crate::values;

/// How many digits of a digest tell a token from others.
const ID: usize = 8;

/// Does it.
pub fn run(output: &Output, command: TokenCommand) -> Result<(), Error> {
    match command {
        TokenCommand::Create(args) => create(&args),
        TokenCommand::List(args) => list(output, &args.identities),
        TokenCommand::Revoke(args) => revoke(&args.id, &args.identities),
    }
}

fn create(args: &CreateArgs) -> Result<(), Error> {
    let token = Token::from_bits(random_bits()?);
    let entry = entry(args, &token)?;
    if let Some(path) = &args.identities {
        let before = read_if_there(path)?;
        let gap = if before.is_empty() { "" } else { "\n" };
        write_checked(path, &format!("{before}{gap}{}", entry.to_toml()))?;
        output::note(&format!(
            "added {} to {}; this is the only time that the token is shown:",
            args.principal,
            path.display()
        ));
    } else {
        output::note(&format!("put this into the server's identity file:\n\n{}", entry.to_toml()));
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}", token.reveal())?;
    Ok(out.flush()?)
}

fn random_bits() -> Result<[u8; 32], Error> {
    let mut bits = [0; 32];
    OsRng.try_fill_bytes(&mut bits).map_err(|error| Error::Usage(format!("the system has no random bits: {error}")))?;
    Ok(bits)
}

fn entry(args: &CreateArgs, token: &Token) -> Result<Entry, Error> {
    check_principal(&args.principal).map_err(Error::Usage)?;
    let expires = args.expires.map(end_of).transpose()?;
    let namespaces = match args.all_namespaces {
        true => Namespaces::All,
        false => Namespaces::These(args.namespaces.iter().cloned().collect()),
    };
    let grant = Grant {
        principal: args.principal.as_str().into(),
        roles: args.role.iter().copied().collect(),
        namespaces,
        expires: expires.map(|at| Timestamp(at.as_microsecond())),
    };
    let expires = expires.map(|at| format!("{at:.0}"));
    let entry = Entry { digest: token.digest(), grant, expires };
    // What the file would not take is refused before anything is written.
    Identities::parse(Path::new("token"), &entry.to_toml()).map_err(Error::Usage)?;
    Ok(entry)
}

fn end_of(length: Duration) -> Result<jiff::Timestamp, Error> {
    let length = jiff::SignedDuration::try_from(length).ok();
    let end = length.and_then(|length| values::now().checked_add(length).ok());
    end.ok_or_else(|| Error::Usage("expires: is too far away; leave it out for a token without an end".to_owned()))
}

fn list(output: &Output, path: &Path) -> Result<(), Error> {
    let document = parse(path, &read(path)?)?;
    let text = |table: &Table, key: &str| table.get(key).map(|item| item.to_string().trim().to_owned());
    let rows = tokens(&document).map(|table| {
        let digest = digest(table);
        let short = digest.get(..ID).unwrap_or_default().to_owned();
        (short, ["principal", "roles", "namespaces", "expires"].map(|key| text(table, key).unwrap_or_default()))
    });
    let mut out = io::stdout().lock();
    if output.is_json() {
        let plain = |value: &str| value.trim_matches('"').to_owned();
        let tokens: Vec<_> = rows
            .map(|(id, [principal, roles, namespaces, expires])| {
                let list = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| json!(plain(text)));
                json!({
                    "id": id, "principal": plain(&principal), "roles": list(&roles), "namespaces": list(&namespaces),
                    "expires": expires,
                })
            })
            .collect();
        writeln!(out, "{}", json!({ "tokens": tokens }))?;
        return Ok(());
    }
    for (id, [principal, roles, namespaces, expires]) in rows {
        let until = if expires.is_empty() { String::new() } else { format!("  until {expires}") };
        writeln!(out, "{id}  {}  {roles}  {namespaces}{until}", principal.trim_matches('"'))?;
    }
    Ok(())
}

fn revoke(id: &str, path: &Path) -> Result<(), Error> {
    let mut document = parse(path, &read(path)?)?;
    let id = id.to_ascii_lowercase();
    let fits = |table: &Table| id.len() >= ID && digest(table).starts_with(&id);
    match tokens(&document).filter(|table| fits(table)).count() {
        1 => {}
        0 => {
            let message = format!(
                "id: no token in {} has an id that begins with {id:?}; give at least {ID} digits, as `callboard token list` \
                 shows them",
                path.display()
            );
            return Err(Error::Usage(message));
        }
        many => {
            return Err(Error::Usage(format!(
                "id: {many} tokens have an id that begins with {id:?}; give more digits"
            )));
        }
    }
    if let Some(tokens) = document.get_mut("token").and_then(Item::as_array_of_tables_mut) {
        tokens.retain(|table| !fits(table));
    }
    write_checked(path, &document.to_string())
}

fn tokens(document: &DocumentMut) -> impl Iterator<Item = &Table> {
    document.get("token").and_then(Item::as_array_of_tables).into_iter().flat_map(ArrayOfTables::iter)
}

fn digest(table: &Table) -> String {
    table.get("sha256").and_then(Item::as_str).unwrap_or_default().to_ascii_lowercase()
}

fn parse(path: &Path, text: &str) -> Result<DocumentMut, Error> {
    // The server's reader is the stricter one, and says more.
    Identities::parse(path, text).map_err(Error::Usage)?;
    text.parse().map_err(|_| Error::Usage(format!("{}: is not TOML", path.display())))
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path)
        .map_err(|error| Error::Usage(format!("identities: {} can't be read: {error}", path.display())))
}

fn read_if_there(path: &Path) -> Result<String, Error> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        _ => read(path),
    }
}

/// Replaces the file in one step, so that a server never reads half of it, and never by one that it would refuse.
fn write_checked(path: &Path, text: &str) -> Result<(), Error> {
    Identities::parse(path, text).map_err(Error::Usage)?;
    // What a link points to is replaced, not the link.
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let failed = |error: io::Error| Error::Usage(format!("identities: {} can't be written: {error}", path.display()));
    let folder = real.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Made for its owner alone.
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    new.write_all(text.as_bytes()).map_err(failed)?;
    if let Ok(known) = fs::metadata(&real) {
        new.as_file().set_permissions(known.permissions()).map_err(failed)?;
    }
    new.as_file().sync_all().map_err(failed)?;
    new.persist(&real).map(drop).map_err(|error| failed(error.error))
}

#[cfg(test)]
mod tests {
    use callboard_server::identity::Role;

    use super::*;

    fn args(path: &Path, principal: &str, expires: Option<std::time::Duration>) -> CreateArgs {
        CreateArgs {
            principal: principal.into(),
            role: vec![Role::Agent],
            namespaces: vec!["default".into()],
            all_namespaces: false,
            expires,
            identities: Some(path.to_owned()),
        }
    }

    #[test]
    fn what_is_created_can_be_revoked_and_comments_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identities.toml");
        create(&args(&path, "ann", None)).unwrap();
        let first = read(&path).unwrap();
        fs::write(&path, format!("# ours\n{first}")).unwrap();
        create(&args(&path, "bob", Some(std::time::Duration::from_secs(60)))).unwrap();
        let both = read(&path).unwrap();
        assert_eq!(Identities::parse(&path, &both).unwrap().len(), 2);
        assert!(both.starts_with("# ours\n") && both.contains("expires = "), "{both}");
        let ids: Vec<String> = tokens(&parse(&path, &both).unwrap()).map(digest).collect();
        revoke(&ids[1][..ID], &path).unwrap();
        assert_eq!(read(&path).unwrap().trim(), format!("# ours\n{first}").trim());
        assert!(revoke(&ids[1], &path).is_err(), "it is gone");
        assert!(revoke("", &path).is_err(), "nothing is not everything");
    }

    #[test]
    fn a_file_that_a_server_would_refuse_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identities.toml");
        fs::write(&path, "[[token]]\n").unwrap();
        assert!(create(&args(&path, "ann", None)).is_err());
        assert_eq!(read(&path).unwrap(), "[[token]]\n");
        fs::remove_file(&path).unwrap();
        assert!(create(&args(&path, "system", None)).is_err());
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identities.toml");
        create(&args(&path, "ann", None)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
