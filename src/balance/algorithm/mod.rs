//! The rules that choose, and the one table of them.
//!
//! An [`Algorithm`] belongs to a farm and lives as long as the farm uses it; whatever it learns, it keeps. When
//! candidates come, go or change weight, it prepares a [`Select`], which every query then asks. Reports do not
//! prepare anything: they move the numbers in the candidates' [`Gauge`]s, which a selector reads.
//!
//! To add a rule: a file beside this one, a line in [`ALGORITHMS`]. Configuration, help, documentation, dashboard,
//! simulator and the battery of tests iterate that table.

mod adaptive;
mod contest;
mod counts;
mod failover;
pub(super) mod hash;
mod hot_cold;
mod interpreted;
mod least_load;
mod live;
mod load_weighted;
mod pair;
mod panel;
mod random;
mod round_robin;
mod sample;
mod turns;
mod two_choices;
mod utilization;

pub use panel::LOOK_AT_ALL;

#[cfg(test)]
mod battery;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::board::Board;
use super::gauge::Gauge;
use super::moment::Moment;
use super::random::Random;
use super::slot::Slot;
use super::statistics::Statistics;

/// A member of a farm: its place in the farm's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u32);

/// A member that may be chosen now.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its place in the farm's list.
    pub id: MemberId,
    /// Its weight, greater than 0: twice the weight is twice the capacity.
    pub weight: f64,
    /// A number that depends on the backend's name alone, for hashing.
    pub seed: u64,
    /// Its load and what was handed out since.
    pub gauge: Gauge,
}

/// Whether to compare what is known of a candidate's answers, which are so many, with its tally, if nobody else gives it: once
/// in a while, for two threads may have given it in the same nanoseconds, and only one of them is known.
#[inline(always)]
fn is_time_to_look(answers: u64) -> bool {
    answers % 16 == 15
}

/// Who candidates are. Mostly all of a farm's members are: then there is nothing to keep.
struct Ids(Box<[MemberId]>);

impl Ids {
    fn of(candidates: &[Candidate]) -> Self {
        let all = candidates.iter().zip(0..).all(|(candidate, place)| candidate.id.0 == place);
        Self(if all { Box::default() } else { candidates.iter().map(|candidate| candidate.id).collect() })
    }

    #[inline]
    fn get(&self, index: usize) -> MemberId {
        self.0.get(index).copied().unwrap_or(MemberId(index as u32))
    }

    /// Where one is in the order of the candidates, of whom there are so many.
    fn find(&self, id: MemberId, count: usize) -> Option<usize> {
        match &*self.0 {
            [] => Some(id.0 as usize).filter(|&index| index < count),
            ids => ids.binary_search(&id).ok(),
        }
    }
}

/// What a choice depends on beside the candidates.
#[derive(Debug, Clone, Copy)]
pub struct Pick<'a> {
    /// When.
    pub now: Moment,
    /// The place in the farm's rotation.
    pub ticket: Ticket<'a>,
    /// The key for rules that hash; empty if there is none.
    pub key: &'a [u8],
}

/// A place in a farm's rotation. The rotation's count lives in the farm: selectors come and go, it must not start again.
#[derive(Debug, Clone, Copy)]
pub enum Ticket<'a> {
    /// This one.
    Of(u64),
    /// The next one of this count, for who needs one: a count that all threads move is the dearest thing in a choice.
    Next(&'a AtomicU64),
}

impl Ticket<'_> {
    /// Takes it.
    #[inline]
    pub fn take(self) -> u64 {
        match self {
            Self::Of(ticket) => ticket,
            Self::Next(count) => count.fetch_add(1, Relaxed),
        }
    }

    /// Which one it is, or would be.
    pub fn look(self) -> u64 {
        match self {
            Self::Of(ticket) => ticket,
            Self::Next(count) => count.load(Relaxed),
        }
    }
}

/// What a farm tells its rule beside the candidates.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Load that one answer adds to a member, in the formula's units, greater than 0; `None`: a rule that learns it
    /// does, another one takes 1.
    pub answer_load: Option<f64>,
    /// Senders average their loads over this span (exponentially, like the load average of Unix) before they report
    /// them; a rule that can takes it out again. `None`: loads are as they are.
    pub load_smoothing: Option<Duration>,
    /// How long who got an answer may keep and use it: so long its requests may take to come.
    pub ttl: Duration,
    /// `utilization`: how much an error counts, as a multiple of the utilization that all requests being errors adds.
    pub error_penalty: f64,
    /// `hash`: most answers of one member, as a multiple of its fair share.
    pub hash_bound: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            answer_load: None,
            load_smoothing: None,
            ttl: Duration::ZERO,
            error_penalty: 1.0,
            hash_bound: 1.25,
        }
    }
}

/// A rule with what it has learned of one farm.
pub trait Algorithm: Send + Sync {
    /// Takes the candidates as they are from now on, none or more, in the farm's order, and gives what will choose
    /// among them. Called under the engine's lock, with all of them first, then with those of each address family if
    /// that is a part of them.
    fn prepare(&self, candidates: &[Candidate]) -> Box<dyn Select>;

