//! What the engine knows, copied out for people and machines: text codes, JSON, metrics, a dashboard all read these.

use std::net::IpAddr;

use super::algorithm::Belief;
use super::moment::Moment;
use super::name::Name;
use super::statistics::Statistics;
use super::sticky::Standing;
use super::update::{Admin, Feed, Health, Switch};

/// A state, since when it holds, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Stated<T> {
    /// The state.
    pub value: T,
    /// Since when.
    pub since: Moment,
    /// Why, for people: `last report 31 s ago, expected every 15 s`. Empty where there is nothing to say.
    pub reason: String,
}

/// One backend.
#[derive(Debug, Clone)]
pub struct BackendStatus {
    /// `h`
    pub name: Name,
    /// `a`: its addresses, the preferred one of each family first; empty while its host name is not resolved.
    pub addresses: Vec<IpAddr>,
    /// The host name that its addresses come from, if they come from one.
    pub host: Option<String>,
    /// `p`
    pub port: Option<u16>,
    /// `s`
    pub admin: Stated<Admin>,
    /// `v`: the worst of what reports, people and checks say.
    pub health: Stated<Health>,
    /// `V`: what people say, if they marked it.
    pub mark: Option<Health>,
    /// What active checks say, if it is checked and there was a result.
    pub checked: Option<Stated<Health>>,
    /// What is in the way of the figures that we fetch of it; `None`: nothing, or none are fetched.
    pub scrape_trouble: Option<String>,
    /// `i`: by the shortest `expect_update` of its farms.
    pub feed: Stated<Feed>,
    /// Everything reported.
    pub statistics: Statistics,
    /// `w`: the weight in force.
    pub weight: f64,
    /// The weight that the configuration gives.
    pub configured_weight: f64,
    /// When it last reported; `t` is the time since.
    pub last_report: Option<Moment>,
    /// `d`
    pub answers_since_report: u64,
    /// `N`
    pub answers: u64,
    /// Reports taken from it.
    pub reports: u64,
    /// The farms it is a member of.
    pub farms: Vec<Name>,
    /// Since when it is here, if it registered and nobody configured it.
    pub registered: Option<Moment>,
}

impl BackendStatus {
    /// Whether it is on, up and in, so that any of its farms may choose it.
    pub fn is_available(&self) -> bool {
        self.admin.value == Admin::On && self.health.value == Health::Up && self.feed.value != Feed::Out
    }
}

/// One farm.
#[derive(Debug, Clone)]
pub struct FarmStatus {
    /// `n`
    pub name: Name,
    /// `s`
    pub switch: Stated<Switch>,
    /// `g`: its algorithm's name.
    pub algorithm: &'static str,
    /// Its formula, as it was written.
    pub load: String,
    /// Time to live of its answers, in seconds.
    pub ttl: u32,
    /// `k`: its members, in the order of the configuration.
    pub members: Vec<MemberStatus>,
    /// `j`: how many of them are available.
    pub available: usize,
    /// `x`: where answers come from now.
    pub source: Stated<Source>,
    /// `N`
    pub answers: u64,
    /// Reports whose formula gave no finite load.
    pub not_finite: u64,
}

/// One backend in a farm.
#[derive(Debug, Clone)]
pub struct MemberStatus {
    /// The backend.
    pub backend: Name,
    /// Its weight here and now: configured or overridden, times the member's factor, times slow start.
    pub weight: f64,
    /// What the formula gave at its last report.
    pub load: LoadState,
    /// Its expected share of the answers in the algorithm's eyes, 0 to 1; 0 while it is not available.
    pub share: f64,
    /// What the algorithm believes of it, if it is one that learns and the member can be chosen.
    pub belief: Option<Belief>,
    /// Whether it can be chosen.
    pub available: bool,
    /// Why it cannot; empty if it can, unless it is suspect all the same.
    pub reason: String,
}

/// How a farm uses one of its members, in the eyes of somebody who sends the farm's clients to servers of his own list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footing {
    /// Whether it may be chosen, and if not whether those who were there before may stay.
    pub standing: Standing,
    /// What people want of the backend.
    pub admin: Admin,
    /// Whether people want the farm to serve with its members.
    pub is_on: bool,
    /// Whether an address of it is known: who has its address from elsewhere needs none of ours.
    pub is_resolved: bool,
    /// What is wrong with it whatever people want, or why the farm does without it; empty if nothing is.
    pub reason: String,
}

/// What a farm's formula says of a member.
#[derive(Debug, Clone, PartialEq)]
pub enum LoadState {
    /// A finite load.
    Known(f64),
    /// This statistic was never reported: the farm's average counts.
    Missing(String),
    /// The result was not finite: the farm's highest load counts.
    NotFinite,
}

/// Where a farm's answers come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Its available members.
    Members,
    /// A fallback, as it is written in the configuration.
    Fallback(String),
    /// Members that are silent but neither off nor down.
    Stale,
    /// Nowhere.
    None,
}

impl std::fmt::Display for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Members => formatter.write_str("members"),
            Self::Fallback(name) => write!(formatter, "fallback {name}"),
            Self::Stale => formatter.write_str("stale"),
            Self::None => formatter.write_str("none"),
        }
    }
}

/// A state that changed: what the log, a store and listeners to events are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Whose state.
    pub subject: Subject,
    /// Which one: `admin`, `health`, `feed`, `weight`, `trust`, `switch`, `source`, `addresses`, `registration`.
    pub axis: &'static str,
    /// What it was.
    pub from: String,
    /// What it is.
    pub to: String,
    /// Why.
    pub why: String,
}

/// Whose state changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A backend's.
    Backend(Name),
    /// A farm's.
    Farm(Name),
}

impl std::fmt::Display for Change {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, name) = match &self.subject {
            Subject::Backend(name) => ("backend", name),
            Subject::Farm(name) => ("farm", name),
        };
        write!(formatter, "{kind} {name}: {} {} -> {}", self.axis, self.from, self.to)?;
        if self.why.is_empty() { Ok(()) } else { write!(formatter, " ({})", self.why) }
    }
}
