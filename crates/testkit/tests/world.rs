//! The World in the normal run: some hundred seeds, and the scripts. Longer runs are
//! `cargo xtask simulate --seeds N`.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use testkit::world;

const SEEDS: u64 = 200;
/// A world on a server takes longer to make, and its crashes too.
const SEEDS_ON_A_SERVER: u64 = 40;
const STEPS: u32 = 14;
const THREADS: usize = 3;

#[test]
fn every_seed_finds_the_world_as_the_oracle_says() {
    let seeds = if testkit::ground::server().is_some() { SEEDS_ON_A_SERVER } else { SEEDS };
    let next = AtomicU64::new(1);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > seeds {
                return;
            }
            if let Err(failure) = world::run(seed, STEPS) {
                // The other thread ends too.
                next.store(seeds + 1, Ordering::Relaxed);
                panic!("{failure}");
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
}

#[test]
fn every_script_goes_as_it_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/scripts");
    let mut played = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if let Err(failure) = world::play(&text) {
            panic!("{}: {failure}", path.display());
        }
        played += 1;
    }
    assert!(played >= 5, "the scripts were not found");
}

#[test]
fn a_script_that_says_otherwise_is_refused() {
    let text = "paywall P1\ndeposit P1/ann 10 -> entry E1 balance 11";
    let problem = world::play(text).unwrap_err().problem;
    assert!(problem.contains("the script says entry E1 balance 11"), "{problem}");
}
