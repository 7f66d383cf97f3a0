//! The event loop: arrivals, reports, changes, in the order of time.
//!
//! There are few kinds of events and each has one next time, so there is no heap of events but for requests that an
//! answer brings later.

mod events;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::law::exponential;
use super::machine::{Machine, Nanos, SECOND};
use super::outcome::{Outcome, Responses};
use super::setting::{Rule, Setting};
use crate::balance::algorithm::AlgorithmSpec;
use crate::balance::plan::{BackendPlan, FarmPlan};
use crate::balance::random::{Random, SplitMix};
use crate::balance::statistics::{Amount, StatisticName};
use crate::balance::update::{Admin, BackendUpdate, Update};
use crate::balance::{Ask, Choice, Engine, Farm, Moment, Name, Plan};

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
}

/// What a machine measures about itself: utilisation and requests a second, averaged over [`METERED`] seconds.
#[derive(Debug, Clone, Default)]
struct Meter {
    utilization: f64,
    rate: f64,
    /// Busy seconds and requests done when it was read last, and when.
    last: Option<(f64, u64, Nanos)>,
}

/// Seconds over which machines average what they measure.
const METERED: f64 = 10.0;

impl Meter {
    fn read(&mut self, machine: &Machine, now: Nanos) {
        let (busy, done, when) = self.last.unwrap_or((0.0, 0, START));
        let span = (now - when) as f64 / SECOND;
        self.last = Some((machine.busy(), machine.done(), now));
        if span > 0.0 {
            let part = 1.0 - (-span / METERED).exp();
            self.utilization += ((machine.busy() - busy) / span - self.utilization) * part;
            self.rate += ((machine.done() - done) as f64 / span - self.rate) * part;
        }
    }
}

struct World<'a> {
    setting: &'a Setting,
    /// None: the oracle chooses.
    athenas: Vec<Athena>,
    machines: Vec<Machine>,
    responses: Responses,
    requests: u64,
    /// Requests taken by each machine, all of them and those that count.
    taken: Vec<u64>,
    counted: Vec<u64>,
    updates: Vec<Update>,
    meters: Vec<Meter>,
    /// Requests on their way: when, to whom.
    later: BinaryHeap<Reverse<(Nanos, u32)>>,
    now: Nanos,
    answers: u64,
    moves: u64,
    last: usize,
    drained: Option<usize>,
    arrivals: SplitMix,
    services: SplitMix,
    choices: SplitMix,
    losses: SplitMix,
    changes: SplitMix,
}
