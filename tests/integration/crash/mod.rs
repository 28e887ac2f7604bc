//! A crash at any I/O of the operator: whatever it was doing, the next one comes to the same end.
//!
//! A scenario is done once without a crash, which lists its I/Os; then once for each of them and each side of it, with the
//! wire cut there, the operator killed and another one started. What has to be true in the end is the same each time.

mod change;
mod end;
mod first;
mod going;
mod keys;
mod late;
mod restore;
mod stage;
mod stale;
mod twice;

use std::{collections::VecDeque, sync::Mutex};

use futures::future::join_all;
use tokio::sync::Semaphore;

use crate::{
    figures,
    scene::{Mishap, Point},
};
use stage::Stage;

/// What the manager does with a second object of the same reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum References {
    /// It refuses it, and names the first.
    Unique,
    /// It takes it.
    NotUnique,
}

/// Something that the operator is asked for, over and over.
pub trait Scenario: Default {
    /// What failures and figures call it.
    const NAME: &'static str;
    /// How many scenes share the points.
    const SCENES: u32;

    /// Brings a new scene to where all rounds begin.
    async fn begin(&mut self, stage: &mut Stage);

    /// Brings a scene to where this round begins. Nothing is cut yet.
    async fn prepare(&mut self, _stage: &mut Stage) {}

    /// Asks for it. Must not wait for the operator.
    async fn act(&mut self, stage: &Stage);

    /// Whether it is done, and everything is as it must be; if not, what is missing. May give the operator what it waits for.
    async fn is_done(&self, stage: &Stage) -> Result<(), String>;

    /// Looks at what a round has left behind, and brings the scene to where the next one may begin. Nothing is cut any more.
    async fn afterwards(&mut self, _stage: &Stage) {}
}

/// Scenes that are played in at the same time, whatever the number of tests: each has an operator and a manager.
static STAGES: Semaphore = Semaphore::const_new(5);

type Points = Mutex<VecDeque<(Point, Mishap)>>;

/// Tries a crash at all points of a scenario.
pub async fn explore<S: Scenario>(references: References) {
    explore_with::<S>(references, "crash", &[Mishap::CutBefore, Mishap::CutAfter]).await;
}

/// Tries all points of a scenario with each of these.
pub async fn explore_with<S: Scenario>(references: References, figure: &str, mishaps: &[Mishap]) {
    let _turn = STAGES.acquire_many(S::SCENES).await.unwrap();
    let mut rooms = join_all((0..S::SCENES).map(|_| Room::<S>::open(references))).await;
    let recorded = rooms[0].round(None).await.seen;
    eprintln!("{} ({references:?}): {}", S::NAME, list(&recorded));
    assert!(!recorded.is_empty(), "{}: the operator did nothing", S::NAME);
    let points: Points = Mutex::new(
        recorded
            .into_iter()
            .flat_map(|point| mishaps.iter().map(move |mishap| (point.clone(), *mishap)))
            .collect(),
    );
    let all = points.lock().unwrap().len();
    let tried: usize = join_all(rooms.iter_mut().map(|room| room.work(&points)))
        .await
        .into_iter()
        .sum();
    // A status that is written only if something else takes longer may not be met again.
    assert!(tried * 4 >= all * 3, "{}: of {all} points only {tried} were met", S::NAME);
    join_all(rooms.into_iter().map(Room::close)).await;
    let switch = match references {
        References::Unique => "unique",
        References::NotUnique => "not-unique",
    };
    figures::record(&format!("{figure}-points-{}-{switch}", S::NAME), format!("{tried} points"));
}

fn list(points: &[Point]) -> String {
    let labels: Vec<_> = points.iter().map(ToString::to_string).collect();
    labels.join(", ")
}

/// What came of a round.
struct Round {
    /// Whether what was to happen on the way did.
    is_met: bool,
    /// What went over the wire, in order.
    seen: Vec<Point>,
}

/// A scene in which a scenario is done over and over.
struct Room<S> {
    scenario: S,
    stage: Stage,
}

impl<S: Scenario> Room<S> {
    async fn open(references: References) -> Self {
        let mut stage = Stage::new(references).await;
        let mut scenario = S::default();
        scenario.begin(&mut stage).await;
        Self { scenario, stage }
    }

    /// Takes points until there is none left. Returns how many were met.
    async fn work(&mut self, points: &Points) -> usize {
        let mut met = 0;
        loop {
            let Some(point) = points.lock().unwrap().pop_front() else {
                return met;
            };
            if self.round(Some(point.clone())).await.is_met {
                met += 1;
            } else {
                eprintln!("{}: {} {:?} was not met again", S::NAME, point.0, point.1);
            }
        }
    }

    /// Does it once.
    async fn round(&mut self, trap: Option<(Point, Mishap)>) -> Round {
        self.stage.round += 1;
        self.scenario.prepare(&mut self.stage).await;
        let what = match &trap {
            None => format!("{}, undisturbed", S::NAME),
            Some((point, mishap)) => format!("{}, {mishap:?} at {point}, round {}", S::NAME, self.stage.round),
        };
        let wire = self.stage.scene.wire.clone();
        let cuts = trap.as_ref().is_some_and(|(_, mishap)| mishap.is_cut());
        wire.arm(trap, Some(self.stage.round));
        self.scenario.act(&self.stage).await;
        let undisturbed = async {
            done(&self.scenario, &self.stage, &what).await;
            // What is the last one may be done before the wire is cut behind it.
            if cuts && wire.is_sprung() {
                wire.cut().await;
            }
        };
        tokio::select! {
            biased;
            () = wire.cut() => {}
            () = undisturbed => {}
        }
        let is_met = wire.disarm();
        if cuts && is_met {
            self.stage.scene.crash_operator().await;
            self.stage.scene.start_operator().await;
            done(&self.scenario, &self.stage, &what).await;
        }
        let seen = wire.seen();
        self.scenario.afterwards(&self.stage).await;
        Round { is_met, seen }
    }

    /// It comes to rest. Interfaces take their time to write down how many connections they have.
    async fn close(self) {
        let scene = self.stage.scene;
        let what = format!("{}: nothing is written any more", S::NAME);
        let at_rest = async || {
            scene.wire.arm(None, None);
            scene.time_passes(3).await;
            let written = scene.wire.seen();
            if written.is_empty() { Ok(()) } else { Err(list(&written)) }
        };
        scene.eventually(&what, at_rest).await;
        scene.finish().await;
    }
}

async fn done<S: Scenario>(scenario: &S, stage: &Stage, what: &str) {
    stage.scene.eventually(what, async || scenario.is_done(stage).await).await;
}
