//! One machine: what it reported, and its three axes, which are never folded into one.
//!
//! | axis | values | set by |
//! | --- | --- | --- |
//! | administrative | on, drain, off | people and scripts |
//! | health | up, down | reports, people, checks: kept apart, the worst counts |
//! | feed | new, in, out | reports and silence |

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::gauge::Tally;
use super::late::Late;
use super::moment::Moment;
use super::name::Name;
use super::places::Places;
use super::plan::BackendPlan;
use super::rare::{Checked, Rare};
use super::registration::Whereabouts;
use super::statistics::Statistics;
use super::status::{BackendStatus, Stated};
use super::suspicion::Evidence;
use super::update::{Admin, Feed, Health};
use super::view::Machine;

/// Why a backend cannot be chosen.
#[derive(Debug, Clone, PartialEq)]
pub enum Unavailable {
    /// Switched off.
    Off,
    /// Draining.
    Draining,
    /// Down, by the word of this origin.
    Down(Origin),
    /// It said farewell, or was silent for longer than this.
    Silent(Duration, Duration),
    /// It said farewell.
    Left,
    /// Its host name has no address yet.
    Unresolved,
    /// Its weight is 0.
    NoWeight,
    /// Second tries said that it fails.
    Suspect(Evidence),
}

/// Who may speak of a backend's health; with what a check has to say. Shown as the reason of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Reports.
    Report,
    /// People.
    People,
    /// Active checks.
    Check(Arc<str>),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Report => "said its report",
            Self::People => "said people",
            Self::Check(reason) => reason,
        })
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => formatter.write_str("off"),
            Self::Draining => formatter.write_str("drain"),
            Self::Down(origin) => write!(formatter, "down: {origin}"),
            Self::Silent(silence, expected) => {
                write!(formatter, "out: {}", silence_words(*silence, *expected))
            }
            Self::Left => formatter.write_str("out: it said that it leaves"),
            Self::Unresolved => formatter.write_str("its host name has no address yet"),
            Self::NoWeight => formatter.write_str("weight 0"),
            Self::Suspect(evidence) => write!(formatter, "suspect: {evidence}"),
        }
    }
}

/// `last report 31 s ago, expected every 15 s`
fn silence_words(silence: Duration, expected: Duration) -> String {
    format!("last report {} ago, expected every {}", span(silence), span(expected))
}

/// A span in words: milliseconds below 10 s, then whole seconds.
pub fn span(duration: Duration) -> String {
    if duration < Duration::from_secs(10) && duration.subsec_millis() != 0 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} s", duration.as_secs())
    }
}

/// The truth about one machine, behind the engine's lock. What its plan says stands here and in `machine`.
pub struct Backend {
    pub machine: Arc<Machine>,
    pub tally: Tally,
    pub statistics: Statistics,
    pub admin: Admin,
    pub admin_since: Moment,
    /// By its reports.
    pub reported_health: Health,
    pub health_since: Moment,
    /// When it became known to us: from here on a new one has its time of grace.
    pub known_since: Moment,
    pub last_report: Option<Moment>,
    /// The tally at the last report.
    pub answers_at_report: u64,
    pub reports: u64,
    /// It said that it leaves, and has not reported since.
    pub left: bool,
    /// What the feed was when we last looked, and since when.
    pub feed: Feed,
    pub feed_since: Moment,
    /// By its plan.
    pub configured_weight: f64,
    /// Shortest `expect_update` of its farms.
    pub expect: Option<Duration>,
    pub places: Places,
    pub rare: Late<Rare>,
}

impl Backend {
    /// One that is new at `now`.
    pub fn new(plan: BackendPlan, tally: Tally, now: Moment) -> Self {
        let machine = Arc::new(machine(plan.name, plan.port, &plan.addresses));
        let mut rare: Late<Rare> = Late::default();
        if plan.host.is_some() {
            rare.host = plan.host.map(Box::from);
        }
        Self {
            machine,
            configured_weight: plan.weight,
            tally,
            statistics: Statistics::default(),
            admin: Admin::On,
            admin_since: now,
            reported_health: Health::Up,
            health_since: now,
            known_since: now,
            last_report: None,
            answers_at_report: 0,
            reports: 0,
            left: false,
            feed: Feed::New,
            feed_since: now,
            expect: None,
            places: Places::default(),
            rare,
        }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.machine.name
    }

