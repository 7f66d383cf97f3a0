//! Backends, farms and the engine as formats print them.

use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::codes::{Engine as EngineCode, Farm as FarmCode, Phys};
use super::format::{Record, number};
use crate::balance::Moment;
use crate::balance::algorithm;
use crate::balance::registration::RegistrationCounts;
use crate::balance::status::{BackendStatus, FarmStatus, LoadState, Source, Stated};
use crate::balance::update::{Admin, Feed, Health, Switch};
use crate::http::State;
use crate::http::date::rfc3339;
use crate::metrics::{MirrorMetrics, MirrorRefusal};

/// What is printed where there is nothing to say.
pub const NONE: &str = "-";

/// A backend's status at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Backend<'a> {
    /// What the engine knows.
    pub status: &'a BackendStatus,
    /// When.
    pub now: Moment,
}

impl Record<Phys> for Backend<'_> {
    fn field(&self, field: Phys, out: &mut String) {
        let status = self.status;
        let _ = match field {
            Phys::Name => write!(out, "{}", status.name),
            Phys::Address => return or_none(status.addresses.first(), out),
            Phys::Port => return or_none(status.port, out),
            Phys::Admin => write!(out, "{}", status.admin.value),
            Phys::Health => write!(out, "{}", status.health.value),
            Phys::Mark => return or_none(status.mark, out),
            Phys::Feed => write!(out, "{}", status.feed.value),
            Phys::Statistic(name) => return self.named(name, out),
            Phys::Weight => return number(status.weight, out),
            Phys::Age => match status.last_report {
                Some(last) => return number(seconds(self.now.since(last)), out),
                None => write!(out, "{NONE}"),
            },
            Phys::AnswersSince => write!(out, "{}", status.answers_since_report),
            Phys::Answers => write!(out, "{}", status.answers),
        };
    }

    fn named(&self, name: &str, out: &mut String) {
        match self.status.statistics.get(name) {
            Some(value) => number(value, out),
            None => out.push_str(NONE),
        }
    }
}

impl Backend<'_> {
    /// Every axis that keeps it from being chosen, since when, and why, and what is in the way of its figures; empty if all is
    /// well.
    pub fn why(&self) -> String {
        let BackendStatus { admin, health, feed, .. } = self.status;
        let mut reasons = Vec::new();
        if admin.value != Admin::On {
            reasons.push(because(admin));
        }
        if health.value != Health::Up {
            reasons.push(because(health));
        }
        if feed.value != Feed::In {
            reasons.push(because(feed));
        }
        if let Some(trouble) = &self.status.scrape_trouble {
            reasons.push(trouble.clone());
        }
        if self.status.addresses.is_empty() {
            let host = self.status.host.as_deref().unwrap_or(NONE);
            reasons.push(format!("{host} has no address yet"));
        }
        reasons.join("; ")
    }
}

impl Record<FarmCode> for FarmStatus {
    fn field(&self, field: FarmCode, out: &mut String) {
        let _ = match field {
            FarmCode::Name => write!(out, "{}", self.name),
            FarmCode::Switch => write!(out, "{}", self.switch.value),
            FarmCode::Algorithm => write!(out, "{}", self.algorithm),
            FarmCode::Members => write!(out, "{}", self.members.len()),
            FarmCode::Available => write!(out, "{}", self.available),
            FarmCode::Source => write!(out, "{}", self.source.value),
            FarmCode::Answers => write!(out, "{}", self.answers),
        };
    }

    fn named(&self, _: &str, out: &mut String) {
        out.push_str(NONE);
    }
}

/// Most members whose unknown load a line names.
const NAMED: usize = 5;

/// Why a farm's answers are not just those of its members, and whose load is unknown; empty if all is well.
pub fn why(farm: &FarmStatus) -> String {
    let mut reasons = Vec::new();
    if farm.switch.value != Switch::On {
        reasons.push(because(&farm.switch));
    }
    if farm.source.value != Source::Members || !farm.source.reason.is_empty() {
        reasons.push(because(&farm.source));
    }
    if algorithm::find(farm.algorithm).is_some_and(|spec| spec.sees_load) {
        let unknown = farm.members.iter().filter_map(|member| match &member.load {
            LoadState::Known(_) => None,
            LoadState::Missing(name) => Some(format!("{} (no {name} reported)", member.backend)),
            LoadState::NotFinite => Some(format!("{} (not finite)", member.backend)),
        });
        let mut unknown: Vec<_> = unknown.collect();
        if unknown.len() > NAMED {
            let rest = unknown.split_off(NAMED).len();
            unknown.push(format!("{rest} more"));
        }
        if !unknown.is_empty() {
            reasons.push(format!("load unknown: {}", unknown.join(", ")));
        }
    }
    reasons.join("; ")
}

