//! `callboard-chaos`: runs faults, and writes the ledger. `cargo xtask chaos` builds what it needs and calls it.

use callboard_faults::fault::{Fault, Goal, Plan, Store};
use callboard_faults::figures::{Extent, Figure};
use callboard_faults::ledger::{self, Line, Tree};
use callboard_faults::report::Outcome;
use callboard_faults::{faults, figures, run, table};
use callboard_tests::load::chance::Seed;
use callboard_tests::program;
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Parser)]
#[command(
    name = "cargo xtask chaos",
    about = "Runs the fault battery: faults on real servers under load, checked afterwards"
)]
struct Args {
    /// The fault; `--list` names them.
    fault: Option<String>,
    /// Where servers keep everything. Else each store that the fault is run on.
    #[arg(long)]
    store: Option<Store>,
    /// How often the fault fires. Else what the ledger still lacks.
    #[arg(long)]
    rounds: Option<u32>,
    /// Of all choices of the first part; parts behind it go on from there. The same seed makes the same choices.
    #[arg(long)]
    seed: Option<u64>,
    /// Add each part to the ledger, and the sums to RELIABILITY.md. The tree must be as committed.
    #[arg(long)]
    record: bool,
    /// Plant bugs in the servers, to see them found: names, separated by commas. Never recorded.
    #[arg(long, default_value = "", conflicts_with = "record")]
    planted: String,
    /// Say which faults there are, and what the ledger has of each.
    #[arg(long, conflicts_with = "fault")]
    list: bool,
    /// Print the table of RELIABILITY.md.
    #[arg(long, conflicts_with = "fault")]
    table: bool,
    /// Write the table into RELIABILITY.md.
    #[arg(long, conflicts_with = "fault")]
    write_table: bool,
    /// Measure how soon something happens, instead of a fault: a line of JSON each. Say in which build: a debug build's figures say
    /// nothing.
    #[arg(long, value_enum, value_delimiter = ',', conflicts_with_all = ["fault", "record"])]
    figures: Vec<Figure>,
    /// With --figures: how many seconds claims are measured, with a pinned reader and without, by turns.
    #[arg(long, default_value_t = 60, requires = "figures")]
    seconds: u64,
}

fn main() -> ExitCode {
    match work(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything was kept.
fn work(args: &Args) -> Result<bool, String> {
    if args.list || args.table || args.write_table {
        return tell(args).map(|()| true);
    }
    if !args.figures.is_empty() {
        return measure(args).map(|()| true);
    }
    let name = args.fault.as_deref().ok_or("which fault? `cargo xtask chaos --list` names them")?;
    let fault = faults::find(name)?;
    let goals: Vec<Goal> =
        fault.goals().iter().copied().filter(|goal| args.store.is_none_or(|store| store == goal.store)).collect();
    if goals.is_empty() {
        return Err(format!("{name} is not run on that store"));
    }
    let tree = Tree::look()?;
    if args.record && tree.dirty {
        return Err("the tree has changes that are not committed: commit them first, then record".to_owned());
    }
    if args.record && std::env::var(ledger::BUILT_FROM).ok().as_ref() != Some(&tree.commit) {
        return Err("record by `cargo xtask chaos`: it builds every program that is run from this commit".to_owned());
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let mut all_kept = true;
    for goal in goals {
        all_kept &= runtime.block_on(parts(args, fault, goal, &tree))?;
    }
    Ok(all_kept)
}

/// How many rounds a figure has, if it isn't said.
const FIGURE_ROUNDS: u32 = 10;

fn measure(args: &Args) -> Result<(), String> {
    let extent = Extent { rounds: args.rounds.unwrap_or(FIGURE_ROUNDS), during: Duration::from_secs(args.seconds) };
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    for figure in &args.figures {
        for outcome in runtime.block_on(figures::measure(*figure, extent)) {
            println!("{}", serde_json::to_string(&outcome).map_err(|error| error.to_string())?);
        }
    }
    Ok(())
}

fn tell(args: &Args) -> Result<(), String> {
    let lines = ledger::read()?;
    if args.write_table {
        table::write(&lines)?;
    }
    if args.table {
        print!("{}", table::table(&lines));
    }
    if args.list {
        for fault in faults::ALL {
            for goal in fault.goals() {
                let kept = kept(*fault, goal.store, &lines);
                println!("{:<20} {:<9} {kept:>4} of {:>4}  {}", fault.name(), goal.store, goal.rounds, fault.what());
            }
        }
    }
    Ok(())
}

/// The rounds that the ledger has.
fn kept(fault: &dyn Fault, store: Store, lines: &[Line]) -> u32 {
    let of = |line: &&Line| line.fault == fault.name() && line.store == store && line.outcome == Outcome::Kept;
    lines.iter().filter(of).map(|line| line.rounds).sum()
}

/// Runs the rounds part by part. Goes on behind a part that was violated: the next may show more.
async fn parts(args: &Args, fault: &'static dyn Fault, goal: Goal, tree: &Tree) -> Result<bool, String> {
    let lacking = goal.rounds.saturating_sub(kept(fault, goal.store, &ledger::read()?));
    let mut left = args.rounds.unwrap_or(lacking);
    let mut seed = args.seed.unwrap_or_else(|| Seed::choose().0);
    let mut all_kept = true;
    while left > 0 {
        let rounds = left.min(fault.part());
        let plan =
            Plan { seed, store: goal.store, rounds, short: false, planted: args.planted.clone(), in_vain: false };
        let line = part(fault, &plan, tree).await?;
        all_kept &= line.outcome == Outcome::Kept;
        if args.record {
            ledger::append(&line)?;
            table::write(&ledger::read()?)?;
        }
        left -= rounds;
        // Where a round is a seed, no part repeats another's.
        seed = seed.wrapping_add(fault.seeds_of(rounds, &line.seen));
    }
    Ok(all_kept)
}

/// Runs one part, and says what came of it.
async fn part(fault: &'static dyn Fault, plan: &Plan, tree: &Tree) -> Result<Line, String> {
    eprintln!("{} on {}: {} rounds, seed {}", fault.name(), plan.store, plan.rounds, plan.seed);
    let ended = run::run(fault, plan).await;
    if ended.outcome == Outcome::Violated {
        let place = keep_story(fault, plan, &format!("{}\n{}", ended.facts.broken.join("\n"), ended.facts.story))?;
        eprintln!("what was broken, with histories and logs: {}", place.display());
        let again = format!("{} --store {} --rounds {} --seed {}", fault.name(), plan.store, plan.rounds, plan.seed);
        eprintln!("the same choices again: cargo xtask chaos {again}");
    }
    let line = Line {
        fault: fault.name().to_owned(),
        store: plan.store,
        commit: tree.commit.clone(),
        dirty: tree.dirty,
        build: "debug".to_owned(),
        seed: plan.seed,
        rounds: plan.rounds,
        operations: ended.facts.operations,
        seen: ended.facts.seen,
        outcome: ended.outcome,
        note: ended.note,
    };
    println!("{}", serde_json::to_string(&line).map_err(|error| error.to_string())?);
    Ok(line)
}

fn keep_story(fault: &dyn Fault, plan: &Plan, story: &str) -> Result<PathBuf, String> {
    let folder = program::target().join("chaos");
    let place = folder.join(format!("{}-{}-{}.txt", fault.name(), plan.store, plan.seed));
    let kept = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&place, story));
    kept.map(|()| place).map_err(|error| format!("{}: {error}", folder.display()))
}
