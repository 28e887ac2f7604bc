// SPDX-License-Identifier: Apache-2.0

//! Random walks over the real parts: create, change, delete, rotate, break, restart, in any order; then everything must come
//! to what a model says, at the manager and in Kubernetes.
//!
//! A walk is told by its seed. One that fails prints the command that repeats it: the same steps, though not the same timing.
//! `make soak MINUTES=n` walks for so long.

mod model;
mod perform;
mod settle;

use std::time::{Duration, Instant};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use rstest::rstest;

use model::{Action, Model};
use perform::Stage;
use settle::{Ids, forget_deleted};

use crate::figures;

/// Steps of a walk in the normal tests.
const STEPS: usize = 24;
/// Steps between two looks at whether all is as it is to be, at most.
const BATCH: usize = 6;

/// Tells how to repeat a walk if it fails.
struct Walk {
    seed: u64,
    steps: usize,
    taken: Vec<Action>,
}

impl Drop for Walk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the walk failed after {} step(s):", self.taken.len());
            for (number, action) in self.taken.iter().enumerate() {
                eprintln!("  {number:3}  {action:?}");
            }
            eprintln!(
                "to repeat it: WALK_SEED={} WALK_STEPS={} cargo test --test integration walk::one_that_nobody_has_chosen",
                self.seed, self.steps
            );
        }
    }
}

async fn walk(seed: u64, steps: usize) {
    let mut walk = Walk {
        seed,
        steps,
        taken: Vec::new(),
    };
    let mut random = StdRng::seed_from_u64(seed);
    let (mut stage, mut model, mut ids) = (Stage::set().await, Model::default(), Ids::default());
    while walk.taken.len() < steps {
        for _ in 0..random.random_range(1..=BATCH) {
            let action = model.next(&mut random);
            model.take(&action);
            forget_deleted(&mut ids, &model);
            walk.taken.push(action);
            stage.perform(&action, &model).await;
        }
        stage.settle(&model, &mut ids).await;
        model.settle();
    }
    stage.scene.assert_at_rest().await;
    stage.scene.finish().await;
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

fn steps() -> usize {
    number("WALK_STEPS").map_or(STEPS, |steps| usize::try_from(steps).unwrap())
}

#[rstest]
#[case(1)]
#[case(2)]
#[case(3)]
#[tokio::test(flavor = "multi_thread")]
async fn one_that_everybody_takes(#[case] seed: u64) {
    walk(seed, STEPS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_nobody_has_chosen() {
    let seed = number("WALK_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    eprintln!("a walk of {} steps with WALK_SEED={seed}", steps());
    walk(seed, steps()).await;
}

/// Not part of the normal tests: `make soak MINUTES=n`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as long as WALK_MINUTES says"]
async fn as_many_as_there_is_time_for() {
    let limit = Duration::from_mins(number("WALK_MINUTES").unwrap_or(1));
    let (began, mut walks) = (Instant::now(), 0);
    while began.elapsed() < limit {
        let seed = rand::rng().random_range(0..1_000_000);
        eprintln!("walk {walks}, {:?} of {limit:?}: WALK_SEED={seed}", began.elapsed());
        walk(seed, steps()).await;
        walks += 1;
    }
    figures::record("walks-of-the-last-soak", walks);
}
