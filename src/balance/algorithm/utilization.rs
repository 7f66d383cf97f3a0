//! `utilization`: in turn, by requests a second per utilisation.
//!
//! Idea: a member that serves q requests a second at utilisation u could serve q/u at most, so q/u is its weight; errors
//! count as utilisation, that fast failures do not look like capacity: weight = q / (u + e/q × penalty), multiplied by
//! the configured weight. From gRPC's weighted_round_robin (A58) over ORCA reports. `q`, `u` and `e` are the statistics
//! of these names, u from 0 to 1 (more is allowed); a backend that reports no `u` is weighed by the farm's load instead,
//! one that reports no `q` has no weight of its own. As in A58 a weight is used when it has been known for
//! [`BLACKOUT`], is forgotten when there was no usable report for [`EXPIRY`], and who has none gets the average of the
//! others. Turns by earliest deadline. Cost: one look at every member up to [`LOOK_AT_ALL`](super::panel::LOOK_AT_ALL);
//! beyond that the first due of sixteen, two runs of neighbours ([`panel`]). Not when: queues build up and vanish between reports: it balances capacity, not load.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::super::ahead::want;
use super::super::board::{LANES, Own, OwnLine};
use super::super::gauge::AtomicF64;
use super::live::Live;
use super::panel::{Lane, Panel, own};
use super::turns::{self, VirtualClock};
use super::*;

/// How long weights must have been coming before they are used.
const BLACKOUT: Duration = Duration::from_secs(10);
/// How long the last weight is used.
const EXPIRY: Duration = Duration::from_secs(180);
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
    live: Live<Arc<Own>>,
    clock: Arc<VirtualClock>,
    average: Arc<AtomicF64>,
    /// Reports since the average was worked out.
    reports: AtomicUsize,
}

/// What is kept of one member: its turn, one over q / (u + e/q × penalty), and when that is used.
struct Row<'a> {
    line: &'a OwnLine,
    lane: usize,
}

impl<'a> Row<'a> {
    #[inline]
    fn of(own: &'a Own, place: usize) -> Self {
        Self { line: own.line(place), lane: place % LANES }
    }

    #[inline]
    fn turn(&self) -> &'a AtomicF64 {
        &self.line.turns[self.lane]
    }

    /// One over the weight in force, as a multiple of the `average`; `inverse`: one over the configured weight. Without a
    /// branch: who has a weight cannot be foretold.
    #[inline]
    fn cost(&self, now: Moment, average: f64, inverse: f64) -> f64 {
        let (from, until) =
            (self.line.from[self.lane].load(Relaxed), self.line.until[self.lane].load(Relaxed));
        let part = average * self.line.figures[self.lane].get();
        let usable = (from <= now.nanos()) & (now.nanos() < until);
        let part = if usable { part } else { 1.0 };
        part.clamp(1.0 / MOST_APART, MOST_APART) * inverse
    }

    /// Takes the weight of a report that came at `now`.
    fn report(&self, weight: f64, now: Moment) {
        let (from, until) = (&self.line.from[self.lane], &self.line.until[self.lane]);
        if until.load(Relaxed) <= now.nanos() {
            from.store((now + BLACKOUT).nanos(), Relaxed);
        }
        until.store((now + EXPIRY).nanos(), Relaxed);
        self.line.figures[self.lane].set(1.0 / weight);
    }

    /// The weight to use at `now`, if there is one.
    fn weight(&self, now: Moment) -> Option<f64> {
        let used = self.line.from[self.lane].load(Relaxed)..self.line.until[self.lane].load(Relaxed);
        used.contains(&now.nanos()).then(|| 1.0 / self.line.figures[self.lane].get())
    }
}

