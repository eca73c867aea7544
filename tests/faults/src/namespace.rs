//! A network namespace (Linux): a network of its own, whose only link, the loopback, loses packets as we say. The kernel's own TCP sends
//! them again, backs off, and gives up, as it does over any link.
//!
//! Threads are in a namespace, not processes: whoever is started by a thread that is in it is in it too, and so is every connection
//! that such a thread makes. Needs the rights of a network administrator, `ip` and `nft`.

use std::fs::File;
use std::future::Future;
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tokio::runtime::Builder;

/// How to get what it needs.
pub const INSTALL: &str = "install `ip` and `nft` (Debian, Ubuntu: `apt-get install iproute2 nftables`)";
/// Where `ip netns` keeps them.
const PLACE: &str = "/run/netns";
/// What every namespace has: nothing is lost. Packets that come are looked at, so that who sends is not told.
const FAIR: &str =
    "table ip link {\n chain arriving {\n type filter hook input priority 0\n }\n}\nflush chain ip link arriving\n";

/// Asks what the rules have counted.
const LISTED: [&str; 6] = ["--json", "list", "chain", "ip", "link", "arriving"];

/// What a link loses: of the packets of TCP connections to a port of 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The port.
    pub port: u16,
    /// How many of a hundred, at random.
    pub percent: u32,
    /// Those to the port.
    pub to: bool,
    /// Those from it.
    pub from: bool,
}

impl Loss {
    fn rules(self) -> String {
        let mut rules = FAIR.to_owned();
        let chance = match self.percent {
            0..100 => format!("numgen random mod 100 < {} ", self.percent),
            _ => String::new(),
        };
        for (end, lost) in [("dport", self.to), ("sport", self.from)] {
            if lost {
                rules += &format!("add rule ip link arriving iif lo tcp {end} {} {chance}counter drop\n", self.port);
            }
        }
        rules
    }
}

/// Why there can be none.
#[derive(Debug)]
pub enum Unavailable {
    /// A program is missing.
    Missing(String),
    /// This system doesn't let us have one.
    Refused(String),
}

/// The namespace. Its name is gone when it is dropped, and itself when the last of its processes is.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    place: Arc<File>,
}

impl Namespace {
    /// Makes one, on which nothing is lost.
    ///
    /// # Errors
    ///
    /// Says what is missing, or what was refused.
    pub fn make() -> Result<Self, Unavailable> {
        may_have_one()?;
        // Nothing hangs on it but that nobody else has the name.
        #[allow(clippy::disallowed_methods)]
        let chance: u32 = rand::random();
        let name = format!("callboard-{}-{chance:08x}", std::process::id());
        order("ip", &["netns", "add", &name], "")?;
        let place = match File::open(format!("{PLACE}/{name}")) {
            Ok(place) => Arc::new(place),
            Err(error) => {
                let _ = order("ip", &["netns", "delete", &name], "");
                return Err(Unavailable::Refused(format!("{PLACE}/{name}: {error}")));
            }
        };
        let made = Self { name, place };
        order("ip", &["-n", &made.name, "link", "set", "lo", "up"], "")?;
        made.inside(async { try_out() })?;
        Ok(made)
    }

    /// Runs this in it: on threads of its own, all of which are in it.
    ///
    /// # Panics
    ///
    /// When it does.
    pub fn inside<T: Send>(&self, work: impl Future<Output = T> + Send) -> T {
        let run = || {
            enter(&self.place).expect("a namespace that was made can be entered");
            let place = self.place.clone();
            let started = move || enter(&place).expect("a namespace that was made can be entered");
            let runtime = Builder::new_multi_thread().enable_all().on_thread_start(started).build();
            runtime.expect("threads can be started").block_on(work)
        };
        let joined = std::thread::scope(|scope| scope.spawn(run).join());
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = order("ip", &["netns", "delete", &self.name], "");
    }
}

/// Whether the rights are there, before any tool is asked for: where they are not, a tool would be of no use.
fn may_have_one() -> Result<(), Unavailable> {
    if !cfg!(target_os = "linux") {
        return Err(Unavailable::Refused("only Linux has network namespaces".to_owned()));
    }
    order("unshare", &["--net", "true"], "").map(drop).map_err(|error| match error {
        Unavailable::Missing(what) | Unavailable::Refused(what) => Unavailable::Refused(what),
    })
}

/// Not every kernel has all that the rules want.
fn try_out() -> Result<(), Unavailable> {
    let loss = Loss { port: 1, percent: 50, to: true, from: true };
    order("nft", &["-f", "-"], &loss.rules())?;
    order("nft", &LISTED, "")?;
    order("nft", &["-f", "-"], FAIR).map(drop)
}

/// From now on this is lost on the link of the namespace that we are in, and nothing else.
///
/// # Panics
///
/// When the kernel does not take the rules.
pub fn lose(loss: Loss) {
    nft(&["-f", "-"], &loss.rules());
}

/// Nothing is lost any more. Returns how many packets were since it began.
///
/// # Panics
///
/// When the kernel does not say.
pub fn heal() -> u64 {
    let listed = nft(&LISTED, "");
    nft(&["-f", "-"], FAIR);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("nft writes JSON");
    let rules = listed["nftables"].as_array().expect("a list").iter();
    let counters = rules.filter_map(|item| item["rule"]["expr"].as_array()).flatten();
    counters.filter_map(|part| part["counter"]["packets"].as_u64()).sum()
}

fn nft(arguments: &[&str], input: &str) -> String {
    order("nft", arguments, input).unwrap_or_else(|error| panic!("{error:?}"))
}

/// Runs a program, and returns what it says.
fn order(program: &str, arguments: &[&str], input: &str) -> Result<String, Unavailable> {
    // What is for root stands in folders that not everybody's path has.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", path);
    let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let said = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Unavailable::Missing(format!("`{program}` was not found: {INSTALL}")),
        _ => Unavailable::Refused(format!("{program}: {error}")),
    };
    let mut child = started.map_err(said)?;
    // One that ends before it has read all says why itself.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(said)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(Unavailable::Refused(format!("`{program} {}`: {}", arguments.join(" "), why.trim())))
}

#[cfg(target_os = "linux")]
fn enter(place: &File) -> io::Result<()> {
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    use std::os::fd::AsFd;
    Ok(move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network))?)
}

#[cfg(not(target_os = "linux"))]
fn enter(_place: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_told_by_direction() {
        let loss = Loss { port: 4000, percent: 30, to: true, from: false };
        assert!(loss.rules().ends_with("iif lo tcp dport 4000 numgen random mod 100 < 30 counter drop\n"));
        assert!(!loss.rules().contains("sport"));
        let all = Loss { percent: 100, ..loss }.rules();
        assert!(all.ends_with("tcp dport 4000 counter drop\n"), "nft takes no chance of 100 in 100");
        let both = Loss { from: true, ..loss }.rules();
        assert!(both.contains("dport 4000") && both.contains("sport 4000"));
    }
}
