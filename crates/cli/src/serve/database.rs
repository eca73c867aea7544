//! Where everything durable is: a file, or a PostgreSQL database.

use super::settings::Settings;
use crate::error::Error;
use callboard_store::Store;
use callboard_store::postgres::{self, PostgresOptions, PostgresStore, without_password};
use callboard_store::sqlite::{self, SqliteOptions, SqliteStore};
use std::sync::Arc;

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}

/// Opens it.
pub async fn open(settings: &Settings) -> Result<Arc<dyn Store>, Error> {
    let faulty = |error: callboard_store::Error| Error::Serve(format!("database: {error}"));
    if !is_postgres(&settings.database) {
        let store = SqliteStore::open(&settings.database, SqliteOptions::default()).await;
        return Ok(Arc::new(store.map_err(faulty)?));
    }
    let options =
        PostgresOptions { connections: settings.database_connections, direct: settings.database_direct.clone() };
    let store = PostgresStore::open(&settings.database, options).await;
    Ok(Arc::new(store.map_err(faulty)?))
}

/// Its name, for logs: a password in it is not shown.
pub fn shown(url: &str) -> String {
    if is_postgres(url) { without_password(url) } else { url.to_owned() }
}

/// Looks at it without changing it; says what it is like, in lines.
pub async fn inspect(settings: &Settings) -> Result<Vec<String>, Error> {
    let faulty = |error: callboard_store::Error| Error::Serve(format!("database: {error}"));
    if is_postgres(&settings.database) {
        let found = PostgresStore::inspect(&settings.database).await.map_err(faulty)?;
        if let Some(direct) = &settings.database_direct {
            PostgresStore::inspect(direct).await.map_err(|error| Error::Serve(format!("database_direct: {error}")))?;
        }
        return Ok(vec![describe_database(&found)]);
    }
    let found = SqliteStore::inspect(&settings.database).await.map_err(faulty)?;
    let mut lines = vec![describe_file(&found)];
    if found.in_use {
        lines.push("note: a server uses this file now; another can't start before it has ended".into());
    }
    Ok(lines)
}

fn describe_file(found: &sqlite::Inspection) -> String {
    let file = found.path.display();
    if found.bytes == 0 {
        return format!("database: ok; {file} is not there yet, and will be made at the start");
    }
    let schema = describe_schema(found.schema, found.known);
    format!("database: ok; {file} has {} KiB without damage, and {schema}", found.bytes / 1_024)
}

fn describe_database(found: &postgres::Inspection) -> String {
    let postgres::Inspection { url, server, bytes, schema, known } = found;
    let schema = match schema {
        0 => "no tables yet, which will be made at the start".to_owned(),
        schema => describe_schema(*schema, *known),
    };
    format!("database: ok; {url} is PostgreSQL {}, has {} KiB, and {schema}", server / 10_000, bytes / 1_024)
}

fn describe_schema(schema: i64, known: i64) -> String {
    match known - schema {
        0 => format!("schema {schema}, which is this program's"),
        pending @ 1.. => format!(
            "schema {schema}; {pending} migration{} will run at the start, up to schema {known}",
            if pending == 1 { "" } else { "s" }
        ),
        _ => format!("schema {schema}, of a newer version that lets this one use it"),
    }
}
