//! `callboard message …`

use std::io::stdin;
use std::pin::pin;

use callboard::NewMessage;
use callboard::v1::{Message, Payload};
use futures::TryStreamExt;
use serde_json::json;

use super::Session;
use super::listing::Listing;
use crate::args::message::{AckArgs, ListArgs, MessageCommand, SendArgs, WatchArgs};
use crate::error::Error;
use crate::input::{self, InputKind};
use crate::output::{json, table};

/// Does it.
pub async fn run(session: &Session, command: MessageCommand) -> Result<(), Error> {
    match command {
        MessageCommand::Send(args) => send(session, args).await,
        MessageCommand::List(args) => list(session, &args).await,
        MessageCommand::Watch(args) => watch(session, &args).await,
        MessageCommand::Ack(args) => acknowledge(session, args).await,
    }
}

async fn send(session: &Session, args: SendArgs) -> Result<(), Error> {
    let mut message = NewMessage::to(&args.to).body_payload(body(&args)?);
    for (name, value) in args.header {
        message = message.header(name, value);
    }
    if let Some(ttl) = args.ttl {
        message = message.ttl(ttl);
    }
    let receipt = session.client.send_message(message.request_id(args.request_id.unwrap_or_default())).await?;
    match session.output.is_json() {
        true => session.output.document(&json!({ "message_id": receipt.message_id, "sequence": receipt.sequence })),
        false => session.output.line(&receipt.message_id),
    }
}

fn body(args: &SendArgs) -> Result<Payload, Error> {
    let (given, kind) = match (&args.body, &args.input.input) {
        // A text is taken as it is, also when it looks like a file's name.
        (Some(text), _) => return Ok(input::payload("-", InputKind::Text, text.as_bytes())?),
        (None, Some(given)) => (given.as_str(), args.input.kind()),
        (None, None) => return Ok(Payload::default()),
    };
    Ok(input::payload(given, kind, stdin().lock())?)
}

async fn list(session: &Session, args: &ListArgs) -> Result<(), Error> {
    let listing = Listing { plural: "messages", json: json::message, table: table::messages };
    listing.write(&session.output, &args.limit, session.client.list_messages(&args.agent)).await
}

async fn watch(session: &Session, args: &WatchArgs) -> Result<(), Error> {
    // A server that isn't there, or an agent, is said at once.
    session.client.get_agent(&args.agent).await?;
    let client = session.patient()?;
    let mut messages = pin!(client.watch_messages(&args.agent));
    let mut left = args.count;
    while left != Some(0)
        && let Some(message) = messages.try_next().await?
    {
        write(session, &message)?;
        if args.ack {
            client.acknowledge_messages(&args.agent, [message.id]).await?;
        }
        left = left.map(|left| left - 1);
    }
    Ok(())
}

fn write(session: &Session, message: &Message) -> Result<(), Error> {
    match session.output.is_json() {
        true => session.output.line(&json::message(message).to_string()),
        false => session.output.line(&table::message_line(message)),
    }
}

async fn acknowledge(session: &Session, args: AckArgs) -> Result<(), Error> {
    let count = session.client.acknowledge_messages(&args.agent, args.ids).await?;
    match session.output.is_json() {
        true => session.output.document(&json!({ "acknowledged": count })),
        false => session.output.line(&format!("{count} acknowledged")),
    }
}
