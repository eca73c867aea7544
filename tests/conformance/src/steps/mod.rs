//! What a step can be, beside an instruction for a driver: waiting, faults, verdicts.

mod check;
mod fault;
mod health;
mod history;
mod wait;
mod wire;

use crate::scenario::Step;
use crate::world::World;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// Carries out a step.
///
/// # Errors
///
/// What is otherwise than the step says.
pub async fn take(world: &mut World<'_>, step: &Step) -> Result<(), String> {
    match step.verb.as_str() {
        "wait" => wait::take(world, step).await,
        "fault" => fault::take(world, read(&world.fill(&step.args)?)?).await,
        "check" => check::take(world, read(&world.fill(&step.args)?)?).await,
        // That nothing happens can be seen only by letting time pass.
        "let_pass_ms" => {
            tokio::time::sleep(Duration::from_millis(step.args.as_u64().unwrap_or_default())).await;
            Ok(())
        }
        verb if is_instruction(verb) => world.instruct(step).await,
        verb => Err(format!("there is no step `{verb}`")),
    }
}

fn is_instruction(verb: &str) -> bool {
    ["agent.", "client.", "watch.", "output.", "gate."].iter().any(|kind| verb.starts_with(kind))
}

fn read<T: DeserializeOwned>(args: &Value) -> Result<T, String> {
    serde_json::from_value(args.clone()).map_err(|error| format!("{error} in {args}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;
    use crate::value::fill;
    use callboard_tests::program::root;

    /// Steps that can't be read would be found only where a scenario comes to them.
    #[test]
    fn every_step_of_every_scenario_can_be_read() {
        for scenario in scenario::read_all(&root().join("tests/conformance/scenarios")).unwrap() {
            for (number, fields) in (1..).zip(&scenario.steps) {
                let step = Step::read(fields).unwrap();
                let args = fill(&step.args, &|_| Some(Value::String("filled-in".to_owned()))).unwrap();
                let known = match step.verb.as_str() {
                    "wait" => read::<wait::Wait>(&args).map(drop),
                    "fault" => read::<fault::Fault>(&args).map(drop),
                    "check" => read::<check::Check>(&args).map(drop),
                    "let_pass_ms" => read::<u64>(&args).map(drop),
                    verb if is_instruction(verb) => Ok(()),
                    verb => Err(format!("there is no step `{verb}`")),
                };
                known.unwrap_or_else(|fault| panic!("{}, step {number}: {fault}", scenario.name));
            }
        }
    }
}
