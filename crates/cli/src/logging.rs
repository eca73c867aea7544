//! Logs on standard error, when they are asked for by `CALLBOARD_LOG` or `RUST_LOG`.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::args::Command;
use crate::output::colour_wanted;

/// What is logged when neither variable says. Commands that end soon say what there is to say by themselves.
pub fn default_for(command: &Command) -> &'static str {
    match command {
        #[cfg(unix)]
        Command::Work(_) | Command::DemoAgent(_) | Command::BenchAgent(_) => "warn,callboard=info",
        _ => "off",
    }
}

/// Starts logging.
pub fn start(default: &str) {
    let wanted = ["CALLBOARD_LOG", "RUST_LOG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let filter = EnvFilter::builder().parse_lossy(wanted.as_deref().unwrap_or(default));
    let colour = io::stderr().is_terminal() && colour_wanted();
    let logs =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colour).with_target(false);
    // Fails only when logging was started before.
    let _ = logs.try_init();
}