    /// Whether this is its plan.
    pub fn is_by(&self, plan: &BackendPlan) -> bool {
        let addresses = self.rare.planned.as_deref().unwrap_or(&self.machine.addresses);
        let same_place = *addresses == *plan.addresses && self.rare.host.as_deref() == plan.host.as_deref();
        let same_rest = self.machine.port == plan.port && self.configured_weight == plan.weight;
        *self.name() == plan.name && same_place && same_rest
    }

    /// What the configuration says of it, or its reports if it registered.
    pub fn plan(&self) -> BackendPlan {
        BackendPlan {
            name: self.name().clone(),
            addresses: self.rare.planned.as_deref().unwrap_or(&self.machine.addresses).to_vec(),
            host: self.rare.host.as_deref().map(str::to_owned),
            port: self.machine.port,
            weight: self.configured_weight,
        }
    }

    /// Carries everything that was learned and decided over to a new configuration of the same name.
    pub fn replan(&mut self, plan: BackendPlan) {
        let resolved = plan.host.is_some() && plan.host.as_deref() == self.rare.host.as_deref();
        let former = Arc::clone(&self.machine);
        let addresses = if resolved { &*former.addresses } else { &plan.addresses };
        let same = *addresses == *former.addresses && plan.port == former.port && plan.name == former.name;
        if !same {
            self.machine = Arc::new(machine(plan.name.clone(), plan.port, addresses));
        }
        let moved = *addresses != *plan.addresses;
        let planned = moved.then(|| plan.addresses.into());
        self.configured_weight = plan.weight;
        if self.rare.planned != planned || self.rare.host.as_deref() != plan.host.as_deref() {
            (self.rare.planned, self.rare.host) = (planned, plan.host.map(Box::from));
        }
        self.expect = None;
        self.places.clear();
    }

    /// Takes other addresses; gives whether they differ from those it had.
    pub fn move_to(&mut self, addresses: &[IpAddr]) -> bool {
        if *self.machine.addresses == *addresses {
            return false;
        }
        let planned = self.plan().addresses;
        self.rare.planned = (planned != addresses).then(|| planned.into());
        self.machine = Arc::new(machine(self.name().clone(), self.machine.port, addresses));
        true
    }

    /// Where one that registered is, as its reports say.
    pub fn whereabouts(&self) -> Whereabouts {
        Whereabouts { addresses: self.plan().addresses, port: self.machine.port, is_said: true }
    }

    /// Takes other addresses and another port, if it is one that registered; gives whether they differ from those it had.
    pub fn relocate(&mut self, addresses: &[IpAddr], port: Option<u16>) -> bool {
        if self.plan().addresses == addresses && self.machine.port == port {
            return false;
        }
        if self.rare.planned.is_some() {
            self.rare.planned = None;
        }
        self.machine = Arc::new(machine(self.name().clone(), port, addresses));
        true
    }

    /// From when on the silence of one that registered counts: the time in which we were away is none.
    pub fn last_sign(&self) -> Moment {
        self.last_report.unwrap_or(self.known_since).max(self.rare.registered.unwrap_or_default())
    }

    /// The weight in force, before a farm's factor and slow start.
    pub fn weight(&self) -> f64 {
        self.rare.override_weight.unwrap_or(self.configured_weight)
    }

    /// The worst of what anybody says, and who says it.
    pub fn health(&self) -> (Health, Option<Origin>) {
        match (self.rare.mark, &self.rare.checked, self.reported_health) {
            (Some(Health::Down), ..) => (Health::Down, Some(Origin::People)),
            (_, Some(Checked { health: Health::Down, reason, .. }), _) => {
                (Health::Down, Some(Origin::Check(Arc::clone(reason))))
            }
            (.., Health::Down) => (Health::Down, Some(Origin::Report)),
            _ => (Health::Up, None),
        }
    }

    /// The feed as somebody sees it who expects a report every `expect`.
    pub fn feed_for(&self, expect: Option<Duration>, now: Moment) -> Feed {
        match (self.left, expect, self.last_report) {
            (true, ..) => Feed::Out,
            (_, None, _) => Feed::In,
            (_, Some(expect), Some(last)) if now.since(last) <= expect => Feed::In,
            (_, Some(expect), None) if now.since(self.known_since) <= expect => Feed::New,
            _ => Feed::Out,
        }
    }

