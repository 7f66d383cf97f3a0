//! What one run simulates.

use crate::balance::Plan;
use crate::balance::algorithm::{ALGORITHMS, AlgorithmSpec, Params};
use crate::balance::statistics::StatisticName;
use crate::simulate::law::Law;

/// Who chooses.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// A rule of the product, run by the engine.
    Algorithm(&'static AlgorithmSpec),
    /// An oracle: it sees every queue and every capacity as they are, and takes the least (queue + 1) / capacity.
    ShortestQueue,
    /// The lowest reported load and nothing else, of so many members drawn at random or of all: what papers measure, and
    /// nobody should use. It counts nothing that was handed out since.
    Reported(Option<usize>),
}

/// The oracle's name.
pub const SHORTEST_QUEUE: &str = "shortest-queue";

impl Rule {
    /// Every rule that is compared unless others are asked for, the oracle last.
    pub fn all() -> Vec<Self> {
        ALGORITHMS.iter().map(Self::Algorithm).chain([Self::ShortestQueue]).collect()
    }

    /// Every rule there is.
    pub fn known() -> Vec<Self> {
        Self::all().into_iter().chain([Self::Reported(None), Self::Reported(Some(2))]).collect()
    }

    /// The rule of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::known().into_iter().find(|rule| rule.name() == name)
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Algorithm(spec) => spec.name,
            Self::ShortestQueue => SHORTEST_QUEUE,
            Self::Reported(None) => "lowest-reported",
            Self::Reported(Some(_)) => "two-reported",
        }
    }
}

/// Farm, machines, requests and reports of one run. Times are in seconds. A request is a unit of work in the mean: a
/// machine of capacity 1 with one worker needs a second for it.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Work that each machine does in a second.
    pub capacities: Vec<f64>,
    /// The weight that the configuration gives each; empty: 1 each.
    pub weights: Vec<f64>,
    /// Workers of each machine; they share its capacity.
    pub workers: usize,
    /// Service times.
    pub law: Law,
    /// Requests a second, in the mean.
    pub rate: f64,
    /// How machines report.
    pub reports: Reports,
    /// Every so many seconds two machines, drawn at random, swap their capacities.
    pub drift: Option<f64>,
    /// Every so many seconds a machine, drawn at random, is drained for as long and comes back.
    pub churn: Option<f64>,
    /// Requests that one answer brings.
    pub burst: usize,
    /// Requests of one answer come spread evenly at random over so many seconds.
    pub spread: f64,
    /// Athenas that answer in turn, at random; each hears all reports and knows only its own answers.
    pub athenas: usize,
    /// Different clients, for rules that hash.
    pub clients: usize,
    /// Parameters of the rule.
    pub params: Params,
    /// One farm and its members, one for each capacity and in their order, as somebody has configured them, instead of a
    /// plain farm with the weights and parameters above. Addresses, algorithm and fallbacks are taken from elsewhere.
    pub plan: Option<Plan>,
}

/// What a machine tells under the name of a statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// The requests in it, maybe averaged and in another unit: its load.
    Load,
    /// The part of its workers that is busy, over the last seconds.
    Utilization,
    /// Requests a second, over the last seconds.
    Rate,
    /// Errors a second: none, ever.
    Errors,
    /// The requests in it.
    InFlight,
    /// Requests taken so far.
    Taken,
}

impl Figure {
    /// What goes by this name: the codes of the protocol as it defines them, everything else is a load.
    pub fn of(name: &str) -> Self {
        match name {
            "u" => Self::Utilization,
            "q" => Self::Rate,
            "e" => Self::Errors,
            "r" => Self::InFlight,
            "n" => Self::Taken,
            _ => Self::Load,
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Load => "the requests in a member",
            Self::Utilization => "the busy part of its workers",
            Self::Rate => "its requests a second",
            Self::Errors => "no errors",
            Self::InFlight => "its requests in flight",
            Self::Taken => "the requests it has taken",
        }
    }
}

/// How machines report.
#[derive(Debug, Clone, PartialEq)]
pub struct Reports {
    /// Seconds from a machine's report to its next.
    pub every: f64,
    /// Each at a time of its own, drawn at random; else all at once.
    pub staggered: bool,
    /// The part of the reports that gets lost, 0 to 1.
    pub lost: f64,
    /// Loads are averaged over so many seconds before they are told.
    pub smoothing: Option<f64>,
    /// The load that is told is `slope` × queue + `offset`.
    pub slope: f64,
    /// See `slope`.
    pub offset: f64,
    /// Whether they tell the requests they have taken, as `n`.
    pub counter: bool,
}

impl Reports {
    /// Queues, staggered, complete.
    pub fn every(seconds: f64) -> Self {
        Self {
            every: seconds,
            staggered: true,
            lost: 0.0,
            smoothing: None,
            slope: 1.0,
            offset: 0.0,
            counter: false,
        }
    }
}

impl Setting {
    /// `members` machines of capacity 1 with one worker each, exponential service, `rho` of the capacity in use, one
    /// report every `every` service times.
    pub fn equal(members: usize, rho: f64, every: f64) -> Self {
        Self {
            capacities: vec![1.0; members],
            weights: Vec::new(),
            workers: 1,
            law: Law::Exponential,
            rate: rho * members as f64,
            reports: Reports::every(every),
            drift: None,
            churn: None,
            burst: 1,
            spread: 0.0,
            athenas: 1,
            clients: 1000,
            params: Params::default(),
            plan: None,
        }
    }

    /// What every report tells: what rules read, and what the farm's formula needs.
    pub fn statistics(&self) -> Vec<(StatisticName, Figure)> {
        let counter = self.reports.counter.then_some("n");
        let read = ["l", "u", "q", "e", "r"].into_iter().chain(counter).filter_map(StatisticName::parse);
        let farms = self.plan.iter().flat_map(|plan| &plan.farms);
        let needed = farms.flat_map(|farm| farm.load.statistics()).cloned();
        let mut names: Vec<StatisticName> = read.chain(needed).collect();
        names.sort();
        names.dedup();
        names.into_iter().map(|name| (name.clone(), Figure::of(name.as_str()))).collect()
    }

    /// Makes every other machine twice as fast as the rest; the mean capacity stays.
    pub fn unequal(mut self) -> Self {
        for (place, capacity) in self.capacities.iter_mut().enumerate() {
            *capacity *= if place % 2 == 0 { 2.0 / 3.0 } else { 4.0 / 3.0 };
        }
        self
    }
}