/// The whole at a moment.
pub struct Whole<'a> {
    /// What we are.
    pub state: &'a State,
    /// When.
    pub now: Moment,
}

impl Record<EngineCode> for Whole<'_> {
    fn field(&self, field: EngineCode, out: &mut String) {
        let counts = self.state.engine.counts();
        let _ = match field {
            EngineCode::Version => write!(out, "{}", self.state.version),
            EngineCode::Uptime => write!(out, "{}", self.now.since(counts.started).as_secs()),
            EngineCode::DnsQueries => write!(out, "{}", self.state.metrics.dns.replies()),
            EngineCode::TextQueries => write!(out, "{}", self.state.metrics.http.balanced.get()),
            EngineCode::Reports => write!(out, "{}", counts.reports),
            EngineCode::Refused => write!(out, "{}", counts.refused),
            EngineCode::Mirror => {
                let (reachable, all) = self.state.metrics.mirror.reachable();
                write!(out, "{reachable}/{all}")
            }
        };
    }

    fn named(&self, _: &str, out: &mut String) {
        out.push_str(NONE);
    }
}

/// Backends that registered, one a line; nothing if none may.
pub fn registered(backends: &[BackendStatus], counts: RegistrationCounts, now: Moment, out: &mut String) {
    let RegistrationCounts { present, limit: Some(limit), joined, left, turned_away } = counts else {
        return;
    };
    let _ = writeln!(
        out,
        "\n# registered\n{present} of at most {limit}; joined {joined}, left {left}, turned away {turned_away}"
    );
    for backend in backends {
        let Some(since) = backend.registered else { continue };
        let heard = backend.last_report.map_or(0.0, |last| seconds(now.since(last)));
        let _ = writeln!(out, "{}: since {}, last report {heard} s ago", backend.name, rfc3339(since));
    }
}

/// The peers, one a line, and the last message of one that was refused; nothing if there are none.
pub fn mirror(metrics: &MirrorMetrics, now: Moment, out: &mut String) {
    let (peers, refusal) = (metrics.peers.load(), metrics.last_refusal());
    if peers.is_empty() && refusal.is_none() {
        return;
    }
    out.push_str("\n# mirror\n");
    for peer in peers.iter() {
        let (queued, sent) = (peer.queued.load(Relaxed), peer.sent.get());
        let (dropped, failures) = (peer.dropped.get(), peer.failures.get());
        let trouble = peer.trouble().unwrap_or_else(|| "in step".to_owned());
        let _ = write!(out, "{}: {trouble}; queued {queued}, sent {sent}, dropped {dropped}", peer.url);
        let _ = match peer.last_success() {
            Some(at) => writeln!(out, ", failures {failures}, last success {} s ago", seconds(now.since(at))),
            None => writeln!(out, ", failures {failures}, never reached"),
        };
    }
    if let Some(MirrorRefusal { who, why, at }) = refusal {
        let count = metrics.refused.get();
        let _ = writeln!(out, "refused {count}, last {who} at {}: {why}", rfc3339(at));
    }
}

/// `out since 2026-11-23T07:15:02.125Z: last report 31 s ago, expected every 15 s`
fn because<T: std::fmt::Display>(stated: &Stated<T>) -> String {
    let since = rfc3339(stated.since);
    match stated.reason.as_str() {
        "" => format!("{} since {since}", stated.value),
        reason => format!("{} since {since}: {reason}", stated.value),
    }
}

fn or_none<T: std::fmt::Display>(value: Option<T>, out: &mut String) {
    let _ = match value {
        Some(value) => write!(out, "{value}"),
        None => write!(out, "{NONE}"),
    };
}

/// Seconds in whole milliseconds: what a clock can tell and people can read.
pub fn seconds(span: Duration) -> f64 {
    span.as_millis() as f64 / 1000.0
}
