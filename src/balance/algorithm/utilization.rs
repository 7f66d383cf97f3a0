//! `utilization`: in turn, by requests a second per utilisation.
//!
//! Idea: a member that serves q requests a second at utilisation u could serve q/u at most, so q/u is its weight; errors
//! count as utilisation, that fast failures do not look like capacity: weight = q / (u + e/q × penalty), multiplied by
//! the configured weight. From gRPC's weighted_round_robin (A58) over ORCA reports. `q`, `u` and `e` are the statistics
//! of these names, u from 0 to 1 (more is allowed); a backend that reports no `u` is weighed by the farm's load instead,
//! one that reports no `q` has no weight of its own. As in A58 a weight is used when it has been known for
//! [`BLACKOUT`], is forgotten when there was no usable report for [`EXPIRY`], and who has none gets the average of the
//! others. Turns by earliest deadline. Cost: one look at every member up to [`LOOK_AT_ALL`];
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
    calm: Arc<AtomicU64>,
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

    #[inline(always)]
    fn turn(&self) -> &'a AtomicF64 {
        &self.line.turns[self.lane]
    }

    /// One over the weight in force, as a multiple of the `average`; `inverse`: one over the configured weight. Without a
    /// branch: who has a weight cannot be foretold.
    #[inline(always)]
    fn cost(&self, now: Moment, average: f64, inverse: f64) -> f64 {
        let (from, until) =
            (self.line.from[self.lane].load(Relaxed), self.line.until[self.lane].load(Relaxed));
        let part = average * self.line.figures[self.lane].get();
        let usable = (from <= now.nanos()) & (now.nanos() < until);
        cost_of(if usable { part } else { 1.0 }, inverse)
    }

    /// The same while it has a weight in force.
    #[inline(always)]
    fn calm_cost(&self, average: f64, inverse: f64) -> f64 {
        cost_of(average * self.line.figures[self.lane].get(), inverse)
    }

    /// Takes the weight of a report that came at `now`. Gives whether it had one in force, or one that was about to be.
    fn report(&self, weight: f64, now: Moment) -> bool {
        let (from, until) = (&self.line.from[self.lane], &self.line.until[self.lane]);
        let goes_on = now.nanos() < until.load(Relaxed);
        if !goes_on {
            from.store((now + BLACKOUT).nanos(), Relaxed);
        }
        until.store((now + EXPIRY).nanos(), Relaxed);
        self.line.figures[self.lane].set(1.0 / weight);
        goes_on
    }

    /// Until when its weight is used: nanoseconds since the epoch.
    fn until(&self) -> u64 {
        self.line.until[self.lane].load(Relaxed)
    }

    /// The weight to use at `now`, if there is one.
    fn weight(&self, now: Moment) -> Option<f64> {
        let used = self.line.from[self.lane].load(Relaxed)..self.line.until[self.lane].load(Relaxed);
        used.contains(&now.nanos()).then(|| 1.0 / self.line.figures[self.lane].get())
    }
}

/// One over a weight, as a part of the average, within its bounds.
#[inline(always)]
fn cost_of(part: f64, inverse: f64) -> f64 {
    part.clamp(1.0 / MOST_APART, MOST_APART) * inverse
}

impl Utilization {
    fn new(params: &Params) -> Self {
        Self {
            penalty: params.error_penalty,
            live: Live::default(),
            clock: Arc::default(),
            average: Arc::new(AtomicF64::new(1.0)),
            calm: Arc::default(),
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
        let until = |index: usize| row(&panel.lane(index)).until();
        let calm = (0..panel.len()).map(until).min().filter(|_| count == panel.len());
        self.calm.store(calm.unwrap_or(0), Relaxed);
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

#[inline(always)]
fn row<'a>(lane: &Lane<'a, Arc<Own>>) -> Row<'a> {
    Row { line: lane.own, lane: lane.place() }
}

impl Algorithm for Utilization {
    fn prepare(&self, candidates: &[Candidate]) -> Box<dyn Select> {
        let panel = self.live.enter(Panel::new(candidates, LANES, own));
        (0..panel.len()).for_each(|index| self.clock.begin(row(&panel.lane(index)).turn()));
        // A newcomer may have no weight.
        self.calm.store(0, Relaxed);
        Box::new(Prepared {
            panel,
            clock: Arc::clone(&self.clock),
            average: Arc::clone(&self.average),
            calm: Arc::clone(&self.calm),
            latest: AtomicU64::new(0),
        })
    }

