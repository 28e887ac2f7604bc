// SPDX-License-Identifier: Apache-2.0

//! A crash at any I/O of the operator: whatever it was doing, the next one comes to the same end.
//!
//! A scenario is done once without a crash, which lists its I/Os; then once for each of them and each side of it, with the
//! wire cut there, the operator killed and another one started. What has to be true in the end is the same each time.
//!
//! As far as it depends on who is faster, the operator does not do the same each time. A point that is not met again is tried
//! once more; if it is not met then either that is a failure, unless it is one of those that [`depends_on_timing`] or
//! [`Scenario::depends_on_timing`] names.

mod approval;
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

use std::{
    collections::VecDeque,
    fmt::{self, Display, Formatter},
    sync::Mutex,
};

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

    /// Whether a point may come by in one round of this scenario and not in the next, with nothing wrong.
    fn depends_on_timing(_point: &Point) -> bool {
        false
    }

    /// Looks at what a round has left behind, and brings the scene to where the next one may begin. Nothing is cut any more.
    async fn afterwards(&mut self, _stage: &Stage) {}
}

/// Scenes that are played in at the same time, whatever the number of tests: each has an operator and a manager.
static STAGES: Semaphore = Semaphore::const_new(5);

type Points = Mutex<VecDeque<Attempt>>;

/// What is to go wrong in a round.
#[derive(Clone)]
struct Attempt {
    point: Point,
    mishap: Mishap,
    /// Whether the point was not met the last time.
    is_second: bool,
}

impl Display for Attempt {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}", self.mishap, self.point)
    }
}

/// Tries a crash at all points of a scenario.
pub async fn explore<S: Scenario>(references: References) {
    explore_with::<S>(references, "crash", &[Mishap::CutBefore, Mishap::CutAfter]).await;
}

/// Tries all points of a scenario with each of these; those that change nothing with crashes only, because asking twice or
/// in vain is what a read is for.
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
            .filter(|(point, mishap)| mishap.is_cut() || !point.is_read())
            .map(|(point, mishap)| Attempt {
                point,
                mishap,
                is_second: false,
            })
            .collect(),
    );
    let all = points.lock().unwrap().len();
    let missed = join_all(rooms.iter_mut().map(|room| room.work(&points))).await.concat();
    let tried = all - missed.len();
    eprintln!(
        "{} ({references:?}): {tried} of {all} points tried; not met: {}",
        S::NAME,
        list(&missed)
    );
    let excused = |point: &Point| depends_on_timing(point) || S::depends_on_timing(point);
    if let Some(missed) = missed.iter().find(|missed| !excused(&missed.point)) {
        panic!("{}: {missed} was not met again", S::NAME);
    }
    join_all(rooms.into_iter().map(Room::close)).await;
    let switch = match references {
        References::Unique => "unique",
        References::NotUnique => "not-unique",
    };
    figures::record(&format!("{figure}-points-{}-{switch}", S::NAME), format!("{tried} points"));
}

/// Whether a point may come by in one round of any scenario and not in the next, with nothing wrong.
fn depends_on_timing(point: &Point) -> bool {
    // When the operator asks for changes depends on when the call that it waits in is answered.
    point.is_of_feed()
        // What is looked at once more is so because something came in between; who looks at the same time shares the look.
        || (point.is_read() && point.number > 1)
}

fn list(all: &[impl Display]) -> String {
    let all: Vec<_> = all.iter().map(ToString::to_string).collect();
    all.join(", ")
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

    /// Takes points until there is none left. Returns those that were not met.
    async fn work(&mut self, points: &Points) -> Vec<Attempt> {
        let mut missed = Vec::new();
        loop {
            let Some(attempt) = points.lock().unwrap().pop_front() else {
                return missed;
            };
            let is_met = self.round(Some(&attempt)).await.is_met;
            if !is_met && attempt.is_second {
                missed.push(attempt);
            } else if !is_met {
                let is_second = true;
                points.lock().unwrap().push_back(Attempt { is_second, ..attempt });
            }
        }
    }

    /// Does it once.
    async fn round(&mut self, attempt: Option<&Attempt>) -> Round {
        self.stage.round += 1;
        self.scenario.prepare(&mut self.stage).await;
        let what = match attempt {
            None => format!("{}, undisturbed", S::NAME),
            Some(attempt) => format!("{}, {attempt}, round {}", S::NAME, self.stage.round),
        };
        let wire = self.stage.scene.wire.clone();
        let cuts = attempt.is_some_and(|attempt| attempt.mishap.is_cut());
        let whose = self.stage.whose();
        let trap = attempt.map(|attempt| (attempt.point.clone(), attempt.mishap));
        wire.arm(trap, Some(whose.clone()));
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
        let seen = wire.seen();
        if cuts && is_met {
            self.stage.scene.crash_operator().await;
            wire.arm(None, Some(whose));
            self.stage.scene.start_operator().await;
            done(&self.scenario, &self.stage, &what).await;
            self.stage.is_followed().await;
        }
        self.scenario.afterwards(&self.stage).await;
        Round { is_met, seen }
    }

    /// It comes to rest. Interfaces take their time to write down how many connections they have.
    async fn close(self) {
        let scene = self.stage.scene;
        let what = format!("{}: nothing is asked or written any more", S::NAME);
        let at_rest = async || {
            scene.wire.arm(None, None);
            scene.time_passes(3).await;
            let mut seen = scene.wire.seen();
            seen.retain(|point| !point.is_of_feed());
            if seen.is_empty() { Ok(()) } else { Err(list(&seen)) }
        };
        scene.eventually(&what, at_rest).await;
        scene.finish().await;
    }
}

async fn done<S: Scenario>(scenario: &S, stage: &Stage, what: &str) {
    stage.scene.eventually(what, async || scenario.is_done(stage).await).await;
}
