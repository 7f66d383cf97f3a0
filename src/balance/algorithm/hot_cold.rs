//! `hot-cold`: of the members that are not hot the fastest, else the least busy.
//!
//! Idea: latency tells which machine is fast, requests in flight tell which one is about to be slow; so a member with
//! more in flight than the [`QUANTILE`] of what members report is hot and avoided, and among the cold ones the lowest
//! latency wins. Only if all are hot the fewest in flight win. From Prequal (Wydrowski et al., NSDI 2024), which
//! probes; here reports are pushed. In flight counts the farm's load plus what was handed out since the report, so a
//! cold member turns hot between two reports before everybody is sent to it. Latency is the statistic `latency` if the
//! backend reports it, else by Little's law what it has in flight (`r`) over its requests a second (`q`), else its
//! load. Cost: one look at every member up to [`LOOK_AT_ALL`]; beyond that at sixteen, two runs of neighbours
//! ([`panel`]; Prequal keeps a pool of 16). The quantile is worked out again each time that an eighth of the members has reported. Not when:
//! reports are older than some service times: Prequal throws probes away after a second.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use super::super::ahead::want;
use super::super::board::{LANES, Own};
use super::super::gauge::AtomicF64;
use super::live::Live;
use super::panel::{LOOK_AT_ALL, Lane, Panel, own};
use super::*;

/// The quantile of the requests in flight above which a member is hot.
const QUANTILE: f64 = 0.84;

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
    live: Live<Arc<Own>>,
    limit: Arc<AtomicF64>,
    /// Whether everybody who can be chosen has told a latency; a choice then need not ask who.
    all_told: Arc<AtomicBool>,
    /// Reports since both were worked out.
    reports: AtomicUsize,
}

impl HotCold {
    fn new(params: &Params) -> Self {
        Self {
            answer_load: params.answer_load.unwrap_or(1.0),
            live: Live::default(),
            limit: Arc::new(AtomicF64::new(f64::INFINITY)),
            all_told: Arc::default(),
            reports: AtomicUsize::new(0),
        }
    }

    /// By what was reported, of those who can be chosen.
    fn settle(&self, panel: &Panel<Arc<Own>>) {
        self.all_told.store((0..panel.len()).all(|index| !latency(&panel.lane(index)).is_nan()), Relaxed);
        let in_flight = |index: usize| panel.reported(index) * panel.inverse(index);
        let mut in_flight: Vec<f64> =
            (0..panel.len()).map(in_flight).filter(|value| value.is_finite()).collect();
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
        // A newcomer may have told nothing.
        self.all_told.store(false, Relaxed);
        Box::new(Prepared {
            panel: self.live.enter(Panel::new(candidates, LANES, own)),
            answer_load: self.answer_load,
            limit: Arc::clone(&self.limit),
            all_told: Arc::clone(&self.all_told),
        })
    }

    fn observe(&self, report: &Observation<'_>) {
        let get = |name: &str| report.statistics.get(name);
        let by_little = || Some(get("r")? / get("q").filter(|rate| *rate > 0.0)?);
        let latency = get("latency").or_else(by_little).filter(|latency| latency.is_finite());
        if latency.is_none() {
            self.all_told.store(false, Relaxed);
        }
        let board = report.board;
        board.chunk().own().line(board.place()).figures[board.place() % LANES]
            .set(latency.unwrap_or(f64::NAN));
        let reports = self.reports.fetch_add(1, Relaxed);
        if let Some(panel) = self.live.largest().filter(|panel| reports >= panel.len() / 8) {
            self.reports.store(0, Relaxed);
            self.settle(&panel);
        }
    }
}

/// Asks for a place's latency and its neighbours'.
#[inline]
fn want_own(own: &Arc<Own>, place: usize) {
    want(&own.line(place).figures);
}

struct Prepared {
    panel: Arc<Panel<Arc<Own>>>,
    answer_load: f64,
    limit: Arc<AtomicF64>,
    all_told: Arc<AtomicBool>,
}

/// What a member told of its latency; not a number if it never told any.
#[inline(always)]
fn latency(lane: &Lane<'_, Arc<Own>>) -> f64 {
    lane.own.figures[lane.place()].get()
}