    fn observe(&self, report: &Observation<'_>) {
        // A report without a usable weight changes nothing, but for what its silence does in time.
        let Some(weight) = self.weigh(report) else { return };
        let board = report.board;
        if !Row::of(board.chunk().own(), board.place()).report(weight, report.now) {
            self.calm.store(0, Relaxed);
        }
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
    /// Until when everybody has a weight in force, as far as that is known: nanoseconds since the epoch. A choice then need not
    /// look at each one's times.
    calm: Arc<AtomicU64>,
    /// When somebody was chosen last, in nanoseconds since the epoch: shares are told as of then.
    latest: AtomicU64,
}

impl Prepared {
    /// Gives the next turn, to who is due first by the `cost` of each.
    #[inline(always)]
    fn next(
        &self,
        now: Moment,
        cost: impl Fn(&Lane<'_, Arc<Own>>) -> f64,
        random: &mut dyn Random,
    ) -> Option<MemberId> {
        let mut sample = self.panel.sample(random);
        let (next, due) = self.panel.least::<false>(
            &mut sample,
            |lane| turns::due(row(lane).turn(), cost(lane)),
            random,
        )?;
        let (own, place) = self.panel.own(next);
        self.clock.take(&own.turns[place], due);
        self.latest.store(now.nanos(), Relaxed);
        Some(self.panel.id(next.index))
    }
}

impl Select for Prepared {
    fn select(&self, pick: &Pick<'_>, random: &mut dyn Random) -> Option<MemberId> {
        let average = self.average.get();
        if pick.now.nanos() < self.calm.load(Relaxed) {
            return self.next(pick.now, |lane| row(lane).calm_cost(average, lane.inverse), random);
        }
        self.next(pick.now, |lane| row(lane).cost(pick.now, average, lane.inverse), random)
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
        match step {
            1 => want(self),
            2 => {
                want(&*self.clock);
                want(&*self.average);
                want(&*self.calm);
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
    use super::super::super::gauge::{Gauges, Pool};
    use super::super::super::random::SplitMix;
    use super::super::super::statistics::{Amount, StatisticName};
    use super::*;

    /// A farm whose members say how busy they are at one request a second.
    struct Stage {
        rule: Utilization,
        candidates: Vec<Candidate>,
        select: Box<dyn Select>,
        seconds: u64,
    }

    impl Stage {
        fn new(members: u32) -> Self {
            let (mut gauges, pool) = (Gauges::default(), Arc::new(Pool::default()));
            let candidate = |place: u32| {
                let tally = gauges.tally();
                let gauge = gauges.gauge(&tally, &pool);
                Candidate { id: MemberId(place), weight: 1.0, seed: 77 * u64::from(place + 1), gauge }
            };
            let candidates: Vec<Candidate> = (0..members).map(candidate).collect();
            let rule = Utilization::new(&Params::default());
            let select = rule.prepare(&candidates);
            Self { rule, candidates, select, seconds: 1_000_000 }
        }

        fn now(&self) -> Moment {
            Moment::from_unix(Duration::from_secs(self.seconds))
        }

        fn report(&self, place: usize, busy: f64) {
            let one = &self.candidates[place];
            let mut statistics = Statistics::default();
            for (name, number) in [("q", 1.0), ("u", busy)] {
                statistics.change(&StatisticName::parse(name).unwrap(), Amount::Set(number));
            }
            self.rule.observe(&Observation {
                id: one.id,
                seed: one.seed,
                weight: one.weight,
                load: None,
                counter: None,
                answers: 0,
                board: one.gauge.board(),
                statistics: &statistics,
                now: self.now(),
            });
        }

        /// Who gets how much of 600 choices.
        fn choices(&self) -> Vec<u32> {
            let mut seen = vec![0; self.candidates.len()];
            let mut random = SplitMix::new(3);
            for _ in 0..600 {
                let pick = Pick { now: self.now(), ticket: Ticket::Of(0), key: b"" };
                seen[self.select.select(&pick, &mut random).unwrap().0 as usize] += 1;
            }
            seen
        }

        fn is_calm(&self) -> bool {
            self.now().nanos() < self.rule.calm.load(Relaxed)
        }
    }

    fn near(seen: &[u32], due: &[u32]) {
        assert!(seen.iter().zip(due).all(|(seen, due)| seen.abs_diff(*due) <= 2), "{seen:?}, due {due:?}");
    }

    #[test]
    fn weights_hold_from_ten_seconds_after_the_first_report_until_three_minutes_after_the_last() {
        let mut stage = Stage::new(3);
        let busy = [1.0, 0.5, 1.0 / 3.0];
        for seconds in 0..=20 {
            (0..3).for_each(|place| stage.report(place, busy[place]));
            match seconds {
                0..10 => near(&stage.choices(), &[200; 3]),
                10 => {}
                _ => near(&stage.choices(), &[100, 200, 300]),
            }
            assert_eq!(stage.is_calm(), seconds >= 10, "{seconds} s");
            stage.seconds += 1;
        }
        // The last report was a second ago.
        stage.seconds += 178;
        near(&stage.choices(), &[100, 200, 300]);
        stage.seconds += 1;
        assert!(!stage.is_calm());
        near(&stage.choices(), &[200; 3]);
    }

    #[test]
    fn who_falls_silent_or_is_new_counts_as_the_average() {
        let mut stage = Stage::new(3);
        let busy = [1.0, 1.0 / 3.0, 0.5];
        for seconds in 0..300 {
            // The third one says nothing after twenty seconds.
            (0..3)
                .filter(|place| *place < 2 || seconds < 20)
                .for_each(|place| stage.report(place, busy[place]));
            stage.seconds += 1;
            if seconds == 100 {
                near(&stage.choices(), &[100, 300, 200]);
            }
        }
        assert!(!stage.is_calm());
        near(&stage.choices(), &[100, 300, 200]);
        // Once more from all of them, and then a newcomer.
        for _ in 0..15 {
            (0..3).for_each(|place| stage.report(place, busy[place]));
            stage.seconds += 1;
        }
        assert!(stage.is_calm());
        let more = Stage::new(1).candidates.remove(0);
        stage.candidates.push(Candidate { id: MemberId(3), ..more });
        stage.select = stage.rule.prepare(&stage.candidates);
        assert!(!stage.is_calm());
        near(&stage.choices(), &[75, 225, 150, 150]);
    }
}
