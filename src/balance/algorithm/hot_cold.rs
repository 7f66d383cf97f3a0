//! `hot-cold`: of the members that are not hot the fastest, else the least busy.
//!
//! Idea: latency tells which machine is fast, requests in flight tell which one is about to be slow; so a member with
//! more in flight than the [`QUANTILE`] of what members report is hot and avoided, and among the cold ones the lowest
//! latency wins. Only if all are hot the fewest in flight win. From Prequal (Wydrowski et al., NSDI 2024), which
//! probes; here reports are pushed. In flight counts the farm's load plus what was handed out since the report, so a
//! cold member turns hot between two reports before everybody is sent to it. Latency is the statistic `latency` if the
//! backend reports it, else by Little's law what it has in flight (`r`) over its requests a second (`q`), else its
//! load. Cost: one look at every member up to [`LOOK_AT_ALL`]; beyond that [`SAMPLE`] drawn by weight (Prequal keeps a
//! pool of 16). The quantile is worked out again each time that an eighth of the members has reported. Not when:
//! reports are older than some service times: Prequal throws probes away after a second.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::super::gauge::AtomicF64;
use super::contest::{self, LOOK_AT_ALL};
use super::kept::Kept;
use super::sample::Alias;
use super::*;

/// The quantile of the requests in flight above which a member is hot.
const QUANTILE: f64 = 0.84;
/// How many members of a larger farm one choice looks at.
const SAMPLE: usize = 16;

pub const SPEC: AlgorithmSpec = AlgorithmSpec {
    name: "hot-cold",
    summary: "the fastest of those that are not hot, else the least busy",
    source: "Prequal 2024",
    sees_load: true,
    sees_key: false,
    build: |params| Box::new(HotCold::new(params)),
};

struct HotCold {
    answer_load: f64,
    told: Kept<Told>,
    limit: Arc<AtomicF64>,
    /// Reports since the quantile was worked out.
    reports: AtomicUsize,
}

/// What one member told.
#[derive(Debug)]
struct Told {
    /// NaN if it never told any.
    latency: AtomicF64,
    /// In flight over weight; NaN if it never told any.
    in_flight: AtomicF64,
}

impl HotCold {
    fn new(params: &Params) -> Self {
        Self {
            answer_load: params.answer_load.unwrap_or(1.0),
            told: Kept::default(),
            limit: Arc::new(AtomicF64::new(f64::INFINITY)),
            reports: AtomicUsize::new(0),
        }
    }

    fn settle_limit(&self) {
        let mut in_flight =
            self.told.values(|told| Some(told.in_flight.get()).filter(|value| value.is_finite()));
        if in_flight.is_empty() {
            return;
        }
        let place = ((in_flight.len() as f64 * QUANTILE) as usize).min(in_flight.len() - 1);
        let (_, limit, _) = in_flight.select_nth_unstable_by(place, f64::total_cmp);
        self.limit.set(*limit);
    }
}

impl Algorithm for HotCold {
    fn prepare(&self, candidates: &[Candidate]) -> Box<dyn Select> {
        let unknown = || Told { latency: AtomicF64::new(f64::NAN), in_flight: AtomicF64::new(f64::NAN) };
        let contender = |candidate: &Candidate| Contender {
            id: candidate.id,
            weight: candidate.weight,
            gauge: Arc::clone(&candidate.gauge),
            told: self.told.entry(candidate.seed, unknown),
        };
        let contenders: Box<[Contender]> = candidates.iter().map(contender).collect();
        self.told.tidy();
        let large = contenders.len() > LOOK_AT_ALL;
        Box::new(Prepared {
            alias: large.then(|| Alias::new(candidates.iter().map(|candidate| candidate.weight))),
            contenders,
            answer_load: self.answer_load,
            limit: Arc::clone(&self.limit),
        })
    }

    fn observe(&self, report: &Observation<'_>) {
        let Some(told) = self.told.get(report.seed) else { return };
        let get = |name: &str| report.statistics.get(name);
        let by_little = || Some(get("r")? / get("q").filter(|rate| *rate > 0.0)?);
        let latency = get("latency").or_else(by_little).filter(|latency| latency.is_finite());
        told.latency.set(latency.unwrap_or(f64::NAN));
        if let Some(load) = report.load {
            told.in_flight.set(load / report.weight.max(f64::MIN_POSITIVE));
        }
        if self.reports.fetch_add(1, Relaxed) >= self.told.len() / 8 {
            self.reports.store(0, Relaxed);
            self.settle_limit();
        }
    }
}

struct Contender {
    id: MemberId,
    weight: f64,
    gauge: Arc<Gauge>,
    told: Arc<Told>,
}

struct Prepared {
    contenders: Box<[Contender]>,
    /// Only for farms that are too large to be looked at as a whole.
    alias: Option<Alias>,
    answer_load: f64,
    limit: Arc<AtomicF64>,
}

/// Added to what a hot one has in flight, so that it comes after every cold one.
const HOT: f64 = 1e100;

impl Prepared {
    /// Cold ones by latency, then hot ones by what they have in flight.
    #[inline]
    fn measure(&self, one: &Contender, limit: f64) -> f64 {
        let in_flight = (one.gauge.load() + one.gauge.handed_out() as f64 * self.answer_load) / one.weight;
        let latency = one.told.latency.get();
        if in_flight > limit {
            HOT + in_flight * HOT.sqrt()
        } else if latency.is_nan() {
            in_flight
        } else {
            latency
        }
    }
}

impl Select for Prepared {
    fn select(&self, _: &Pick<'_>, random: &mut dyn Random) -> Option<MemberId> {
        let limit = self.limit.get();
        let measure = |one: &Contender| self.measure(one, limit);
        let best = match &self.alias {
            None => contest::least(self.contenders.iter(), measure, random),
            Some(alias) => {
                let drawn: [usize; SAMPLE] = std::array::from_fn(|_| alias.draw(random));
                contest::least(drawn.iter().map(|&index| &self.contenders[index]), measure, random)
            }
        };
        best.map(|best| best.id)
    }

    fn rank(&self, _: &Pick<'_>, random: &mut dyn Random, order: &mut Vec<MemberId>) {
        let limit = self.limit.get();
        contest::rank(&self.contenders, |one| (self.measure(one, limit), one.id), random, order);
    }

    fn shares(&self) -> Vec<(MemberId, f64)> {
        contest::shares(self.contenders.iter().map(|one| (one.id, one.weight)))
    }
}
