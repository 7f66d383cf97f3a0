//! `interpreted`: Basic Load Interpretation.
//!
//! Idea: a report must be read together with how many answers will be given before the next one. If K of them are to
//! come, they are best used to fill the members with the least load up to one common level; so each member is drawn
//! with a probability in proportion to what it lacks to that level. With fresh reports K is small and the least loaded
//! member gets all; with old ones K is large and everybody gets nearly the same. From Dahlin, "Interpreting Stale Load
//! Information", 1999, Basic LI for reports that come one by one. K, his λ·T, is estimated: members times the answers
//! that one was given between two of its reports, averaged. If more than K answers are given without a report of
//! anybody, the probabilities are those of [`LATE`] times as many, and then weights alone. Cost: one random number and one row a choice. The
//! probabilities are worked out when a 64th of the members has reported, by sorting. Not when: members can be counted
//! on one hand: it draws at random, which counting rules beat.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;

use super::sample::Alias;
use super::*;

/// So many times the answers expected until the next report is the next guess, if it does not come.
const LATE: f64 = 16.0;
/// Parts of the members that must have reported before probabilities are worked out again.
const PARTS: usize = 64;
/// Reports over which the answers between two reports are averaged, a member.
const MEMORY: f64 = 16.0;
/// Members that may be remembered beyond those who are there.
const SPARE: usize = 64;

pub const SPEC: AlgorithmSpec = AlgorithmSpec {
    name: "interpreted",
    summary: "fills the least loaded up to one level with the answers expected until the next reports",
    source: "Dahlin 1999, Basic LI",
    sees_load: true,
    sees_key: false,
    build: |params| {
        Box::new(Interpreted { answer_load: params.answer_load.unwrap_or(1.0), learned: Mutex::default() })
    },
};

struct Interpreted {
    answer_load: f64,
    learned: Mutex<Learned>,
}

#[derive(Default)]
struct Learned {
    /// Tallies at the last reports, by seed.
    tallies: std::collections::HashMap<u64, u64>,
    /// Answers between two reports of a member, averaged; `None` before anybody reported twice.
    answers: Option<f64>,
    /// Reports since probabilities were worked out.
    reports: usize,
    /// The selectors in use.
    selectors: Vec<Weak<Shared>>,
}

impl Learned {
    /// Forgets who is gone, once those are as many as the others: members may come and go under ever new names.
    fn tidy(&mut self) {
        let selectors: Vec<_> = self.selectors.iter().filter_map(Weak::upgrade).collect();
        let most = selectors.iter().map(|shared| shared.candidates.len()).max().unwrap_or(0);
        if self.tallies.len() > 2 * most + SPARE {
            let present = selectors.iter().flat_map(|shared| shared.candidates.iter());
            let present: HashSet<u64> = present.map(|candidate| candidate.seed).collect();
            self.tallies.retain(|seed, _| present.contains(seed));
        }
    }
}

