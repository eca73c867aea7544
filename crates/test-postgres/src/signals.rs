//! Signals to a server's processes, by the program `kill`: there is no safe call of the standard library for them.

use std::fs;
use std::process::Command;

/// Kills a process and its children at once. They are stopped first, so that none of them sees the others die.
pub fn kill_family(parent: u32) -> usize {
    send("STOP", &[parent]);
    let mut family = children(parent);
    family.push(parent);
    send("KILL", &family);
    family.len()
}

/// Sends a signal. A process that has ended in the meantime is no fault.
pub fn send(signal: &str, processes: &[u32]) {
    let mut kill = Command::new("kill");
    kill.arg("-s").arg(signal).args(processes.iter().map(u32::to_string));
    kill.output().expect("kill can be run");
}

/// The processes whose parent this is.
fn children(parent: u32) -> Vec<u32> {
    // Linux says so in a file, where there need be no `ps`.
    match fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")) {
        Ok(children) => children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect(),
        Err(_) => listed_children(parent),
    }
}

fn listed_children(parent: u32) -> Vec<u32> {
    let listed = Command::new("ps").args(["-e", "-o", "pid=,ppid="]).output().expect("ps can be run");
    let text = String::from_utf8_lossy(&listed.stdout);
    let rows = text.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
    rows.filter(|(_, ppid)| ppid.trim().parse() == Ok(parent)).filter_map(|(pid, _)| pid.parse().ok()).collect()
}
