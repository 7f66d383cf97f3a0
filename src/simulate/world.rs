//! The event loop: arrivals, reports, changes, in the order of time.
//!
//! There are few kinds of events and each has one next time, so there is no heap of events but for requests that an
//! answer brings later.

mod choices;
mod events;
mod farm;
mod reports;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::law::exponential;
use super::machine::{Machine, Nanos, SECOND};
use super::outcome::{Outcome, Responses};
use super::setting::{Figure, Rule, Setting};
use crate::balance::random::{Random, SplitMix};
use crate::balance::update::{Admin, BackendUpdate, Update};
use crate::balance::{Ask, Choice, Engine, Farm, Moment};
use reports::Meter;

/// Virtual time starts here, so that nothing happens at the epoch.
const START: Nanos = 1_000_000_000_000;
/// The part of the requests that only warms up.
const WARM_UP: f64 = 0.1;
const NEVER: Nanos = Nanos::MAX;

/// Why a run could not be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Impossible {
    /// A farm of nobody.
    #[error("a simulation needs at least one member")]
    NoMembers,
    /// A number that makes no sense.
    #[error("{0}")]
    Number(String),
    /// The engine refuses the plan.
    #[error("the engine refuses the plan: {0}")]
    Plan(String),
}

/// One run: `requests` that count, after a tenth as many that only warm up.
pub fn run(setting: &Setting, rule: Rule, requests: u64, seed: u64) -> Result<Outcome, Impossible> {
    setting.check()?;
    let mut world = World::new(setting, rule, requests, seed)?;
    world.run();
    Ok(world.outcome())
}

impl Setting {
    /// Refuses what cannot be simulated.
    fn check(&self) -> Result<(), Impossible> {
        let positive = |number: f64| number.is_finite() && number > 0.0;
        let refuse = |what: &str| Err(Impossible::Number(what.to_owned()));
        if self.capacities.is_empty() {
            return Err(Impossible::NoMembers);
        }
        if !self.capacities.iter().all(|&capacity| positive(capacity)) {
            return refuse("every capacity must be greater than 0");
        }
        if !positive(self.rate) {
            return refuse("the rate of requests must be greater than 0");
        }
        if !positive(self.reports.every) {
            return refuse("the time between reports must be greater than 0");
        }
        if self.drift.is_some_and(|span| !positive(span)) || self.churn.is_some_and(|span| !positive(span)) {
            return refuse("the time between changes must be greater than 0");
        }
        if self.churn.is_some() && self.capacities.len() < 2 {
            return refuse("members that come and go take at least two");
        }
        if self.burst == 0 || self.athenas == 0 || self.workers == 0 || self.clients == 0 {
            return refuse("requests an answer, workers, clients and Athenas must be at least 1");
        }
        Ok(())
    }
}

/// One Athena.
struct Athena {
    engine: Engine,
    farm: Arc<Farm>,
    /// Whether something is due earlier than it said.
    sooner: Arc<AtomicBool>,
    /// When it is to look at who is silent, or rises in slow start.
    due: Nanos,
}

struct World<'a> {
    setting: &'a Setting,
    rule: Rule,
    /// None: no rule of the product chooses.
    athenas: Vec<Athena>,
    /// What each member reported last.
    told: Vec<f64>,
    machines: Vec<Machine>,
    responses: Responses,
    requests: u64,
    /// Requests taken by each machine, all of them and those that count.
    taken: Vec<u64>,
    counted: Vec<u64>,
    /// Work that came with all of them, in seconds of a machine of capacity 1.
    given: Vec<f64>,
    updates: Vec<Update>,
    /// What stands in each of their statistics.
    figures: Vec<Figure>,
    meters: Vec<Meter>,
    /// Requests on their way: when, to whom.
    later: BinaryHeap<Reverse<(Nanos, u32)>>,
    now: Nanos,
    answers: u64,
    moves: u64,
    last: usize,
    /// Requests that count and found nobody.
    unanswered: u64,
    drained: Option<usize>,
    arrivals: SplitMix,
    services: SplitMix,
    choices: SplitMix,
    losses: SplitMix,
    changes: SplitMix,
}

fn moment(nanos: Nanos) -> Moment {
    Moment::from_unix(Duration::from_nanos(nanos))
}

fn seconds(span: f64) -> Nanos {
    (span * SECOND) as Nanos
}
