//! Farms and backends by name, and everything that changes them.
//!
//! One mutex guards what is true. Every method here that changes something, and those that copy a status out, take it;
//! a query never does: it holds an `Arc<Farm>` and reads that farm's view. Nothing waits while the lock is held.

mod carry;
mod checks;
mod directory;
mod durable;
mod footing;
mod fresh;
mod hearsay;
mod memory;
mod registration;
mod reports;
mod roster;
mod terms;
#[cfg(test)]
mod tests;
mod trust;
mod views;

use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use arc_swap::ArcSwap;

use super::algorithm::{Algorithm, Candidate};
use super::backend::Backend;
use super::board::Board;
use super::common::Common;
use super::durable::Durable;
use super::farm::Farm;
use super::gauge::{Gauge, Pool};
use super::moment::Moment;
use super::name::Name;
use super::plan::{MemberPlan, Plan, PlanError};
use super::random::{Random, SplitMix};
use super::slot::Slot;
use super::status::{BackendStatus, Change, FarmStatus, Source, Stated};
use super::update::{Refusal, Switch, Update};
use directory::Directory;
use roster::Roster;
use terms::Terms;
use trust::Trust;

pub use hearsay::Hearsay;

/// The engine: see the module's head.
pub struct Engine {
    truth: Mutex<Truth>,
    /// Farms and machines by name, for those who have no `Arc` of them yet.
    roster: ArcSwap<Roster>,
    common: Arc<Common>,
    counters: Counters,
    administration: durable::Administration,
    started: Moment,
}

/// What the engine counts beside each farm and backend.
#[derive(Debug, Default)]
struct Counters {
    reports: AtomicU64,
    refused: AtomicU64,
}

/// What is true.
struct Truth {
    /// Those that are configured, then those that registered.
    backends: Vec<Backend>,
    directory: Arc<Directory>,
    /// The places of those that registered.
    registered: HashMap<Name, usize>,
    farms: Vec<FarmTruth>,
    farm_index: HashMap<Name, usize>,
    /// When to look at what next: earliest first. An entry may be early, never late.
    agenda: BinaryHeap<std::cmp::Reverse<(Moment, Look)>>,
    /// What the last `expire` gave as its next moment; `None`: never.
    promised: Option<Moment>,
    /// Farms whose view must be made anew, those that others fall back on first.
    dirty: BTreeSet<(usize, usize)>,
    /// What changed, for whoever called.
    changes: Vec<Change>,
    common: Arc<Common>,
    /// What people decided.
    ledger: durable::Ledger,
    registry: registration::Registry,
}

/// What the agenda asks to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    /// A member that may have been silent for too long: farm, member.
    Silence(u32, u32),
    /// A farm with members in slow start.
    SlowStart(u32),
    /// A farm with a suspect whose time is over.
    Suspicion(u32),
    /// Whether somebody who registered was silent for too long.
    Registration,
}

/// The truth about one farm.
struct FarmTruth {
    plan: Arc<Terms>,
    /// Those that the plan names, if it has patterns.
    named: Option<Vec<MemberPlan>>,
    farm: Arc<Farm>,
    algorithm: Box<dyn Algorithm>,
    pool: Arc<Pool>,
    /// All there are, those that registered included.
    members: Box<[Place]>,
    trust: Trust,
    switch: Switch,
    switch_since: Moment,
    source: Stated<Source>,
    /// Available members when the view was made.
    available: usize,
    /// Loads known among the candidates: how many, and their sum.
    known: usize,
    sum: f64,
    /// Reports since the sum was added up from scratch and unknown members were forgiven.
    round: usize,
    /// Candidates whose formula gave nothing finite.
    broken: usize,
    not_finite: u64,
    /// Farms that fall back on this one.
    dependents: Vec<usize>,
    /// 0 if it falls back on no farm, else one more than the highest of those.
    rank: usize,
    /// Whether a look at slow start stands on the agenda.
    rising: bool,
}

