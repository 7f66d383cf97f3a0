//! `utilization`: in turn, by requests a second per utilisation.
//!
//! Idea: a member that serves q requests a second at utilisation u could serve q/u at most, so q/u is its weight; errors
//! count as utilisation, that fast failures do not look like capacity: weight = q / (u + e/q × penalty), multiplied by
//! the configured weight. From gRPC's weighted_round_robin (A58) over ORCA reports. `q`, `u` and `e` are the statistics
//! of these names, u from 0 to 1 (more is allowed); a backend that reports no `u` is weighed by the farm's load instead,
//! one that reports no `q` has no weight of its own. As in A58 a weight is used when it has been known for
//! [`BLACKOUT`], is forgotten when there was no usable report for [`EXPIRY`], and who has none gets the average of the
//! others. Turns by earliest deadline. Cost: one look at every member up to [`LOOK_AT_ALL`]; beyond that the first due of
//! [`SAMPLE`] drawn by weight. Not when: queues build up and vanish between reports: it balances capacity, not load.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::super::gauge::AtomicF64;
use super::contest::{self, LOOK_AT_ALL};
use super::kept::Kept;
use super::sample::Alias;
use super::turns::{Turn, VirtualClock};
use super::*;

/// How long weights must have been coming before they are used.
const BLACKOUT: Duration = Duration::from_secs(10);
/// How long the last weight is used.
const EXPIRY: Duration = Duration::from_secs(180);
/// How many members of a larger farm one choice looks at.
const SAMPLE: usize = 8;
/// Weights lie within this factor of the average.
const MOST_APART: f64 = 100.0;

pub const SPEC: AlgorithmSpec = AlgorithmSpec {
    name: "utilization",
    summary: "in turn, by requests a second per utilisation",
    source: "gRPC A58, ORCA",
    // It looks at u, q and e; at the load only where there is no u.
    sees_load: false,
    sees_key: false,
    build: |params| Box::new(Utilization::new(params)),
};

struct Utilization {
    penalty: f64,
    rows: Kept<Row>,
    clock: Arc<VirtualClock>,
    average: Arc<AtomicF64>,
    /// Reports since the average was worked out.
    reports: AtomicUsize,
}

/// One member.
#[derive(Debug)]
struct Row {
    /// q / (u + e/q × penalty)
    weight: AtomicF64,
    /// Since when weights come, and when the last one came, in nanoseconds since the epoch; 0 if none came.
    since: AtomicU64,
    last: AtomicU64,
    turn: Turn,
}

impl Row {
    /// The weight to use at `now`, if there is one.
    #[inline]
    fn weight(&self, now: Moment) -> Option<f64> {
        let (since, last) = (self.since.load(Relaxed), self.last.load(Relaxed));
        let age = |from: u64| now.nanos().saturating_sub(from);
        let usable =
            since != 0 && age(since) >= BLACKOUT.as_nanos() as u64 && age(last) < EXPIRY.as_nanos() as u64;
        usable.then(|| self.weight.get())
    }
}

impl Utilization {
    fn new(params: &Params) -> Self {
        Self {
            penalty: params.error_penalty,
            rows: Kept::default(),
            clock: Arc::default(),
            average: Arc::new(AtomicF64::new(1.0)),
            reports: AtomicUsize::new(0),
        }
    }

    /// The weight that a report gives; `None` if it gives none.
    fn weigh(&self, report: &Observation<'_>) -> Option<f64> {
        let get = |name: &str| report.statistics.get(name);
        let rate = get("q").filter(|rate| *rate > 0.0)?;
        let errors = get("e").unwrap_or(0.0).max(0.0);
        let utilization = get("u").or(report.load)?.max(0.0) + errors / rate * self.penalty;
        Some(rate / utilization).filter(|weight| weight.is_finite() && *weight > 0.0)
    }

    fn settle_average(&self, now: Moment) {
        let weights = self.rows.values(|row| row.weight(now));
        if !weights.is_empty() {
            self.average.set(weights.iter().sum::<f64>() / weights.len() as f64);
        }
    }
}