    /// When a farm with this expectation will see it out, if nothing comes before.
    pub fn due(&self, expect: Duration) -> Moment {
        self.last_report.unwrap_or(self.known_since) + expect
    }

    /// Whether a farm with this expectation and this factor on the weight may choose it.
    pub fn is_available(
        &self,
        expect: Option<Duration>,
        factor: f64,
        now: Moment,
    ) -> Result<(), Unavailable> {
        match self.admin {
            Admin::Off => Err(Unavailable::Off),
            Admin::Drain => Err(Unavailable::Draining),
            Admin::On => self.is_fit(expect, factor, now),
        }
    }

    /// The same, whatever people want of it.
    pub fn is_fit(&self, expect: Option<Duration>, factor: f64, now: Moment) -> Result<(), Unavailable> {
        if let (Health::Down, Some(origin)) = self.health() {
            return Err(Unavailable::Down(origin));
        }
        if self.machine.addresses.is_empty() {
            return Err(Unavailable::Unresolved);
        }
        if self.weight() * factor <= 0.0 {
            return Err(Unavailable::NoWeight);
        }
        if self.feed_for(expect, now) == Feed::Out {
            return Err(self.silence(expect, now));
        }
        Ok(())
    }

    /// Whether those who were here before may stay: up and in, on or drained, of whatever weight.
    pub fn holds(&self, expect: Option<Duration>, now: Moment) -> bool {
        self.admin != Admin::Off
            && self.health().0 == Health::Up
            && !self.machine.addresses.is_empty()
            && self.feed_for(expect, now) != Feed::Out
    }

    fn silence(&self, expect: Option<Duration>, now: Moment) -> Unavailable {
        match expect {
            Some(expect) if !self.left => {
                Unavailable::Silent(now.since(self.last_report.unwrap_or(self.known_since)), expect)
            }
            _ => Unavailable::Left,
        }
    }

    /// Why the feed is what it is.
    pub fn feed_reason(&self, now: Moment) -> String {
        match (self.feed_for(self.expect, now), self.last_report, self.expect) {
            (Feed::Out, ..) if self.left => "it said that it leaves".to_owned(),
            (Feed::Out, None, Some(expect)) => {
                let since = span(now.since(self.known_since));
                format!("no report in {since}, expected every {}", span(expect))
            }
            (_, None, None) => "no report is expected".to_owned(),
            (_, None, Some(expect)) => format!("no report yet, expected every {}", span(expect)),
            (_, Some(last), Some(expect)) => silence_words(now.since(last), expect),
            (_, Some(last), None) => format!("last report {} ago", span(now.since(last))),
        }
    }

    /// Everything about it, copied out.
    pub fn status(&self, farms: Vec<Name>, now: Moment) -> BackendStatus {
        let (health, origin) = self.health();
        let answers = self.tally.answers();
        BackendStatus {
            name: self.name().clone(),
            addresses: self.machine.addresses.to_vec(),
            host: self.rare.host.as_deref().map(str::to_owned),
            port: self.machine.port,
            admin: Stated { value: self.admin, since: self.admin_since, reason: String::new() },
            health: Stated {
                value: health,
                since: self.health_since,
                reason: origin.map(|origin| origin.to_string()).unwrap_or_default(),
            },
            mark: self.rare.mark,
            checked: self.rare.checked.as_ref().map(|checked| Stated {
                value: checked.health,
                since: checked.since,
                reason: checked.reason.to_string(),
            }),
            scrape_trouble: self.rare.scrape_trouble.as_deref().map(str::to_owned),
            feed: Stated {
                value: self.feed_for(self.expect, now),
                since: self.feed_since,
                reason: self.feed_reason(now),
            },
            statistics: self.statistics.clone(),
            weight: self.weight(),
            configured_weight: self.configured_weight,
            last_report: self.last_report,
            answers_since_report: answers.saturating_sub(self.answers_at_report),
            answers,
            reports: self.reports,
            farms,
            registered: self.rare.registered,
        }
    }
}

/// The facts that answers are made of.
fn machine(name: Name, port: Option<u16>, addresses: &[IpAddr]) -> Machine {
    Machine { name, addresses: addresses.into(), port }
}