/// What is in flight beyond the limit counts so much that every hot one comes after every cold one.
const HOT: f64 = 1e100;

/// Cold ones by latency (not a number where none was told), then hot ones by what they have in flight.
#[inline(always)]
fn measure(in_flight: f64, latency: f64, limit: f64) -> f64 {
    beyond(in_flight, limit) + if latency.is_nan() { in_flight } else { latency }
}

/// Nothing for a cold one; for hot ones what decides, for beside it what is added is lost.
#[inline(always)]
fn beyond(in_flight: f64, limit: f64) -> f64 {
    let over = in_flight - limit;
    HOT * if over > 0.0 { over } else { 0.0 }
}

impl Prepared {
    #[inline(always)]
    fn choose(
        &self,
        measure: impl Fn(&Lane<'_, Arc<Own>>) -> f64,
        random: &mut dyn Random,
    ) -> Option<MemberId> {
        let panel = &*self.panel;
        let mut sample = panel.sample(random);
        let mut looks = LOOK_AT_ALL;
        loop {
            let (best, _) = panel.least::<true>(&mut sample, &measure, random)?;
            // Answers that others gave only make a measure greater: it is enough to look for them at the best one.
            if panel.give(best, looks > 0) {
                return Some(panel.id(best.index));
            }
            looks -= 1;
        }
    }
}

impl Select for Prepared {
    fn select(&self, _: &Pick<'_>, random: &mut dyn Random) -> Option<MemberId> {
        let (limit, answer_load) = (self.limit.get(), self.answer_load);
        let in_flight = |lane: &Lane<'_, _>| (lane.load + lane.given() * answer_load) * lane.inverse;
        if self.all_told.load(Relaxed) {
            return self.choose(|lane| beyond(in_flight(lane), limit) + latency(lane), random);
        }
        self.choose(|lane| measure(in_flight(lane), latency(lane), limit), random)
    }

    fn rank(&self, _: &Pick<'_>, random: &mut dyn Random, order: &mut Vec<MemberId>) {
        let (panel, limit) = (&*self.panel, self.limit.get());
        let measured = |index: usize| {
            let lane = panel.lane(index);
            let given = panel.handed_out(index) as f64 * self.answer_load;
            let in_flight = (panel.load(index) + given) * lane.inverse;
            (measure(in_flight, latency(&lane), limit), panel.id(index))
        };
        let measured: Vec<(f64, MemberId)> = (0..panel.len()).map(measured).collect();
        contest::rank(&measured, |one| *one, random, order);
    }

    fn shares(&self) -> Vec<(MemberId, f64)> {
        let panel = &self.panel;
        contest::shares((0..panel.len()).map(|index| (panel.id(index), 1.0 / panel.inverse(index))))
    }

    fn gave(&self, id: MemberId, _: Moment) {
        self.panel.gave(id);
    }

    fn fetch(&self, step: u32) {
        match step {
            1 => want(self),
            2 => {
                want(&*self.limit);
                want(&*self.all_told);
                self.panel.fetch(1, want_own);
            }
            _ => self.panel.fetch(step - 1, want_own),
        }
    }

    fn foresee(&self, random: &dyn Random) -> Option<[MemberId; 2]> {
        self.panel.foresee(random, want_own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cold_go_by_latency_and_the_hot_by_what_they_have_in_flight() {
        let limit = 7.0;
        let cold = [measure(7.0, 0.5, limit), measure(6.0, 1e9, limit), measure(-3.0, 2e9, limit)];
        let hot = [measure(7.5, 0.1, limit), measure(8.0, 0.01, limit), measure(1e9, f64::NAN, limit)];
        let all = [cold, hot].concat();
        assert!(all.is_sorted_by(|one, next| one < next), "{all:?}");
        assert!(measure(-7.0, 1.0, -8.0) < measure(-6.0, 1.0, -8.0), "in whatever unit loads come");
        assert_eq!(measure(3.0, f64::NAN, f64::INFINITY), 3.0, "nobody is hot before the first reports");
    }
}