impl Algorithm for Utilization {
    fn prepare(&self, candidates: &[Candidate]) -> Box<dyn Select> {
        let row = || Row {
            weight: AtomicF64::new(0.0),
            since: AtomicU64::new(0),
            last: AtomicU64::new(0),
            turn: self.clock.newcomer(),
        };
        let contender = |candidate: &Candidate| Contender {
            id: candidate.id,
            weight: candidate.weight,
            row: self.rows.entry(candidate.seed, row),
        };
        let contenders: Box<[Contender]> = candidates.iter().map(contender).collect();
        self.rows.tidy();
        let large = contenders.len() > LOOK_AT_ALL;
        Box::new(Prepared {
            alias: large.then(|| Alias::new(candidates.iter().map(|candidate| candidate.weight))),
            contenders,
            clock: Arc::clone(&self.clock),
            average: Arc::clone(&self.average),
            latest: AtomicU64::new(0),
        })
    }

    fn observe(&self, report: &Observation<'_>) {
        let Some(row) = self.rows.get(report.seed) else { return };
        // A report without a usable weight changes nothing, but for what its silence does in time.
        let Some(weight) = self.weigh(report) else { return };
        let now = report.now.nanos();
        let lapsed = now.saturating_sub(row.last.load(Relaxed)) >= EXPIRY.as_nanos() as u64;
        if row.since.load(Relaxed) == 0 || lapsed {
            row.since.store(now, Relaxed);
        }
        row.last.store(now, Relaxed);
        row.weight.set(weight);
        if self.reports.fetch_add(1, Relaxed) >= self.rows.len() / 8 {
            self.reports.store(0, Relaxed);
            self.settle_average(report.now);
        }
    }
}

struct Contender {
    id: MemberId,
    weight: f64,
    row: Arc<Row>,
}

struct Prepared {
    contenders: Box<[Contender]>,
    /// Only for farms that are too large to be looked at as a whole.
    alias: Option<Alias>,
    clock: Arc<VirtualClock>,
    average: Arc<AtomicF64>,
    /// When somebody was chosen last, in nanoseconds since the epoch: shares are told as of then.
    latest: AtomicU64,
}

impl Prepared {
    /// One over the weight in force, as a multiple of the average.
    #[inline]
    fn cost(&self, one: &Contender, now: Moment, average: f64) -> f64 {
        let part = one.row.weight(now).map_or(1.0, |weight| average / weight);
        part.clamp(1.0 / MOST_APART, MOST_APART) / one.weight
    }
}

impl Select for Prepared {
    fn select(&self, pick: &Pick<'_>, random: &mut dyn Random) -> Option<MemberId> {
        let average = self.average.get();
        let due = |one: &Contender| one.row.turn.due(self.cost(one, pick.now, average));
        let next = match &self.alias {
            None => contest::least(self.contenders.iter(), due, random),
            Some(alias) => {
                let drawn: [usize; SAMPLE] = std::array::from_fn(|_| alias.draw(random));
                contest::least(drawn.iter().map(|&index| &self.contenders[index]), due, random)
            }
        }?;
        next.row.turn.take(self.cost(next, pick.now, average), &self.clock);
        self.latest.store(pick.now.nanos(), Relaxed);
        Some(next.id)
    }

    fn rank(&self, pick: &Pick<'_>, random: &mut dyn Random, order: &mut Vec<MemberId>) {
        let average = self.average.get();
        let due = |one: &Contender| (one.row.turn.due(self.cost(one, pick.now, average)), one.id);
        contest::rank(&self.contenders, due, random, order);
    }

    fn shares(&self) -> Vec<(MemberId, f64)> {
        let now = Moment::from_unix(Duration::from_nanos(self.latest.load(Relaxed)));
        let average = self.average.get();
        contest::shares(self.contenders.iter().map(|one| (one.id, 1.0 / self.cost(one, now, average))))
    }
}
