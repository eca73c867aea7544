//! `callboard-conformance`: plays the scenarios. `cargo xtask conformance` builds what it needs and calls it.

use callboard_conformance::report::{self, Row, Verdict};
use callboard_conformance::run;
use callboard_conformance::scenario::{self, Scenario};
use callboard_conformance::sdk::Sdk;
use callboard_conformance::stage::{Stage, Store};
use callboard_tests::program::root;
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Parser)]
#[command(
    name = "cargo xtask conformance",
    about = "Plays every scenario with every SDK, and says which behave as they are to"
)]
struct Args {
    /// Only scenarios whose names contain one of these.
    scenarios: Vec<String>,
    /// Only these SDKs.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Sdk::Rust, Sdk::Python, Sdk::Typescript, Sdk::Go])]
    sdk: Vec<Sdk>,
    /// Where the servers keep everything.
    #[arg(long, value_enum, default_value_t = Store::Sqlite)]
    store: Store,
    /// How many scenarios are played beside each other.
    #[arg(long, default_value_t = 4)]
    beside: usize,
    /// Plant a defect in every SDK: see DRIVER.md.
    #[arg(long)]
    defect: Option<String>,
    /// Write the report as JSON into this file, too.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Only list the scenarios.
    #[arg(long)]
    list: bool,
}

#[tokio::main(worker_threads = 8)]
async fn main() -> ExitCode {
    match play(Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("error: {fault}");
            ExitCode::from(2)
        }
    }
}

/// Whether every scenario passed.
async fn play(args: Args) -> Result<bool, String> {
    let mut scenarios = scenario::read_all(&root().join("tests/conformance/scenarios"))?;
    scenarios.retain(|scenario| is_asked_for(scenario, &args.scenarios));
    if args.list {
        scenarios.iter().for_each(|scenario| println!("{:<50} {}", scenario.name, scenario.about));
        return Ok(true);
    }
    if scenarios.is_empty() {
        return Err(format!("no scenario is called like {}: --list names them", args.scenarios.join(", ")));
    }
    for scenario in scenarios.extract_if(.., |scenario| !scenario.is_for(args.store)) {
        println!("left out: {} needs two servers with one database: --store postgres", scenario.name);
    }
    if scenarios.is_empty() {
        return Err(format!("nothing of it can be played on {}", args.store));
    }
    let stage = Arc::new(Stage::new(args.store, args.defect));
    let rows = run::all(stage, &scenarios, &args.sdk, args.beside, Row::tell).await;
    let names: Vec<String> = scenarios.into_iter().map(|scenario| scenario.name).collect();
    println!(
        "\n{}\n\n{}, on {}",
        report::table(&names, &args.sdk, &rows),
        report::summary(&args.sdk, &rows),
        args.store
    );
    if let Some(file) = args.json {
        let text = format!("{:#}\n", report::json(args.store, &rows));
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(rows.len() == names.len() * args.sdk.len() && rows.iter().all(|row| row.verdict == Verdict::Passed))
}

fn is_asked_for(scenario: &Scenario, names: &[String]) -> bool {
    names.is_empty() || names.iter().any(|name| scenario.name.contains(name.as_str()))
}
