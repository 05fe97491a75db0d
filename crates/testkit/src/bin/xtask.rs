//! Long runs: `cargo xtask simulate` of the World, `cargo xtask faults` of the tests that kill
//! nodes and of those whose receivers fail. Prints what it did, and what it found with the seed
//! that finds it again.
#![expect(clippy::print_stdout, reason = "a command's output is what it is for")]

use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use testkit::world::{self, Failure, Report};

const USAGE: &str = "cargo xtask simulate [--seeds N] [--from SEED] [--steps N]
cargo xtask faults [--kills N] [--events N] [--seed SEED]";
const OF_THIS_PACKAGE: [&str; 7] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_LINKS",
    "CARGO_PKG_NAME",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
];
const THREADS: usize = 3;
const TELL_EVERY: u64 = 500;

/// What was asked for.
struct Plan {
    seeds: u64,
    from: u64,
    steps: u32,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(faults) = faults(&arguments) {
        return try_faults(&faults);
    }
    let Some(plan) = plan(&arguments) else {
        println!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match simulate(&plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn plan(arguments: &[String]) -> Option<Plan> {
    let (verb, options) = arguments.split_first()?;
    let mut plan = Plan { seeds: 100, from: 1, steps: 40 };
    for pair in options.chunks(2) {
        let value = pair.get(1)?;
        match pair[0].as_str() {
            "--seeds" => plan.seeds = value.parse().ok()?,
            "--from" => plan.from = value.parse().ok()?,
            "--steps" => plan.steps = value.parse().ok()?,
            _ => return None,
        }
    }
    (verb == "simulate").then_some(plan)
}

/// What is set for the tests, and which of them run.
struct Faults {
    variables: Vec<(&'static str, u64)>,
    tests: Vec<&'static str>,
}

fn faults(arguments: &[String]) -> Option<Faults> {
    let (verb, options) = arguments.split_first()?;
    let mut faults = Faults { variables: Vec::new(), tests: Vec::new() };
    for pair in options.chunks(2) {
        let value = pair.get(1)?.parse().ok()?;
        let (variable, test) = match pair[0].as_str() {
            "--kills" => ("KILLS", Some("kills::webhooks_survive")),
            "--events" => ("EVENTS", Some("moods::")),
            "--seed" => ("SEED", None),
            _ => return None,
        };
        faults.variables.push((variable, value));
        faults.tests.extend(test);
    }
    (verb == "faults" && !faults.tests.is_empty()).then_some(faults)
}

/// Both databases, one test after the other.
fn try_faults(faults: &Faults) -> ExitCode {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--package", "farebox", "--test", "faults", "--"]).args(&faults.tests);
    cargo.args(["--nocapture", "--test-threads", "1"]);
    cargo.envs(faults.variables.iter().map(|(name, value)| (name, value.to_string())));
    // What cargo tells this program of its own package would make it build others again.
    for name in OF_THIS_PACKAGE {
        cargo.env_remove(name);
    }
    match cargo.status() {
        Ok(ended) if ended.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Runs the seeds on two threads until one fails.
fn simulate(plan: &Plan) -> Result<(), Box<Failure>> {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let (sum, begun) = (Mutex::new((0, Report::default())), Instant::now());
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= plan.seeds {
                break;
            }
            match world::run(plan.from + number, plan.steps) {
                Ok(report) => tell(&sum, &report, begun),
                Err(failure) => {
                    stop.store(true, Ordering::Relaxed);
                    return Err(Box::new(failure));
                }
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let ended: Vec<_> = threads.into_iter().filter_map(|thread| thread.join().ok()).collect();
        ended.into_iter().collect::<Result<Vec<()>, _>>().map(drop)
    })?;
    let (sum, seconds) = (total(&sum), begun.elapsed().as_secs());
    println!("{} seeds hold, {seconds} s: {sum}", plan.seeds);
    let answers = sum.answers.iter().map(|(answer, count)| format!("{answer} {count}"));
    println!("answers: {}", answers.collect::<Vec<_>>().join(", "));
    Ok(())
}

fn tell(sum: &Mutex<(u64, Report)>, report: &Report, begun: Instant) {
    if let Ok(mut sum) = sum.lock() {
        sum.0 += 1;
        sum.1.add(report);
        if sum.0.is_multiple_of(TELL_EVERY) {
            println!("{} seeds, {} s: {}", sum.0, begun.elapsed().as_secs(), sum.1);
        }
    }
}

fn total(sum: &Mutex<(u64, Report)>) -> Report {
    sum.lock().map(|sum| sum.1.clone()).unwrap_or_default()
}