/// One backend in one farm.
struct Place {
    backend: u32,
    factor: f64,
    /// A number that depends on the backend's name alone.
    seed: u64,
    board: Slot<Board>,
    /// Whether it is among the candidates of the view.
    candidate: bool,
    /// Whether it would be, but for a suspicion.
    suspended: bool,
    /// Whether those who were there before could stay when the view was made: see [`Backend::holds`].
    held: bool,
    /// Whether a look at its silence stands on the agenda.
    watched: bool,
}

/// What an update did.
#[derive(Debug, Default, PartialEq)]
pub struct Applied {
    /// States that changed, in order.
    pub changes: Vec<Change>,
    /// Decisions in it, also those that confirm what held before: what other Athenas are to be told.
    pub records: Vec<Durable>,
}

/// What the passing of time did.
#[derive(Debug, PartialEq)]
pub struct Expired {
    /// States that changed, in order.
    pub changes: Vec<Change>,
    /// When to ask again, at the latest; `None`: only time alone changes nothing any more.
    pub next: Option<Moment>,
}

/// What a reload did.
#[derive(Debug, Default, PartialEq)]
pub struct Reloaded {
    /// Names of what was added, changed or taken out, as sentences for people.
    pub summary: Vec<String>,
    /// States that changed, in order.
    pub changes: Vec<Change>,
}

/// The engine's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineCounts {
    /// When the engine started.
    pub started: Moment,
    /// `R`: reports taken.
    pub reports: u64,
    /// `E`: updates refused.
    pub refused: u64,
}

impl Engine {
    /// Takes a plan and starts with everybody new at `now`; refuses a plan with problems.
    pub fn new(plan: Plan, now: Moment) -> Result<Self, Vec<PlanError>> {
        Self::with_secret(plan, SplitMix::from_system().next(), now)
    }

    /// The same with the secret that labels are remembered by, so that two engines forget the same ones.
    pub fn with_secret(plan: Plan, secret: u64, now: Moment) -> Result<Self, Vec<PlanError>> {
        let common = Arc::new(Common::new(secret));
        let truth = carry::truth(plan, None, &common, now)?;
        let roster = ArcSwap::from_pointee(truth.roster());
        Ok(Self {
            truth: Mutex::new(truth),
            roster,
            common,
            counters: Counters::default(),
            administration: durable::Administration::default(),
            started: now,
        })
    }

    /// Takes another plan. What keeps its name keeps its states, statistics, rotation and counters; a plan with
    /// problems is refused and the old one goes on.
    pub fn reload(&self, plan: Plan, now: Moment) -> Result<Reloaded, Vec<PlanError>> {
        let _turn = self.administration.turn();
        let (reloaded, overruled) = {
            let mut truth = self.lock();
            let summary = carry::summary(&truth, &plan);
            let new = carry::truth(plan, Some(&mut truth), &self.common, now)?;
            *truth = new;
            self.roster.store(Arc::new(truth.roster()));
            self.wake_if_sooner(&truth);
            let overruled = std::mem::take(&mut truth.ledger.overruled);
            (Reloaded { summary, changes: std::mem::take(&mut truth.changes) }, overruled)
        };
        // If this fails, the next start overrules them again.
        let _ = self.administration.keep(&overruled);
        Ok(reloaded)
    }

    /// Checks all updates, then carries out all of them, or none. The next query sees them. Never waits, unless one
    /// of them [is administrative](Update::is_administrative): then it blocks until that is
    /// [kept](Self::entrust), and refuses it if it cannot be.
    pub fn apply(&self, updates: &[Update], now: Moment) -> Result<Applied, Refusal> {
        if updates.iter().any(Update::is_administrative) {
            return self.decide(updates, now);
        }
        let mut truth = self.lock();
        self.check(&mut truth, updates)?;
        Ok(self.carry_out(&mut truth, updates, now))
    }

    /// Counts an update that was refused before it came here (it could not be parsed, or its sender may not).
    pub fn count_refused(&self) {
        self.counters.refused.fetch_add(1, Relaxed);
    }