    /// Takes a report's figures, for rules that learn. Called under the engine's lock, after the member's gauge has
    /// moved, for every report that carries statistics, whether or not the member is a candidate.
    fn observe(&self, _: &Observation<'_>) {}

    /// Takes who is a member from now on: what was learned of those of whose seed `stays` says no counts no more. Called
    /// under the engine's lock, before it prepares for the members as they are then.
    fn part(&self, _stays: &dyn Fn(u64) -> bool) {}
}

/// What one report says, to a rule that learns.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// The member's place in the farm's list. A reload may give it another place.
    pub id: MemberId,
    /// The number that depends on its name alone.
    pub seed: u64,
    /// Its weight in this farm, greater than 0 unless it takes no choices.
    pub weight: f64,
    /// The formula's finite result, if this report named a statistic of the formula and there is one.
    pub load: Option<f64>,
    /// `n`, the backend's own count of requests taken, if this report named it.
    pub counter: Option<f64>,
    /// Answers that gave this backend out so far, over all farms.
    pub answers: u64,
    /// Where what choices read of it stands.
    pub board: &'a Slot<Board>,
    /// Everything the backend has reported, with this report.
    pub statistics: &'a Statistics,
    /// When the report came.
    pub now: Moment,
}

/// A rule made ready for one list of candidates. Takes no lock and allocates nothing to select.
pub trait Select: Send + Sync {
    /// Chooses one candidate; `None` if there is none.
    fn select(&self, pick: &Pick<'_>, random: &mut dyn Random) -> Option<MemberId>;

    /// Appends every candidate to `order`, best first as the rule sees it now. Changes nothing.
    fn rank(&self, pick: &Pick<'_>, random: &mut dyn Random, order: &mut Vec<MemberId>);

    /// The share of answers that each candidate may expect, in the order of the candidates; they sum to 1.
    fn shares(&self) -> Vec<(MemberId, f64)>;

    /// Takes note of an answer that gives one of the candidates without the rule's doing: a token named it, or labels.
    fn gave(&self, _: MemberId, _: Moment) {}

    /// [Asks](super::ahead) for what a choice will read, if that is known before, in steps, each of which reads only what the
    /// one before asked for: step 1 for its own, 2 for what that points to, and so on.
    fn fetch(&self, _step: u32) {}

    /// Asks for what a choice soon after the next one will read, if that is known only by what it draws, as far as `random` can be
    /// foreseen. Gives the members where the runs of neighbours begin at which it will look.
    fn foresee(&self, _random: &dyn Random) -> Option<[MemberId; 2]> {
        None
    }

    /// What it believes of every candidate at `now`, if it is a rule that learns.
    fn beliefs(&self, _now: Moment) -> Vec<(MemberId, Belief)> {
        Vec::new()
    }
}

/// What a rule that learns believes of a member.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Belief {
    /// Its load now, in the formula's units.
    pub load: f64,
    /// Answers a second that it can serve; 0 while that is not known.
    pub answers_a_second: f64,
}

impl Belief {
    /// Answers a second that it can serve, if that is known.
    pub fn capacity(&self) -> Option<f64> {
        Some(self.answers_a_second).filter(|capacity| *capacity > 0.0)
    }
}

/// A row of the table.
#[derive(Debug)]
pub struct AlgorithmSpec {
    /// The name in configuration.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// Where the rule comes from.
    pub source: &'static str,
    /// Whether it looks at loads.
    pub sees_load: bool,
    /// Whether it looks at the key.
    pub sees_key: bool,
    /// Makes the rule for one farm.
    pub build: fn(&Params) -> Box<dyn Algorithm>,
}

/// After how many more choices memory is read that is asked for now: what is found through other memory, and that other memory.
const NEAR: u64 = 2;
const FAR: u64 = 4;

/// Every rule there is.
pub static ALGORITHMS: &[AlgorithmSpec] = &[
    adaptive::SPEC,
    least_load::SPEC,
    two_choices::SPEC,
    interpreted::SPEC,
    load_weighted::SPEC,
    utilization::SPEC,
    round_robin::SPEC,
    round_robin::WEIGHTED,
    random::SPEC,
    hash::SPEC,
    hot_cold::SPEC,
    failover::SPEC,
];

/// The rule of a farm that names none.
pub static DEFAULT: &AlgorithmSpec = &adaptive::SPEC;

/// The rule of this name.
pub fn find(name: &str) -> Option<&'static AlgorithmSpec> {
    ALGORITHMS.iter().find(|spec| spec.name == name)
}

/// Shares in proportion to `part` of each candidate; equal ones if all parts are 0 or their sum is not finite.
fn proportional(candidates: &[Candidate], part: impl Fn(&Candidate) -> f64) -> Vec<(MemberId, f64)> {
    let parts: Vec<f64> = candidates.iter().map(part).collect();
    let sum: f64 = parts.iter().sum();
    let even = 1.0 / candidates.len().max(1) as f64;
    let share = |part: f64| if sum.is_finite() && sum > 0.0 { part / sum } else { even };
    candidates.iter().zip(parts).map(|(candidate, part)| (candidate.id, share(part))).collect()
}