impl Interpreted {
    fn lock(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Algorithm for Interpreted {
    fn prepare(&self, candidates: &[Candidate]) -> Box<dyn Select> {
        let mut learned = self.lock();
        let answers = learned.answers.unwrap_or(1.0);
        let shared = Arc::new(Shared {
            table: ArcSwap::from_pointee(Table::new(candidates, answers, self.answer_load)),
            by_weight: Alias::new(candidates.iter().map(|candidate| candidate.weight)),
            ids: Ids::of(candidates),
            candidates: candidates.into(),
        });
        learned.selectors.retain(|selector| selector.strong_count() > 0);
        learned.selectors.push(Arc::downgrade(&shared));
        learned.tidy();
        Box::new(Prepared(shared))
    }

    fn observe(&self, report: &Observation<'_>) {
        if report.load.is_none() {
            return;
        }
        let mut learned = self.lock();
        if let Some(before) = learned.tallies.insert(report.seed, report.answers) {
            let answers = report.answers.saturating_sub(before) as f64;
            let step = 1.0 / (MEMORY * learned.tallies.len() as f64);
            learned.answers = Some(learned.answers.map_or(answers, |mean| mean + (answers - mean) * step));
        }
        learned.reports += 1;
        let answers = learned.answers.unwrap_or(1.0);
        let members = learned.tallies.len();
        if learned.reports * PARTS < members {
            return;
        }
        learned.reports = 0;
        for shared in learned.selectors.iter().filter_map(Weak::upgrade) {
            shared.table.store(Arc::new(Table::new(&shared.candidates, answers, self.answer_load)));
        }
    }
}

/// What one list of candidates and its choices have in common.
struct Shared {
    candidates: Box<[Candidate]>,
    ids: Ids,
    by_weight: Alias,
    table: ArcSwap<Table>,
}

/// Probabilities, until the next reports.
struct Table {
    /// For the answers expected, and for more of them.
    soon: Alias,
    late: Alias,
    /// Answers expected, and the load that they bring.
    expected: u64,
    work: f64,
    given: AtomicU64,
}

impl Table {
    /// For `answers` more a member.
    fn new(candidates: &[Candidate], answers: f64, answer_load: f64) -> Self {
        let all = (answers * candidates.len() as f64).max(1.0);
        let alias = |answers: f64| {
            let parts = fill(candidates, answers * answer_load);
            let sum: f64 = parts.iter().sum();
            let even = !(sum.is_finite() && sum > 0.0);
            let weight = |(part, candidate): (&f64, &Candidate)| if even { candidate.weight } else { *part };
            let weights: Vec<f64> = parts.iter().zip(candidates).map(weight).collect();
            Alias::new(weights.iter().copied())
        };
        let (soon, late) = (alias(all), alias(all * LATE));
        Self { soon, late, expected: all as u64, work: all * answer_load, given: AtomicU64::new(0) }
    }

    fn alias<'a>(&'a self, by_weight: &'a Alias) -> &'a Alias {
        // Two threads may count as one: it is a guess at how late reports are.
        let given = self.given.load(Relaxed);
        self.given.store(given + 1, Relaxed);
        if given < self.expected {
            &self.soon
        } else if given < self.expected.saturating_mul(LATE as u64) {
            &self.late
        } else {
            by_weight
        }
    }
}

/// What each lacks to the common level that `work` fills them up to. Vessels are as wide as weights say.
fn fill(candidates: &[Candidate], work: f64) -> Vec<f64> {
    let level_of = |candidate: &Candidate| candidate.gauge.load() / candidate.weight;
    let mut vessels: Vec<(f64, f64)> =
        candidates.iter().map(|candidate| (level_of(candidate), candidate.weight)).collect();
    vessels.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (mut width, mut content, mut level) = (0.0, 0.0, f64::INFINITY);
    for (place, &(bottom, weight)) in vessels.iter().enumerate() {
        width += weight;
        content += bottom * weight;
        level = (work + content) / width;
        if vessels.get(place + 1).is_none_or(|&(next, _)| next >= level) {
            break;
        }
    }
    let lack = |candidate: &Candidate| ((level - level_of(candidate)) * candidate.weight).max(0.0);
    candidates.iter().map(lack).collect()
}

struct Prepared(Arc<Shared>);

impl Select for Prepared {
    fn select(&self, _: &Pick<'_>, random: &mut dyn Random) -> Option<MemberId> {
        let Shared { candidates, ids, by_weight, table } = &*self.0;
        if candidates.is_empty() {
            return None;
        }
        let table = table.load();
        Some(ids.get(table.alias(by_weight).draw(random)))
    }

    fn rank(&self, _: &Pick<'_>, random: &mut dyn Random, order: &mut Vec<MemberId>) {
        let level = |one: &Candidate| (one.gauge.load() / one.weight, one.id);
        super::contest::rank(&self.0.candidates, level, random, order);
    }

    fn shares(&self) -> Vec<(MemberId, f64)> {
        let table = self.0.table.load();
        let parts = fill(&self.0.candidates, table.work);
        super::contest::shares(self.0.candidates.iter().map(|one| one.id).zip(parts.iter().copied()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::gauge::{Pool, Tally};
    use super::*;

    fn candidates(loads: &[(f64, f64)]) -> Vec<Candidate> {
        let pool = Arc::new(Pool::default());
        let candidate = |(place, &(load, weight)): (usize, &(f64, f64))| {
            let gauge = Gauge::new(Arc::new(Tally::default()), Arc::clone(&pool));
            gauge.report(load);
            Candidate { id: MemberId(place as u32), weight, seed: place as u64, gauge }
        };
        loads.iter().enumerate().map(candidate).collect()
    }

    #[test]
    fn few_answers_fill_the_lowest_many_fill_everybody() {
        let three = candidates(&[(0.0, 1.0), (2.0, 1.0), (6.0, 1.0)]);
        assert_eq!(fill(&three, 1.0), [1.0, 0.0, 0.0]);
        assert_eq!(fill(&three, 4.0), [3.0, 1.0, 0.0]);
        assert_eq!(fill(&three, 13.0), [7.0, 5.0, 1.0]);
    }

    #[test]
    fn shares_are_those_of_the_choices_in_the_unit_of_loads() {
        let two = candidates(&[(0.0, 1.0), (30.0, 1.0)]);
        let params = Params { answer_load: Some(100.0), ..Params::default() };
        let select = (SPEC.build)(&params).prepare(&two);
        // Two answers bring 200: one lacks 115 to the level of 115, the other 85.
        let shares: Vec<f64> = select.shares().into_iter().map(|(_, share)| share).collect();
        assert!((shares[0] - 0.575).abs() < 1e-9 && (shares[1] - 0.425).abs() < 1e-9, "{shares:?}");
    }

    #[test]
    fn a_wide_vessel_takes_more() {
        let two = candidates(&[(0.0, 1.0), (0.0, 3.0)]);
        assert_eq!(fill(&two, 8.0), [2.0, 6.0]);
    }
}