impl Utilization {
    fn new(params: &Params) -> Self {
        Self {
            penalty: params.error_penalty,
            live: Live::default(),
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

    fn settle_average(&self, panel: &Panel<Arc<Own>>, now: Moment) {
        let weight = |index: usize| row(&panel.lane(index)).weight(now);
        let weights = || (0..panel.len()).filter_map(weight);
        let count = weights().count();
        if count > 0 {
            self.average.set(weights().sum::<f64>() / count as f64);
        }
    }
}

/// Asks for a place's row and its neighbours'.
#[inline]
fn want_own(own: &Arc<Own>, place: usize) {
    let line = own.line(place);
    want(&line.turns);
    want(&line.figures);
    want(&line.from);
    want(&line.until);
}

#[inline]
fn row<'a>(lane: &Lane<'a, Arc<Own>>) -> Row<'a> {
    Row::of(lane.own, lane.place())
}

impl Algorithm for Utilization {
    fn prepare(&self, candidates: &[Candidate]) -> Box<dyn Select> {
        let panel = self.live.enter(Panel::new(candidates, LANES, own));
        (0..panel.len()).for_each(|index| self.clock.begin(row(&panel.lane(index)).turn()));
        Box::new(Prepared {
            panel,
            clock: Arc::clone(&self.clock),
            average: Arc::clone(&self.average),
            latest: AtomicU64::new(0),
        })
    }

    fn observe(&self, report: &Observation<'_>) {
        // A report without a usable weight changes nothing, but for what its silence does in time.
        let Some(weight) = self.weigh(report) else { return };
        let board = report.board;
        Row::of(board.chunk().own(), board.place()).report(weight, report.now);
        let reports = self.reports.fetch_add(1, Relaxed);
        if let Some(panel) = self.live.largest().filter(|panel| reports >= panel.len() / 8) {
            self.reports.store(0, Relaxed);
            self.settle_average(&panel, report.now);
        }
    }
}

struct Prepared {
    panel: Arc<Panel<Arc<Own>>>,
    clock: Arc<VirtualClock>,
    average: Arc<AtomicF64>,
    /// When somebody was chosen last, in nanoseconds since the epoch: shares are told as of then.
    latest: AtomicU64,
}

impl Select for Prepared {
    fn select(&self, pick: &Pick<'_>, random: &mut dyn Random) -> Option<MemberId> {
        let average = self.average.get();
        let cost = |lane: &Lane<'_, Arc<Own>>| row(lane).cost(pick.now, average, lane.inverse);
        let mut sample = self.panel.sample(random);
        let (next, due) =
            self.panel.least(&mut sample, |lane| turns::due(row(lane).turn(), cost(lane)), random)?;
        let lane = self.panel.lane_of(next);
        self.clock.take(row(&lane).turn(), due);
        self.latest.store(pick.now.nanos(), Relaxed);
        Some(self.panel.id(next.index))
    }

    fn rank(&self, pick: &Pick<'_>, random: &mut dyn Random, order: &mut Vec<MemberId>) {
        let average = self.average.get();
        let due = |index: usize| {
            let lane = self.panel.lane(index);
            let row = row(&lane);
            (turns::due(row.turn(), row.cost(pick.now, average, lane.inverse)), self.panel.id(index))
        };
        let measured: Vec<(f64, MemberId)> = (0..self.panel.len()).map(due).collect();
        contest::rank(&measured, |one| *one, random, order);
    }

    fn shares(&self) -> Vec<(MemberId, f64)> {
        let now = Moment::from_nanos(self.latest.load(Relaxed));
        let average = self.average.get();
        let part = |index: usize| {
            let lane = self.panel.lane(index);
            1.0 / row(&lane).cost(now, average, lane.inverse)
        };
        contest::shares((0..self.panel.len()).map(|index| (self.panel.id(index), part(index))))
    }

    fn fetch(&self, step: u32) {
        self.panel.fetch(step, want_own);
    }

    fn foresee(&self, random: &dyn Random) -> Option<[MemberId; 2]> {
        self.panel.foresee(random, want_own)
    }
}