    /// Gives a backend that is configured by host name the addresses it resolved to; gives what changed. An unknown
    /// name changes nothing.
    pub fn set_addresses(&self, backend: &str, addresses: &[IpAddr], now: Moment) -> Vec<Change> {
        let mut truth = self.lock();
        truth.set_addresses(backend, addresses);
        truth.refresh(now);
        self.show_roster(&mut truth);
        std::mem::take(&mut truth.changes)
    }

    /// Lets silence count: members that were not heard of for too long are out, those in slow start rise.
    pub fn expire(&self, now: Moment) -> Expired {
        let mut truth = self.lock();
        truth.look(now);
        truth.refresh(now);
        self.show_roster(&mut truth);
        let next = truth.agenda.peek().map(|entry| entry.0.0);
        truth.promised = next;
        Expired { changes: std::mem::take(&mut truth.changes), next }
    }

    /// Names who is called when something is due earlier than the last [`expire`](Self::expire) said: under the lock, or
    /// by a query, and so without delay. Only the first call counts.
    pub fn on_sooner(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.common.on_call(Box::new(wake));
    }

    fn wake_if_sooner(&self, truth: &Truth) {
        let sooner = match (truth.agenda.peek(), truth.promised) {
            (Some(first), Some(promised)) => first.0.0 < promised,
            (first, None) => first.is_some(),
            (None, Some(_)) => false,
        };
        if sooner {
            self.common.wake();
        }
    }

    /// One backend, by its name in any letter case.
    pub fn backend_status(&self, name: &str, now: Moment) -> Option<BackendStatus> {
        let truth = self.lock();
        let index = truth.backend_number(&name.to_ascii_lowercase())?;
        Some(truth.backend_status(index, now))
    }

    /// Every backend, in the order of the configuration.
    pub fn backend_statuses(&self, now: Moment) -> Vec<BackendStatus> {
        let truth = self.lock();
        (0..truth.backends.len()).map(|index| truth.backend_status(index, now)).collect()
    }

    /// One farm, by its name in any letter case.
    pub fn farm_status(&self, name: &str, now: Moment) -> Option<FarmStatus> {
        let truth = self.lock();
        let index = *truth.farm_index.get(name.to_ascii_lowercase().as_str())?;
        Some(truth.farm_status(index, now))
    }

    /// Every farm, in the order of the configuration.
    pub fn farm_statuses(&self, now: Moment) -> Vec<FarmStatus> {
        let truth = self.lock();
        (0..truth.farms.len()).map(|index| truth.farm_status(index, now)).collect()
    }

    /// The engine's counters. Takes no lock.
    pub fn counts(&self) -> EngineCounts {
        EngineCounts {
            started: self.started,
            reports: self.counters.reports.load(Relaxed),
            refused: self.counters.refused.load(Relaxed),
        }
    }

    /// A panic of another thread while it held the lock is a bug of ours; the truth itself is changed only by code
    /// that leaves it whole, so service goes on.
    fn lock(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Truth {
    fn backend_status(&self, index: usize, now: Moment) -> BackendStatus {
        let backend = &self.backends[index];
        let farms = backend.places.iter().map(|(farm, _)| self.farms[farm].name().clone()).collect();
        backend.status(farms, now)
    }

    fn mark_dirty(&mut self, farm: usize) {
        self.dirty.insert((self.farms[farm].rank, farm));
    }

    fn mark_farms_of(&mut self, backend: usize) {
        for place in 0..self.backends[backend].places.len() {
            let (farm, _) = self.backends[backend].places.at(place);
            self.mark_dirty(farm);
        }
    }
}

impl FarmTruth {
    fn name(&self) -> &Name {
        self.farm.name()
    }

    /// The member at this place, which is `backend`, as one that may be chosen.
    fn candidate(&self, place: usize, backend: &Backend, weight: f64) -> Candidate {
        let member = &self.members[place];
        let gauge = Gauge::of(&member.board, &backend.tally, &self.pool);
        Candidate {
            id: super::algorithm::MemberId(place as u32),
            weight,
            seed: member.seed,
            gauge: if backend.places.len() > 1 { gauge } else { gauge.alone() },
        }
    }
}
